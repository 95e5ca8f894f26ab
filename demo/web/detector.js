// Detect objects in images with an exported model. Needs onnxruntime-web and no page, so that it
// runs in Node.js too.

import { readModelCard } from "./model_card.js";
import { prepare } from "./preprocess.js";

export class Detector {
  /**
   * @param {object} ort - the module of onnxruntime-web (or onnxruntime-node).
   * @param {Uint8Array} model - content of a file of tools/export_onnx.py.
   * @returns {Promise<Detector>}
   * @throws {Error} the file is no such model, or damaged.
   */
  static async load(ort, model) {
    const card = readModelCard(model);
    return new Detector(ort, await ort.InferenceSession.create(model), card);
  }

  constructor(ort, session, card) {
    this.ort = ort;
    this.session = session;
    this.card = card;
  }

  /**
   * @param {ImageData} image
   * @param {number} threshold - detections of a lower score are left out.
   * @returns {Promise<{box: number[], score: number, name: string}[]>} best first; boxes are
   *   x1 y1 x2 y2 in pixels of the image.
   */
  async detect(image, threshold = this.card.scoreThreshold) {
    const { data, height, width } = prepare(image, this.card);
    const images = new this.ort.Tensor("uint8", data, [1, 3, height, width]);
    const { boxes, scores, classes } = await this.session.run({ images });
    const detections = [];
    scores.data.forEach((score, i) => {
      const [x1, y1, x2, y2] = boxes.data.subarray(4 * i, 4 * i + 4);
      if (score < threshold || x2 <= x1 || y2 <= y1) return;
      const [x, y] = [image.width / width, image.height / height];
      detections.push({
        box: [x1 * x, y1 * y, x2 * x, y2 * y],
        score,
        name: this.card.classNames[Number(classes.data[i])], // of an int64
      });
    });
    return detections;
  }
}
