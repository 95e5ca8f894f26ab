// Bring an image to the size and form that the network takes, as onenet/predict does in Python.

/**
 * Size of an image for the network: the shorter side becomes `shorterSide`, unless the longer one
 * would exceed `longestSide`.
 *
 * @returns {[number, number]} height and width, at least one pixel each.
 */
export function networkSize(height, width, shorterSide, longestSide) {
  if (shorterSide === 0) return [height, width];
  const scale = shorterSide / Math.min(height, width);
  const sides = height < width ? [shorterSide, scale * width] : [scale * height, shorterSide];
  const shrink = Math.min(1, longestSide / Math.max(...sides));
  return sides.map((side) => Math.max(1, Math.floor(side * shrink + 0.5)));
}

/**
 * @param {ImageData} image - RGBA; its transparency is dropped.
 * @param {object} card - of readModelCard.
 * @returns {{data: Uint8Array, height: number, width: number}} data is (3, height, width).
 */
export function prepare(image, card) {
  const [height, width] = networkSize(
    image.height, image.width, card.shorterSide, card.longestSide,
  );
  let data = splitChannels(image, card.channelOrder);
  data = resample(data, 3 * image.height, image.width, 1, width);
  data = resample(data, 3, image.height, width, height);
  return { data, height, width };
}

/** RGBA pixels -> (3, height, width) in the order "RGB" or "BGR". */
function splitChannels({ data, width, height }, order) {
  const pixels = width * height;
  const planes = new Uint8Array(3 * pixels);
  [...order].forEach((name, plane) => {
    const channel = "RGB".indexOf(name);
    for (let i = 0; i < pixels; i++) planes[plane * pixels + i] = data[4 * i + channel];
  });
  return planes;
}

/**
 * Resize the middle axis with the filter that Pillow calls bilinear. It widens where the image
 * shrinks, which a canvas does not do in every browser.
 *
 * @param {Uint8Array} source - (outer, length, inner).
 * @returns {Uint8Array} (outer, target, inner)
 */
export function resample(source, outer, length, inner, target) {
  if (length === target) return source;
  const result = new Uint8Array(outer * target * inner);
  for (let to = 0; to < target; to++) {
    const { first, weights } = taps(to, length, target);
    for (let block = 0; block < outer; block++) {
      const from = (block * length + first) * inner;
      const at = (block * target + to) * inner;
      for (let i = 0; i < inner; i++) {
        let total = 0.5; // rounds
        for (let tap = 0; tap < weights.length; tap++) {
          total += weights[tap] * source[from + tap * inner + i];
        }
        result[at + i] = total;
      }
    }
  }
  return result;
}

/** Which of `length` pixels make number `to` of `target` ones, and their shares. */
function taps(to, length, target) {
  const scale = length / target;
  const reach = Math.max(scale, 1); // half the width of the triangle
  const center = (to + 0.5) * scale;
  const first = Math.max(Math.floor(center - reach + 0.5), 0);
  const last = Math.min(Math.floor(center + reach + 0.5), length);
  const weights = [];
  for (let i = first; i < last; i++) {
    weights.push(Math.max(1 - Math.abs(i + 0.5 - center) / reach, 0));
  }
  const sum = weights.reduce((a, b) => a + b);
  return { first, weights: weights.map((weight) => weight / sum) };
}
