// What is chosen, and what clicks, keys and the pointer change of it.

const state = { scene: null, object: null, slot: null, pinned: false, level: "all", quantity: "", allRows: false };
const contents = typeof document === "undefined" ? [] : JSON.parse(document.getElementById("content").textContent);
const loaded = new Map();

function viewTitle(view) {
  return view.moment ? `${view.rule}, ${view.moment}` : view.rule;
}

function chosenViews() {
  const { scene } = state;
  const chosen = ["left", "right"].map((side) => document.getElementById(side).value);
  return chosen.filter((index) => index !== "").map((index) => scene.views[Number(index)]);
}

function chip(parent, text, pressed, action) {
  const button = textElement(parent, "button", text);
  button.setAttribute("aria-pressed", pressed);
  button.addEventListener("click", action);
  return button;
}

function fillChips() {
  const { scene } = state;
  const objects = document.getElementById("objects");
  objects.replaceChildren();
  if (!scene.objects.length) objects.textContent = "There is no object in this image.";
  scene.objects.forEach(({ label }, g) => {
    const text = `${g + 1}: ${label}`;
    chip(objects, text, state.object === g, () => chooseObject(state.object === g ? null : g));
  });
  const levels = document.getElementById("levels");
  levels.replaceChildren();
  if (scene.strides.length === 1) return;
  for (const level of ["all", ...scene.strides.keys()]) {
    const text = level === "all" ? "all levels" : `level ${level} (stride ${scene.strides[level]})`;
    chip(levels, text, String(state.level) === String(level), () => choose({ level }));
  }
}

function fillSelect(id, options, value) {
  const select = document.getElementById(id);
  select.replaceChildren(...options.map(([text, own]) => new Option(text, own, false, own === value)));
}

// Which of an object's positives, ignored by both sides or not, make the difference.
function caption(figure, view, other) {
  const { scene, object, level } = state;
  const text = figure.querySelector("figcaption");
  text.replaceChildren();
  textElement(text, "b", viewTitle(view));
  const objects = object === null ? scene.objects.map((_, g) => g) : [object];
  const total = objects.reduce((sum, g) => sum + view.positives[g], 0);
  const without = objects.filter((g) => view.positives[g] === 0);
  const parts = [`${total} positive sample${total === 1 ? "" : "s"}`];
  const slots = shownSlots(scene, null, level);
  if (level !== "all") {
    const here = slots.filter((slot) => objects.some((g) => scene.isPositive(view, g, slot))).length;
    parts[0] += `, ${here} of them on level ${level}`;
  }
  if (object === null && without.length) {
    parts.push(`none for ${without.map((g) => scene.called(g)).join(", ")}`);
  }
  if (other) {
    const count = slots.filter((slot) => differs(scene, view, other, slot, objects)).length;
    parts.push(`${count} differ${count === 1 ? "s" : ""} from the other side`);
  }
  textElement(text, "div", parts.join("; "));
}

function draw() {
  const { scene } = state;
  const views = chosenViews();
  const range = heatRange(scene, views, state);
  document.querySelectorAll(".side").forEach((figure, i) => {
    figure.classList.toggle("off", i >= views.length);
    if (i >= views.length) return;
    drawSide(figure, scene, views[i], views[1 - i], state, range);
    caption(figure, views[i], views[1 - i]);
  });
  drawSlot();
}

// The sample that the pointer is on; all else stays.
function drawSlot() {
  const { scene, slot } = state;
  const views = chosenViews();
  document.querySelectorAll(".side:not(.off) svg").forEach((svg, i) => drawPointed(svg, scene, views[i], slot));
  tellSample(scene, views, state);
}

function redraw() {
  const views = chosenViews();
  const names = state.scene.quantityNames(views);
  if (!names.includes(state.quantity)) state.quantity = names[0];
  fillSelect("quantity", names.map((name) => [name, name]), state.quantity);
  fillChips();
  draw();
  fillTable(state.scene, views, state);
}

