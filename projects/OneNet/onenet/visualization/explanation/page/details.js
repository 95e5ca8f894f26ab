// All that is known of the sample that the pointer is on.

function textElement(parent, tag, text, className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = className;
  parent.append(element);
  return element;
}

function describeBox(values, slot) {
  return [...values.subarray(4 * slot, 4 * slot + 4)].map(fourDigits).join(", ");
}

// The conditions of a pair in their order; those after the first failure decide nothing any more.
function listConditions(parent, scene, view, object, slot) {
  const pair = scene.pairOf[object].get(slot);
  if (pair === undefined) return;
  textElement(parent, "div", `for object ${scene.called(object)}:`);
  const list = textElement(parent, "ol", "");
  const failed = scene.failed(view, object, slot);
  view.conditions.forEach((condition, i) => {
    const kind = i > failed ? "later" : condition.passed[pair] ? "yes" : "no";
    textElement(list, "li", conditionText(condition, pair), kind);
  });
}

function describeView(parent, scene, view, state) {
  const { slot, object } = state;
  const block = textElement(parent, "div", "", "view");
  textElement(block, "b", viewTitle(view));
  const moment = scene.moment(view);
  const best = moment.bestClass[slot];
  const name = scene.classes[best] ?? best;
  textElement(block, "div", scene.verdict(view, slot), "verdict");
  textElement(block, "div", `highest score: ${fourDigits(moment.best[slot])} for class ${name}`);
  textElement(block, "div", `predicted box (dashed): ${describeBox(moment.boxes, slot)}`);
  const wanting = scene.objectsWith(scene.isWanted, view, slot).map((g) => scene.called(g));
  textElement(block, "div", `wanted by: ${wanting.join(", ") || "no object"}`, "wanted");
  if (object !== null) listConditions(block, scene, view, object, slot);
}

function tellSample(scene, views, state) {
  const section = document.getElementById("details");
  section.replaceChildren();
  if (state.slot === null) {
    textElement(section, "p", "Point at a sample, in a picture or a row of the table.", "control");
    return;
  }
  const { slot } = state;
  const [x, y] = place(scene, slot).map(fourDigits);
  const where = `level ${scene.levels[slot]} (stride ${strideOf(scene, slot)}), at ${x}, ${y}`;
  textElement(section, "h3", `Sample ${scene.index[slot]}, ${where}${state.pinned ? ", kept" : ""}`);
  textElement(section, "div", `prior box (dotted): ${describeBox(scene.priorBoxes, slot)}`);
  for (const view of views) describeView(section, scene, view, state);
}
