// Runs demo/web/detector.js in Node.js and prints as JSON what it makes of an image:
//   run_web_core.mjs MODEL WIDTH HEIGHT (RUNTIME.mjs | OUTPUTS.json) < pixels as RGBA
// In place of onnxruntime, OUTPUTS.json may say what the network returns.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { Detector } from "../../demo/web/detector.js";
import { prepare } from "../../demo/web/preprocess.js";

const [model, width, height, runtime] = process.argv.slice(2);
const data = new Uint8ClampedArray(readFileSync(0));
const image = { data, width: Number(width), height: Number(height) };

function pretend({ boxes, scores, classes }) {
  const outputs = {
    boxes: { data: Float32Array.from(boxes.flat()) },
    scores: { data: Float32Array.from(scores) },
    classes: { data: BigInt64Array.from(classes.map(BigInt)) },
  };
  const create = async () => ({ run: async () => outputs });
  return { Tensor: class {}, InferenceSession: { create } };
}

try {
  const ort = runtime.endsWith(".json")
    ? pretend(JSON.parse(readFileSync(runtime)))
    : await import(pathToFileURL(runtime));
  const detector = await Detector.load(ort, new Uint8Array(readFileSync(model)));
  const { data: prepared, ...size } = prepare(image, detector.card);
  const detections = await detector.detect(image);
  console.log(JSON.stringify({ card: detector.card, size, prepared: [...prepared], detections }));
} catch (error) {
  console.log(JSON.stringify({ error: error.message }));
}
