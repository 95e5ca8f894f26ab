// The picture of one side: the image, a quantity as colours, positives, boxes.

const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

function svgElement(parent, tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  parent.append(element);
  return element;
}

function heatColor(share) {
  const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
  const mixed = VIRIDIS[low].map((c, i) => Math.round(c + (place - low) * (VIRIDIS[low + 1][i] - c)));
  return `rgb(${mixed.join(" ")})`;
}

function objectColor(object) {
  return `hsl(${(object * 137.5 + 200) % 360} 85% 62%)`;
}

function boxElement(parent, box, attributes) {
  const [x, y, right, bottom] = box;
  const size = { width: Math.max(0, right - x), height: Math.max(0, bottom - y) };
  return svgElement(parent, "rect", { x, y, ...size, ...attributes });
}

function place(scene, slot) {
  return [scene.points[2 * slot], scene.points[2 * slot + 1]];
}

function strideOf(scene, slot) {
  return scene.strides[scene.levels[slot]];
}

function onLevel(scene, slot, level) {
  return level === "all" || scene.levels[slot] === Number(level);
}

// Slots that a picture shows of an object, or of all.
function shownSlots(scene, object, level) {
  const all = object === null ? [...Array(scene.count).keys()] : [...scene.slots[object]];
  return all.filter((slot) => onLevel(scene, slot, level));
}

function drawHeat(svg, scene, view, state, range) {
  const values = scene.quantity(view, state.quantity);
  if (state.object === null || !values || !range) return;
  const group = svgElement(svg, "g", { class: "heat" });
  const drawn = new Set();
  const mixed = state.level === "all" && scene.strides.length > 1;
  const slots = shownSlots(scene, state.object, state.level);
  // Fine levels lie on coarse ones; of several samples at a place the one that came furthest counts.
  const rank = (slot) => scene.failed(view, state.object, slot);
  slots.sort((a, b) => strideOf(scene, b) - strideOf(scene, a) || rank(b) - rank(a));
  for (const slot of slots) {
    const [x, y] = place(scene, slot);
    const value = values[scene.pairOf[state.object].get(slot)];
    const key = `${scene.levels[slot]} ${x} ${y}`;
    if (!Number.isFinite(value) || drawn.has(key)) continue;
    drawn.add(key);
    const share = range[1] > range[0] ? (value - range[0]) / (range[1] - range[0]) : 1;
    const look = { fill: heatColor(share), opacity: 0.2 + 0.5 * share, "data-slot": slot };
    const half = strideOf(scene, slot) / 2;
    if (mixed) svgElement(group, "circle", { cx: x, cy: y, r: half / 2, ...look });
    else boxElement(group, [x - half, y - half, x + half, y + half], look);
  }
}

