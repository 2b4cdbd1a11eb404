// Small functions on numbers and flat arrays of points; row vectors throughout, as in Python: q = p R + t.

export const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

export const ramp = (x, low, high) => clamp((x - low) / (high - low), 0, 1);

export function smoothstep(x, low, high) {
  const t = ramp(x, low, high);
  return t * t * (3 - 2 * t);
}

export const at = (points, i) => [points[3 * i], points[3 * i + 1], points[3 * i + 2]];

export const distance = (a, b) => Math.hypot(...a.map((v, k) => v - b[k]));

export function mean(points, indices, size = 3) {
  const out = new Array(size).fill(0);
  for (const i of indices) for (let k = 0; k < size; k++) out[k] += points[size * i + k] / indices.length;
  return out;
}

// The matrix (9) of an axis-angle.
export function rotation(x, y, z) {
  const angle = Math.hypot(x, y, z);
  if (angle < 1e-12) return [1, -z, y, z, 1, -x, -y, x, 1];
  const c = Math.cos(angle), s = Math.sin(angle), C = 1 - c;
  x /= angle; y /= angle; z /= angle;
  return [c + x * x * C, x * y * C - z * s, x * z * C + y * s, y * x * C + z * s, c + y * y * C, y * z * C - x * s,
    z * x * C - y * s, z * y * C + x * s, c + z * z * C];
}

// a b of two matrices (9).
export function product(a, b) {
  const out = new Array(9);
  for (let i = 0; i < 3; i++)
    for (let j = 0; j < 3; j++) out[3 * i + j] = a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
  return out;
}

export function inverse(m) {
  const [a, b, c, d, e, f, g, h, i] = m;
  const A = e * i - f * h, B = f * g - d * i, C = d * h - e * g, det = a * A + b * B + c * C;
  return [A, c * h - b * i, b * f - c * e, B, a * i - c * g, c * d - a * f, C, b * g - a * h, a * e - b * d]
    .map((v) => v / det);
}

// Head space to the camera frame, of one point; transform (12) is the rows of [R | t].
export function toCamera(p, T) {
  return [0, 1, 2].map((k) => p[0] * T[k] + p[1] * T[4 + k] + p[2] * T[8 + k] + T[4 * k + 3]);
}

// A transform (12) followed by a view (12).
export function seenFrom(T, view) {
  if (!view) return T;
  const out = new Array(12);
  for (let i = 0; i < 3; i++) {
    for (let k = 0; k < 3; k++)
      out[4 * i + k] = T[4 * i] * view[k] + T[4 * i + 1] * view[4 + k] + T[4 * i + 2] * view[8 + k];
  }
  const t = toCamera([T[3], T[7], T[11]], view);
  for (let k = 0; k < 3; k++) out[4 * k + 3] = t[k];
  return out;
}

// As core.libs.numeric: below a limit by tanh from `knee` of it on; the same from a start on; a vector's length.
export function softClip(x, limit, knee = 2 / 3) {
  const start = knee * limit, over = Math.max(Math.abs(x) - start, 0);
  return clamp(x, -start, start) + Math.sign(x) * (limit - start) * Math.tanh(over / (limit - start));
}

export function softUpperClip(x, start, limit) {
  return Math.min(x, start) + (limit - start) * Math.tanh(Math.max(x - start, 0) / (limit - start));
}

export function softClipLength(v, limit) {
  const length = Math.hypot(...v);
  return v.map((x) => (x * limit * Math.tanh(length / limit)) / Math.max(length, 1e-9));
}

// As numpy's, with straight lines between.
export function percentile(values, percent) {
  const sorted = Float64Array.from(values).sort(), at = ((sorted.length - 1) * percent) / 100, i = Math.floor(at);
  return i + 1 < sorted.length ? sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]) : sorted[i];
}

export const median = (values) => percentile(values, 50);
