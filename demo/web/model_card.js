// What an exported model says about itself. onnxruntime-web does not hand out the metadata of a
// model, so it is read from the file: a protobuf message ModelProto, whose field 14 repeats pairs
// of a key (field 1) and a value (field 2).

const FORMAT = "1";
const METADATA_FIELD = 14;
const [VARINT, EIGHT_BYTES, LENGTH_DELIMITED, , , FOUR_BYTES] = [0, 1, 2, 3, 4, 5];

/**
 * How to feed a model and how to read what it says.
 *
 * @param {Uint8Array} bytes - of the file.
 * @returns {{classNames: string[], channelOrder: string, shorterSide: number,
 *   longestSide: number, scoreThreshold: number}} sizes in pixels; a shorterSide of 0 means that
 *   images are not resized.
 * @throws {Error} the file is no model of this project, or one of a later version of it.
 */
export function readModelCard(bytes) {
  const properties = readMetadata(bytes);
  const format = properties.get("onenet_format");
  if (format === undefined) {
    throw new Error("not a model of this project; write one with tools/export_onnx.py");
  }
  if (format !== FORMAT) {
    throw new Error(`of format ${format}, but this page reads ${FORMAT}; export it again`);
  }
  return {
    classNames: JSON.parse(properties.get("class_names")),
    channelOrder: properties.get("channel_order"),
    shorterSide: Number(properties.get("shorter_side")),
    longestSide: Number(properties.get("longest_side")),
    scoreThreshold: Number(properties.get("score_threshold")),
  };
}

/** The key-value pairs of a model file; a file that is no model has none. */
function readMetadata(bytes) {
  const text = new TextDecoder();
  const properties = new Map();
  for (const [field, pair] of readFields(bytes)) {
    if (field === METADATA_FIELD && pair) {
      const entry = new Map(readFields(pair));
      properties.set(text.decode(entry.get(1)), text.decode(entry.get(2)));
    }
  }
  return properties;
}

/** Yields the number and, where it has a length, the content of each field; stops at nonsense. */
function* readFields(bytes) {
  let position = 0;
  const readVarint = () => {
    let value = 0;
    for (let scale = 1; position < bytes.length; scale *= 128) {
      const byte = bytes[position++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    return value;
  };
  while (position < bytes.length) {
    const tag = readVarint();
    let content;
    switch (tag % 8) {
      case VARINT: readVarint(); break;
      case EIGHT_BYTES: position += 8; break;
      case FOUR_BYTES: position += 4; break;
      case LENGTH_DELIMITED: {
        const end = readVarint() + position;
        content = bytes.subarray(position, end);
        position = end;
        break;
      }
      default: return;
    }
    yield [Math.floor(tag / 8), content];
  }
}