// The range of a quantity over what is shown on any side, so that colours can be compared.
function heatRange(scene, views, state) {
  if (state.object === null) return null;
  let [low, high] = [Infinity, -Infinity];
  for (const view of views) {
    const values = scene.quantity(view, state.quantity);
    for (const slot of values ? shownSlots(scene, state.object, state.level) : []) {
      const value = values[scene.pairOf[state.object].get(slot)];
      if (Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
  }
  return low <= high ? [low, high] : null;
}

function drawMarks(svg, scene, view, other, state) {
  const shown = svgElement(svg, "g", { class: "marks" });
  const elsewhere = svgElement(svg, "g", { class: "faint" }); // on other levels than the chosen one
  const objects = state.object === null ? scene.objects.map((_, g) => g) : [state.object];
  for (const slot of shownSlots(scene, null, "all")) {
    const group = onLevel(scene, slot, state.level) ? shown : elsewhere;
    const [cx, cy] = place(scene, slot);
    const radius = Math.min(0.28 * strideOf(scene, slot), scene.width / 70);
    const owners = objects.filter((g) => scene.isPositive(view, g, slot));
    owners.forEach((g, i) => {
      const r = radius * (1 - i / owners.length);
      svgElement(group, "circle", { class: "dot", cx, cy, r, fill: objectColor(g), "data-slot": slot });
    });
    if (view.verdict[slot] === -2 && state.object === null) {
      const d = `M${cx - radius} ${cy - radius}l${2 * radius} ${2 * radius}m0 ${-2 * radius}l${-2 * radius} ${2 * radius}`;
      svgElement(group, "path", { class: "ignored", d });
    }
    if (other && differs(scene, view, other, slot, objects)) {
      svgElement(group, "circle", { class: "ring", cx, cy, r: radius * 1.3, "data-slot": slot });
    }
  }
}

function differs(scene, view, other, slot, objects) {
  return objects.some((g) => scene.isPositive(view, g, slot) !== scene.isPositive(other, g, slot));
}

function drawBoxes(svg, scene, state) {
  scene.objects.forEach(({ box, label }, g) => {
    const chosen = state.object === null || state.object === g;
    const group = svgElement(svg, "g", { class: chosen ? "" : "faint" });
    boxElement(group, box, { class: "casing" });
    boxElement(group, box, { class: "box", stroke: objectColor(g) });
    const size = Math.max(6, scene.width / 32);
    const at = { x: box[0] + 2, y: box[1] > size ? box[1] - 3 : box[1] + size, "font-size": size };
    const style = `font-size: ${size}px; stroke-width: ${size / 4}px`;
    svgElement(group, "text", { class: "tag", ...at, style, "data-object": g }, `${g + 1}: ${label}`);
  });
}

function drawPointed(svg, scene, view, slot) {
  const group = svg.querySelector(".pointed");
  group.replaceChildren();
  if (slot === null) return;
  const [x, y] = place(scene, slot);
  const half = strideOf(scene, slot) / 2;
  const part = (values) => values.subarray(4 * slot, 4 * slot + 4);
  const boxes = { prior: part(scene.priorBoxes), predicted: part(scene.moment(view).boxes) };
  for (const [name, box] of Object.entries(boxes)) {
    boxElement(group, box, { class: "casing" });
    boxElement(group, box, { class: name });
  }
  boxElement(group, [x - half, y - half, x + half, y + half], { class: "here" });
}

// The sample at a place, in pixels: of the finest level whose cell it is in the one that came furthest.
function slotAt(scene, view, state, x, y) {
  const objects = state.object === null ? scene.objects.map((_, g) => g) : [state.object];
  const rank = (slot) => Math.max(...objects.map((g) => scene.failed(view, g, slot)));
  const before = (a, b) => strideOf(scene, a) - strideOf(scene, b) || rank(b) - rank(a);
  let best = null;
  for (const slot of shownSlots(scene, state.object, state.level)) {
    const [cx, cy] = place(scene, slot);
    const half = strideOf(scene, slot) / 2;
    if (Math.abs(x - cx) > half || Math.abs(y - cy) > half) continue;
    if (best === null || before(slot, best) < 0) best = slot;
  }
  return best;
}

// The smallest object at a place.
function objectAt(scene, x, y) {
  const area = ([left, top, right, bottom]) => (right - left) * (bottom - top);
  const inside = ({ box: [left, top, right, bottom] }) => x >= left && x < right && y >= top && y < bottom;
  const found = scene.objects.map((_, g) => g).filter((g) => inside(scene.objects[g]));
  found.sort((a, b) => area(scene.objects[a].box) - area(scene.objects[b].box));
  return found.length ? found[0] : null;
}

function drawSide(figure, scene, view, other, state, range) {
  const svg = figure.querySelector("svg");
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${scene.width} ${scene.height}`);
  svg.setAttribute("aria-label", `${scene.name}, ${viewTitle(view)}`);
  const href = `data:image/jpeg;base64,${scene.picture}`;
  svgElement(svg, "image", { href, width: scene.width, height: scene.height });
  drawHeat(svg, scene, view, state, range);
  drawMarks(svg, scene, view, other, state);
  drawBoxes(svg, scene, state);
  svgElement(svg, "g", { class: "pointed" });
  const [low, high] = figure.querySelectorAll(".scale span");
  const known = range && scene.quantity(view, state.quantity);
  figure.querySelector(".scale").classList.toggle("off", !known);
  [low.textContent, high.textContent] = known ? range.map(fourDigits) : ["", ""];
}
