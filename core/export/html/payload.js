// The block of bytes that core/export/payload.py writes, as typed arrays, pictures and plain values.

const TYPES = {
  float32: Float32Array, int32: Int32Array, int16: Int16Array, uint16: Uint16Array, uint8: Uint8Array,
};

export function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

export async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Values in steps: their low bytes, then their high ones; a scale for every column.
function fromSteps(bytes, shape, scale) {
  const count = bytes.length / 2, columns = shape[shape.length - 1], out = new Float32Array(count);
  for (let i = 0; i < count; i++) out[i] = (((bytes[i] | (bytes[count + i] << 8)) << 16) >> 16) * scale[i % columns];
  return out;
}

export async function readPayload(text) {
  const block = await inflated(bytesOf(text));
  const length = new DataView(block.buffer).getUint32(0, true);
  const about = JSON.parse(new TextDecoder().decode(block.subarray(4, 4 + length)));
  const start = 4 + length, arrays = {}, pictures = {};
  for (const [name, entry] of Object.entries(about.arrays)) {
    const bytes = block.slice(start + entry.at, start + entry.at + entry.bytes);
    arrays[name] = entry.type === "steps" ? fromSteps(bytes, entry.shape, entry.scale) : new TYPES[entry.type](bytes.buffer);
  }
  await Promise.all(Object.entries(about.pictures).map(async ([name, entry]) => {
    const blob = new Blob([block.subarray(start + entry.at, start + entry.at + entry.bytes)], { type: entry.kind });
    // As they were written: alpha here is a number like another, and no colour is to be converted.
    pictures[name] = await createImageBitmap(blob, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
  }));
  return { values: about.values, arrays, pictures };
}
