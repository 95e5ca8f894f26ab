// The candidates of the chosen object, a row each.

const FIRST_ROWS = 60;

// Groups of columns: title, and for each column its heading and what makes the cell of a sample.
function columnGroups(scene, views, object) {
  const number = (values) => (slot) => {
    const value = values[scene.pairOf[object].get(slot)];
    return { text: fourDigits(value), value: Number.isNaN(value) ? "" : value };
  };
  const plain = (value) => ({ text: fourDigits(value), value });
  const sample = [
    ["number", (slot) => ({ text: scene.index[slot], value: scene.index[slot] })],
    ["level", (slot) => plain(scene.levels[slot])],
    ["x", (slot) => plain(scene.points[2 * slot])],
    ["y", (slot) => plain(scene.points[2 * slot + 1])],
  ];
  const reasons = views.map((view) => [
    viewTitle(view), (slot) => reasonCell(scene, view, object, slot), "reason",
  ]);
  const quantities = views.map((view) => [
    viewTitle(view),
    [
      ...Object.entries(view.quantities).map(([name, values]) => [name, number(values)]),
      ["score of its class", number(scene.moment(view).scores)],
      ["IoU of the predicted box", number(scene.moment(view).ious)],
    ],
  ]);
  const prior = ["prior box", [["IoU", number(scene.priorIou)]]];
  return [["sample", sample], ["first condition that failed", reasons], ...quantities, prior];
}

function reasonCell(scene, view, object, slot) {
  const failed = scene.failed(view, object, slot);
  const positive = failed === view.conditions.length;
  return {
    text: scene.reason(view, object, slot),
    value: failed,
    kind: positive ? "reason positive" : "reason",
  };
}

// Positives first, then what came furthest, then the nearest.
function sortedSlots(scene, views, object) {
  const depth = (slot) => Math.max(...views.map((v) => scene.failed(v, object, slot) / v.conditions.length));
  return [...scene.slots[object]]
    .map((slot, i) => [slot, depth(slot), i])
    .sort((a, b) => b[1] - a[1] || a[2] - b[2])
    .map(([slot]) => slot);
}

function headTable(table, groups) {
  const [titles, columns] = table.tHead.rows;
  titles.replaceChildren();
  columns.replaceChildren();
  for (const [title, own] of groups) {
    const head = document.createElement("th");
    head.colSpan = own.length;
    head.textContent = title;
    titles.append(head);
    for (const [name, , kind] of own) {
      const cell = document.createElement("th");
      cell.className = kind ?? "";
      const button = document.createElement("button");
      button.textContent = name;
      button.addEventListener("click", () => sortTable(cell));
      cell.scope = "col";
      cell.append(button);
      columns.append(cell);
    }
  }
}

function tableRow(scene, views, object, slot, groups) {
  const row = document.createElement("tr");
  row.tabIndex = 0;
  row.dataset.slot = slot;
  row.classList.toggle("differs", views.length > 1 && differs(scene, ...views, slot, [object]));
  for (const [, read] of groups.flatMap(([, own]) => own)) {
    const { text, value, kind } = read(slot);
    const cell = row.insertCell();
    cell.textContent = text;
    cell.dataset.value = value;
    if (kind) cell.className = kind;
  }
  return row;
}

function fillTable(scene, views, state) {
  const section = document.getElementById("candidates");
  section.hidden = state.object === null;
  if (state.object === null) return;
  document.getElementById("chosen").textContent = `object ${scene.called(state.object)}`;
  const slots = sortedSlots(scene, views, state.object).filter((s) => onLevel(scene, s, state.level));
  const count = state.allRows ? slots.length : Math.min(FIRST_ROWS, slots.length);
  document.getElementById("told").textContent =
    `The page knows ${scene.told} of the ${scene.samples} samples: those that passed most conditions, then the nearest.`;
  const groups = columnGroups(scene, views, state.object);
  const table = section.querySelector("table");
  headTable(table, groups);
  const rows = slots.slice(0, count).map((s) => tableRow(scene, views, state.object, s, groups));
  table.tBodies[0].replaceChildren(...rows);
  const more = document.getElementById("more");
  more.hidden = count === slots.length;
  more.textContent = `all ${slots.length} rows`;
}
