// Titles and the length into a recorded WebM file (RFC 9559): browsers write neither.

const EBML = 0x1a45dfa3, SEGMENT = 0x18538067, INFO = 0x1549a966, CLUSTER = 0x1f43b675, SEEK = 0x114d9b74, TAGS = 0x1254c367;
const TAG = 0x7373, TARGETS = 0x63c0, SIMPLE = 0x67c8, NAME = 0x45a3, TEXT = 0x4487, TITLE = 0x7ba9, LENGTH = 0x4489;
const SCALE = 0x2ad7b1, VOID = 0xec;
const UNKNOWN = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

// The element at a place: its number, where its content begins and ends; Infinity where it does not say so.
function element(bytes, at) {
  const wide = Math.clz32(bytes[at]) - 23, id = bytes.subarray(at, at + wide).reduce((n, b) => n * 256 + b, 0);
  const start = at + wide, many = Math.clz32(bytes[start]) - 23, rest = bytes.subarray(start + 1, start + many);
  const size = rest.reduce((n, b) => n * 256 + b, bytes[start] & (0xff >> many));
  const open = size === 2 ** (7 * many) - 1;
  return { id, at, start: start + many, end: open ? Infinity : start + many + size };
}

// An element of content, which is bytes or other elements.
function made(id, ...content) {
  const body = content.flatMap((part) => Array.from(part)), head = [];
  for (let n = id; n; n = Math.floor(n / 256)) head.unshift(n % 256);
  const size = [0, 0, 0, 0].map((_, k) => Math.floor(body.length / 256 ** (3 - k)) % 256);
  return [...head, 0x08, ...size, ...body];
}

const text = (value) => new TextEncoder().encode(value);

function number(value) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value);
  return bytes;
}

// A file (Uint8Array) with a title and other texts by name, and its length in seconds; as it was where it is none.
export function described(bytes, { title, ...others }, seconds) {
  const first = element(bytes, 0);
  if (first.id !== EBML) return bytes;
  const segment = element(bytes, first.end), parts = [];
  if (segment.id !== SEGMENT) return bytes;
  let at = segment.start;
  while (at < bytes.length) {
    const part = element(bytes, at);
    if (part.id === CLUSTER || part.end > bytes.length) break;
    if (part.id === INFO) {
      const kept = [];
      let scale = 1e6; // nanoseconds of a unit of time
      for (let inner = part.start; inner < part.end;) {
        const one = element(bytes, inner), whole = bytes.subarray(inner, one.end);
        if (one.id === SCALE) scale = bytes.subarray(one.start, one.end).reduce((n, b) => n * 256 + b, 0);
        if (one.id !== TITLE && one.id !== LENGTH) kept.push(whole);
        inner = one.end;
      }
      parts.push(made(INFO, ...kept, made(TITLE, text(title)), made(LENGTH, number((seconds * 1e9) / scale))));
    // An index of places is none any more.
    } else if (part.id !== SEEK && part.id !== TAGS && part.id !== VOID) parts.push(bytes.subarray(at, part.end));
    at = part.end;
  }
  const tags = Object.entries({ title, ...others }).map(([name, value]) => (
    made(SIMPLE, made(NAME, text(name.toUpperCase())), made(TEXT, text(value)))));
  const head = [bytes.subarray(0, segment.at), made(SEGMENT).slice(0, 4), UNKNOWN, ...parts, made(TAGS, made(TAG, made(TARGETS), ...tags))];
  const length = head.reduce((sum, part) => sum + part.length, 0), out = new Uint8Array(length + bytes.length - at);
  let place = 0;
  for (const part of [...head, bytes.subarray(at)]) {
    out.set(part, place);
    place += part.length;
  }
  return out;
}
