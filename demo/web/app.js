// The page: load the runtime, the model and a sample; draw what is found in the image.

import * as ort from "./ort.wasm.min.mjs";
import { Detector } from "./detector.js";

const COLORS = [
  "#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4",
  "#008080", "#9a6324", "#808000", "#000075", "#b0005a",
];
const element = (selector) => document.querySelector(selector);
const status = element("[role=status]");
let detector, picture;
let work = Promise.resolve(); // the runtime does one thing at a time

/** Fetch a file, which may be compressed: static servers need not know how to do that. */
async function load(name) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes; // the server has decompressed it
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The pixels of an image file, upright. */
async function decode(file, name) {
  try {
    const bitmap = await createImageBitmap(file);
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, bitmap.width, bitmap.height);
  } catch {
    throw new Error(`${name}: not an image that this browser can read`);
  }
}

function draw(image, detections) {
  const canvas = element("canvas");
  // Small images are enlarged, so that lines and letters are finer than their pixels.
  const scale = Math.max(1, Math.round(800 / Math.max(image.width, image.height)));
  [canvas.width, canvas.height] = [image.width * scale, image.height * scale];
  const layer = new OffscreenCanvas(image.width, image.height);
  layer.getContext("2d").putImageData(image, 0, 0);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(layer, 0, 0, canvas.width, canvas.height);
  context.font = "16px system-ui, sans-serif";
  context.lineWidth = 2;
  for (const { box, score, name } of detections) {
    const [x1, y1, x2, y2] = box.map((value) => value * scale);
    const label = `${name} ${score.toFixed(2)}`;
    const top = Math.max(y1, 20); // of the image: the label stays inside
    context.strokeStyle = COLORS[detector.card.classNames.indexOf(name) % COLORS.length];
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.fillStyle = context.strokeStyle;
    context.fillRect(x1 - 1, top - 20, context.measureText(label).width + 8, 20);
    context.fillStyle = "white";
    context.fillText(label, x1 + 3, top - 5);
  }
}

function list(detections) {
  const rows = detections.map(({ box, score, name }) => {
    const row = document.createElement("tr");
    for (const text of [name, score.toFixed(3), ...box.map((value) => value.toFixed(1))]) {
      row.insertCell().textContent = text;
    }
    return row;
  });
  element("table").replaceChildren(...rows);
}

/** Show what is found above the threshold. */
function show() {
  const threshold = Number(element("#threshold").value);
  const found = picture.detections.filter(({ score }) => score >= threshold);
  draw(picture.image, found);
  list(found);
  status.textContent = `${picture.name}: ${found.length} found in ${picture.milliseconds} ms`;
}

async function detect(image, name) {
  if (!detector) throw new Error("there is no model: choose one");
  const start = performance.now();
  const detections = await detector.detect(image, 0);
  picture = { image, name, detections, milliseconds: Math.round(performance.now() - start) };
  show();
}

/** Do something for the user when what came before is done, and say what is wrong if it fails. */
function attempt(action) {
  work = work.then(async () => {
    try {
      status.className = "";
      await action();
    } catch (error) {
      status.className = "error";
      status.textContent = error.message;
    }
  });
}

const showImage = async (file, name) => detect(await decode(file, name), name);

async function useModel(bytes, name) {
  try {
    detector = await Detector.load(ort, bytes);
  } catch (error) {
    throw new Error(`${name}: ${error.message}`);
  }
  if (picture) await detect(picture.image, picture.name);
}

const showSample = async () => showImage(new Blob([await load("sample.png")]), "sample");

element("#image").addEventListener("change", ({ target: { files: [file] } }) =>
  attempt(async () => file && showImage(file, file.name)));
element("#model").addEventListener("change", ({ target: { files: [file] } }) =>
  attempt(async () => file && useModel(new Uint8Array(await file.arrayBuffer()), file.name)));
element("#sample").addEventListener("click", () => attempt(showSample));
element("#threshold").addEventListener("input", ({ target }) => {
  element("output").textContent = Number(target.value).toFixed(2);
  attempt(() => picture && show());
});

attempt(async () => {
  ort.env.wasm.numThreads = 1; // more need headers that static servers do not send
  ort.env.wasm.wasmBinary = await load("ort-wasm-simd-threaded.wasm.gz");
  await useModel(await load("model.onnx.gz"), "model.onnx");
  await showSample();
});
