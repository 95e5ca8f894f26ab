"use strict";

// Numbers by size, texts by letters; cells without a value come last, whichever way it goes.
function compareCells(a, b, descending) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const [x, y] = [Number(a), Number(b)];
  const order = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  return descending ? -order : order;
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

function press(button) {
  for (const other of button.parentElement.children) {
    other.setAttribute("aria-pressed", other === button);
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

function onClick(selector, action) {
  document.querySelectorAll(selector).forEach((e) => e.addEventListener("click", () => action(e)));
}

if (typeof module !== "undefined") module.exports = { compareCells };
