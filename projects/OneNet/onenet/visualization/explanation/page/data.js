// What the page is told: arrays of numbers, and the texts that are made of them.

const ARRAYS = { f4: Float32Array, u1: Uint8Array, i2: Int16Array, i4: Int32Array };

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// The bytes of equal place are stored side by side.
function readArray(bytes, [kind, start, count]) {
  const size = ARRAYS[kind].BYTES_PER_ELEMENT;
  const own = new Uint8Array(count * size);
  for (let place = 0; place < size; place++) {
    for (let i = 0; i < count; i++) own[i * size + place] = bytes[start + place * count + i];
  }
  return new ARRAYS[kind](own.buffer);
}

// The same tree with its arrays instead of the references to them.
function withArrays(tree, bytes) {
  if (Array.isArray(tree)) return tree.map((value) => withArrays(value, bytes));
  if (tree === null || typeof tree !== "object") return tree;
  if (tree.packed) return readArray(bytes, tree.packed);
  return Object.fromEntries(Object.entries(tree).map(([k, v]) => [k, withArrays(v, bytes)]));
}

// As Python's "%.4g".
function fourDigits(x) {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "nan" : x < 0 ? "-inf" : "inf";
  if (x === 0) return "0";
  const [digits, power] = x.toExponential(3).split("e");
  const exponent = Number(power);
  if (exponent >= -4 && exponent < 4) return String(Number(x.toPrecision(4)));
  const sign = exponent < 0 ? "-" : "+";
  return `${Number(digits)}e${sign}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

// One line for a pair of an object and a sample, as Condition.text in Python has it.
function conditionText(condition, pair) {
  const passed = condition.passed[pair] === 1;
  const line = `${condition.name}: ${passed ? "yes" : "no"}`;
  const margin = condition.margin ? condition.margin[pair] : NaN;
  if (!Number.isFinite(margin) || (passed ? margin < 0 : margin > 0)) return line;
  const words = [fourDigits(Math.abs(margin)), condition.unit, condition.sides[passed ? 0 : 1]];
  return `${line}, ${words.filter(Boolean).join(" ")}`;
}

class Scene {
  constructor(content, bytes) {
    Object.assign(this, withArrays(content, bytes));
    this.count = this.index.length; // samples that something is told of
    this.slots = this.objects.map((_, g) => this.pairs.subarray(g * this.told, (g + 1) * this.told));
    this.pairOf = this.slots.map((slots, g) => new Map([...slots].map((s, i) => [s, g * this.told + i])));
  }

  moment(view) {
    return this.moments.find((moment) => moment.name === view.moment);
  }

  failed(view, object, slot) {
    return view.firstFailed[object * this.count + slot];
  }

  isPositive(view, object, slot) {
    return this.failed(view, object, slot) === view.conditions.length;
  }

  // Whether only other objects can have kept it from this one.
  isWanted(view, object, slot) {
    const contest = view.conditions.findIndex((condition) => condition.contest);
    return this.failed(view, object, slot) >= (contest < 0 ? view.conditions.length : contest);
  }

  objectsWith(test, view, slot) {
    return this.objects.map((_, g) => g).filter((g) => test.call(this, view, g, slot));
  }

  called(object) {
    return `${object + 1} (${this.objects[object].label})`;
  }

  // Of the sample as such: who got it, or that nobody did.
  verdict(view, slot) {
    const owners = this.objectsWith(this.isPositive, view, slot);
    if (owners.length) return `positive for ${owners.map((g) => this.called(g)).join(", ")}`;
    if (view.verdict[slot] !== -2) return "negative";
    const { name, objects } = view.ignored.find((reason) => reason.objects[slot] >= 0);
    return `ignored: ${name} ${this.called(objects[slot])}`;
  }

  // Why the sample is not positive for the object.
  reason(view, object, slot) {
    const failed = this.failed(view, object, slot);
    if (failed === view.conditions.length) return "positive";
    const condition = view.conditions[failed];
    const text = conditionText(condition, this.pairOf[object].get(slot));
    const owners = this.objectsWith(this.isPositive, view, slot);
    if (!condition.contest || !owners.length) return text;
    return `${text} (goes to ${owners.map((g) => this.called(g)).join(", ")})`;
  }

  // Of all pairs that are told, by name; a view may have no such quantity.
  quantity(view, name) {
    const common = {
      "score of its class": this.moment(view).scores,
      "IoU of the predicted box": this.moment(view).ious,
      "IoU of the prior box": this.priorIou,
    };
    if (name === "share of conditions passed") return this.depths(view);
    return common[name] ?? view.quantities[name];
  }

  quantityNames(views) {
    const own = views.flatMap((view) => Object.keys(view.quantities));
    return [...new Set(["share of conditions passed", ...own, ...COMMON])];
  }

  // Which share of the conditions a pair passes before the first that it fails.
  depths(view) {
    const values = new Float32Array(this.pairs.length);
    this.pairs.forEach((slot, pair) => {
      values[pair] = this.failed(view, Math.floor(pair / this.told), slot) / view.conditions.length;
    });
    return values;
  }
}

const COMMON = ["score of its class", "IoU of the predicted box", "IoU of the prior box"];

if (typeof module !== "undefined") module.exports = { fourDigits, conditionText };