// Another object, level or number of rows.
function choose(change) {
  const focus = document.activeElement?.textContent;
  Object.assign(state, { slot: null, pinned: false, allRows: false }, change);
  redraw();
  // The button that was pressed has been made anew.
  [...document.querySelectorAll(".chips button")].find((b) => b.textContent === focus)?.focus();
}

// With the level on which its best samples are.
function chooseObject(object) {
  const { scene } = state;
  const several = object !== null && scene.strides.length > 1;
  choose({ object, level: several ? scene.levels[sortedSlots(scene, chosenViews(), object)[0]] : "all" });
}

function point(slot, pinned = state.pinned) {
  if (slot === state.slot && pinned === state.pinned) return;
  Object.assign(state, { slot, pinned: pinned && slot !== null });
  for (const row of document.querySelectorAll("#candidates tbody tr")) {
    row.classList.toggle("pinned", state.pinned && Number(row.dataset.slot) === slot);
  }
  drawSlot();
}

function pictureAt(svg, event) {
  const box = svg.getBoundingClientRect();
  const scale = state.scene.width / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

function viewOf(svg) {
  return state.scene.views[Number(document.getElementById(svg.closest(".side").dataset.side).value)];
}

function clickPicture(svg, event) {
  const [x, y] = pictureAt(svg, event);
  const tag = event.target.dataset.object;
  if (tag !== undefined) return chooseObject(Number(tag));
  const slot = state.object === null ? null : slotAt(state.scene, viewOf(svg), state, x, y);
  if (slot !== null) return point(slot, !(state.pinned && state.slot === slot));
  return chooseObject(objectAt(state.scene, x, y));
}

function listenToPicture(svg) {
  svg.addEventListener("click", (event) => clickPicture(svg, event));
  svg.addEventListener("pointermove", (event) => {
    if (!state.pinned) point(slotAt(state.scene, viewOf(svg), state, ...pictureAt(svg, event)));
  });
  svg.addEventListener("pointerleave", () => state.pinned || point(null));
}

function listenToTable(body) {
  const slotOf = (event) => Number(event.target.closest("tr").dataset.slot);
  for (const kind of ["pointerover", "focusin"]) {
    body.addEventListener(kind, (event) => state.pinned || point(slotOf(event)));
  }
  body.addEventListener("click", (event) => point(slotOf(event), true));
  body.addEventListener("pointerleave", () => state.pinned || point(null));
}

async function showImage(index) {
  if (!loaded.has(index)) loaded.set(index, new Scene(contents[index], await inflate(contents[index].arrays)));
  const scene = loaded.get(index);
  const kept = ["left", "right"].map((side) => document.getElementById(side).value);
  const views = scene.views.map((view, i) => [viewTitle(view), String(i)]);
  fillSelect("left", views, state.scene ? kept[0] : "0");
  fillSelect("right", [["nothing", ""], ...views], state.scene ? kept[1] : views.length > 1 ? "1" : "");
  Object.assign(state, { scene, object: null, level: "all" });
  choose({});
}

function leave() {
  if (state.pinned) return point(null);
  return chooseObject(null);
}

async function start() {
  onClick("#images button", (button) => {
    press(button);
    showImage(Number(button.dataset.image));
  });
  document.querySelectorAll(".side svg").forEach(listenToPicture);
  listenToTable(document.querySelector("#candidates tbody"));
  for (const id of ["left", "right"]) document.getElementById(id).addEventListener("change", redraw);
  document.getElementById("quantity").addEventListener("change", (event) => {
    state.quantity = event.target.value;
    draw();
  });
  onClick("#more", () => choose({ allRows: true }));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leave();
    if (event.key === "Enter" && event.target.closest("#candidates tbody tr")) event.target.click();
  });
  press(document.querySelector("#images button"));
  await showImage(0);
  document.body.dataset.ready = "yes";
}

if (typeof document !== "undefined") start();
