"use strict";

// Numbers by size, texts by letters; cells without a value come last, whichever way it goes.
function compareCells(a, b, descending) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const [x, y] = [Number(a), Number(b)];
  const order = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  return descending ? -order : order;
}

// Index of the number in a sorted list that is nearest to a value.
function nearestIndex(numbers, value) {
  let best = 0;
  numbers.forEach((x, i) => {
    if (Math.abs(x - value) < Math.abs(numbers[best] - value)) best = i;
  });
  return best;
}

function sortTable(header) {
  const row = header.parentElement;
  const index = [...row.children].indexOf(header);
  const descending = header.getAttribute("aria-sort") !== "descending";
  for (const other of row.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const body = header.closest("table").tBodies[0];
  const value = (tr) => tr.children[index].dataset.value;
  [...body.rows]
    .sort((a, b) => compareCells(value(a), value(b), descending))
    .forEach((tr) => body.append(tr));
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

function press(button) {
  for (const other of button.parentElement.children) {
    other.setAttribute("aria-pressed", other === button);
  }
}

function pickScene(button) {
  press(button);
  for (const scene of document.querySelectorAll(".scene")) {
    scene.classList.toggle("off", scene.id !== button.dataset.scene);
  }
}

function tell(text, event) {
  const tip = document.getElementById("tip");
  tip.textContent = text;
  tip.style.display = text ? "block" : "none";
  const room = [window.innerWidth - tip.offsetWidth, window.innerHeight - tip.offsetHeight];
  tip.style.left = `${Math.max(0, Math.min(event.clientX + 14, room[0] - 8))}px`;
  tip.style.top = `${Math.max(0, Math.min(event.clientY + 14, room[1] - 8))}px`;
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
  const click = (selector, action) =>
    document.querySelectorAll(selector).forEach((e) => e.addEventListener("click", () => action(e)));
  click("th button", (button) => sortTable(button.parentElement));
  click("#arms button", (button) => {
    const shown = shownArms();
    const arm = button.dataset.arm;
    shown.has(arm) ? shown.delete(arm) : shown.add(arm);
    showArms(shown);
  });
  click("#sections button", (button) => {
    press(button);
    showArms(new Set(JSON.parse(button.dataset.arms)));
  });
  click("#scenes button", pickScene);
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
if (typeof module !== "undefined") module.exports = { compareCells, nearestIndex };
