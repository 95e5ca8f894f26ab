"use strict";

// Index of the number in a sorted list that is nearest to a value.
function nearestIndex(numbers, value) {
  let best = 0;
  numbers.forEach((x, i) => {
    if (Math.abs(x - value) < Math.abs(numbers[best] - value)) best = i;
  });
  return best;
}

function showArms(shown) {
  for (const element of document.querySelectorAll("[data-arm]")) {
    const on = shown.has(element.dataset.arm);
    if (element.matches(".chips button")) element.setAttribute("aria-pressed", on);
    else element.classList.toggle("off", !on);
  }
}

function shownArms() {
  const pressed = document.querySelectorAll("#arms button[data-arm][aria-pressed=true]");
  return new Set([...pressed].map((button) => button.dataset.arm));
}

function pickScene(button) {
  press(button);
  for (const scene of document.querySelectorAll(".scene")) {
    scene.classList.toggle("off", scene.id !== button.dataset.scene);
  }
}

// The line under the pointer is in one chart at most.
function moveCursor(svg, path) {
  for (const cursor of document.querySelectorAll(".cursor")) {
    cursor.setAttribute("d", cursor.parentElement === svg ? path : "");
  }
}

// The values of all lines of a chart at the place of the pointer.
function tellChart(svg, event) {
  const box = svg.getBoundingClientRect();
  const view = svg.viewBox.baseVal;
  const x = ((event.clientX - box.left) / box.width) * view.width;
  const said = [];
  for (const line of svg.querySelectorAll(".line:not(.off)")) {
    const places = line.getAttribute("d").slice(1).split("L").map((p) => p.split(" ").map(Number));
    const i = nearestIndex(places.map((place) => place[0]), x);
    const value = Number(line.dataset.y.split(" ")[i]);
    said.push([value, `${line.dataset.label}: ${value} at ${line.dataset.x.split(" ")[i]}`]);
    moveCursor(svg, `M${places[i][0]} 30V${view.height - 40}`);
  }
  said.sort((a, b) => b[0] - a[0]);
  tell(said.map((one) => one[1]).join("\n"), event);
}

function listen() {
  onClick("th button", (button) => sortTable(button.parentElement));
  onClick("#arms button", (button) => {
    const shown = shownArms();
    const arm = button.dataset.arm;
    shown.has(arm) ? shown.delete(arm) : shown.add(arm);
    showArms(shown);
  });
  onClick("#sections button", (button) => {
    press(button);
    showArms(new Set(JSON.parse(button.dataset.arms)));
  });
  onClick("#scenes button", pickScene);
  document.addEventListener("mousemove", (event) => {
    const svg = event.target.closest("svg.line");
    const tipped = event.target.closest("[data-tip]");
    if (svg) tellChart(svg, event);
    else {
      moveCursor(null, "");
      tell(tipped ? tipped.dataset.tip : "", event);
    }
  });
  const first = document.querySelector("#scenes button");
  if (first) pickScene(first); // without a script all scenes are there
}

if (typeof document !== "undefined") listen();
if (typeof module !== "undefined") module.exports = { nearestIndex };
