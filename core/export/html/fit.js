// From the tracker's points to a pose, an expression code, the jaw and the eyes. As core/libs/tracker/fit.py but for the
// pose, which here is a weighted similarity (Horn, 1987) without the refinement for perspective, and for the eyes, whose
// turns are read off where the irises stand between the corners.
import { at, clamp, distance } from "./numeric.js";

const POINTS = 478;

// Rotation (9, row vectors), scale and shift (3) with scale p R + t ~ q, of points (N * 3) with weights.
export function similarity(points, goals, weights) {
  const a = [0, 0, 0], b = [0, 0, 0];
  let total = 0;
  for (let i = 0; i < weights.length; i++) {
    if (!weights[i]) continue;
    total += weights[i];
    for (let k = 0; k < 3; k++) { a[k] += weights[i] * points[3 * i + k]; b[k] += weights[i] * goals[3 * i + k]; }
  }
  for (let k = 0; k < 3; k++) { a[k] /= total; b[k] /= total; }
  const S = new Array(9).fill(0);
  let spread = 0;
  for (let i = 0; i < weights.length; i++) {
    if (!weights[i]) continue;
    for (let k = 0; k < 3; k++) {
      const p = points[3 * i + k] - a[k];
      spread += weights[i] * p * p;
      for (let l = 0; l < 3; l++) S[3 * k + l] += weights[i] * p * (goals[3 * i + l] - b[l]);
    }
  }
  const [xx, xy, xz, yx, yy, yz, zx, zy, zz] = S;
  const [w, x, y, z] = largestVector([
    [xx + yy + zz, yz - zy, zx - xz, xy - yx], [yz - zy, xx - yy - zz, xy + yx, zx + xz],
    [zx - xz, xy + yx, yy - xx - zz, yz + zy], [xy - yx, zx + xz, yz + zy, zz - xx - yy]]);
  // Of columns; ours are rows, so it is the transpose.
  const R = [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y), 2 * (x * y - w * z), 1 - 2 * (x * x + z * z),
    2 * (y * z + w * x), 2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)];
  let along = 0;
  for (let k = 0; k < 3; k++) for (let l = 0; l < 3; l++) along += S[3 * k + l] * R[3 * k + l];
  const scale = along / spread;
  const shift = [0, 1, 2].map((k) => b[k] - scale * (a[0] * R[k] + a[1] * R[3 + k] + a[2] * R[6 + k]));
  return { scale, R, shift };
}

// The eigenvector of the largest eigenvalue of a symmetric matrix (4, 4): Jacobi's rotations.
function largestVector(m) {
  const v = [0, 1, 2, 3].map((i) => [0, 1, 2, 3].map((j) => Number(i === j)));
  for (let sweep = 0; sweep < 12; sweep++)
    for (let p = 0; p < 3; p++)
      for (let q = p + 1; q < 4; q++) {
        if (Math.abs(m[p][q]) < 1e-15) continue;
        const theta = 0.5 * Math.atan2(2 * m[p][q], m[q][q] - m[p][p]), c = Math.cos(theta), s = Math.sin(theta);
        for (let k = 0; k < 4; k++) [m[k][p], m[k][q]] = [c * m[k][p] - s * m[k][q], s * m[k][p] + c * m[k][q]];
        for (let k = 0; k < 4; k++) [m[p][k], m[q][k]] = [c * m[p][k] - s * m[q][k], s * m[p][k] + c * m[q][k]];
        for (let k = 0; k < 4; k++) [v[k][p], v[k][q]] = [c * v[k][p] - s * v[k][q], s * v[k][p] + c * v[k][q]];
      }
  const best = [0, 1, 2, 3].reduce((a, b) => (m[b][b] > m[a][a] ? b : a));
  return v.map((row) => row[best]);
}

export class Fitter {
  constructor({ arrays, values }) {
    const live = values.live;
    Object.assign(this, { arrays, live, topology: values.topology });
    this.template = arrays["live.template"];
    this.codes = arrays["head.expression"].length / (3 * POINTS);
    this.unit = (values.focal * live.size) / 2;
    this.forget();
  }

  forget() {
    this.seen = [];
    this.person = null;
  }

  // Points (478 * 3) in pixels of the crop. Null until the person is known, which takes some frames.
  next(points) {
    if (!this.person) {
      this.seen.push(points);
      if (this.seen.length < this.live.personAfter) return null;
      this.person = this.know(this.seen);
    }
    const { pose, rest, jaw, lifted } = this.atRest(points, this.person);
    const code = Array.from(this.person.code), S = this.arrays["live.solve"], mean = this.person.mean;
    for (let k = 0; k < code.length; k++) {
      let sum = 0;
      for (let i = 0; i < rest.length; i++) sum += S[k * rest.length + i] * (rest[i] - mean[i]);
      code[k] += sum;
    }
    return { pose, code, jaw, lifted, eyes: this.eyes(lifted) };
  }

  know(frames) {
    let person = { rest: this.template, laid: this.template };
    for (let round = 0; round < this.live.personRounds; round++) {
      const mean = new Float64Array(3 * POINTS);
      for (const points of frames) {
        const { rest } = this.atRest(points, person);
        for (let i = 0; i < mean.length; i++) mean[i] += rest[i] / frames.length;
      }
      const M = this.arrays["live.solvePerson"], E = this.arrays["head.expression"], n = this.codes;
      const code = new Float64Array(n), rest = Float64Array.from(mean);
      for (let k = 0; k < n; k++)
        for (let i = 0; i < mean.length; i++) code[k] += M[k * mean.length + i] * (mean[i] - this.template[i]);
      for (let i = 0; i < rest.length; i++) for (let k = 0; k < n; k++) rest[i] -= E[i * n + k] * code[k];
      const { scale, R, shift } = similarity(rest, this.template, this.arrays["live.stable"]);
      const laid = new Float64Array(rest.length);
      for (let i = 0; i < POINTS; i++)
        for (let k = 0; k < 3; k++)
          laid[3 * i + k] = scale * (rest[3 * i] * R[k] + rest[3 * i + 1] * R[3 + k] + rest[3 * i + 2] * R[6 + k]) + shift[k];
      person = { rest, laid, mean, code };
    }
    return person;
  }

  atRest(points, person) {
    const weights = this.arrays["live.poseWeights"], middle = (this.live.size - 1) / 2, unit = this.unit;
    const upright = new Float64Array(points.length);
    for (let i = 0; i < points.length; i += 3)
      upright.set([points[i] - middle, middle - points[i + 1], -points[i + 2]], i);
    const found = similarity(person.laid, upright, weights), far = unit / found.scale;
    // To the camera's axes: x left, z away.
    const R = found.R.map((v, i) => (i % 3 === 1 ? v : -v));
    const shift = [-found.shift[0] / found.scale, found.shift[1] / found.scale, far];
    const lifted = this.lift(R, shift, upright, person.rest);
    const { rest, jaw } = this.unpose(lifted, person.rest);
    return { pose: { R, shift }, lifted, rest, jaw };
  }

  // The points in head space: on their rays, at the tracker's depth, less the plane by which it differs from the person.
  lift(R, shift, upright, person) {
    const weights = this.arrays["live.poseWeights"], unit = this.unit, A = new Array(9).fill(0), b = [0, 0, 0];
    const ray = (i) => [-upright[3 * i] / unit, upright[3 * i + 1] / unit, 1];
    for (let i = 0; i < POINTS; i++) {
      if (!weights[i]) continue;
      const r = ray(i), relief = (upright[3 * i + 2] * shift[2]) / unit;
      const gap = relief + person[3 * i] * R[2] + person[3 * i + 1] * R[5] + person[3 * i + 2] * R[8];
      for (let k = 0; k < 3; k++) {
        b[k] += weights[i] * r[k] * gap;
        for (let l = 0; l < 3; l++) A[3 * k + l] += weights[i] * r[k] * r[l];
      }
    }
    const slope = solve3(A, b), out = new Float64Array(3 * POINTS);
    for (let i = 0; i < POINTS; i++) {
      const r = ray(i), z = shift[2] - (upright[3 * i + 2] * shift[2]) / unit + r[0] * slope[0] + r[1] * slope[1] + slope[2];
      const p = [r[0] * z - shift[0], r[1] * z - shift[1], z - shift[2]];
      for (let k = 0; k < 3; k++) out[3 * i + k] = p[0] * R[3 * k] + p[1] * R[3 * k + 1] + p[2] * R[3 * k + 2];
    }
    return out;
  }

  // The points with the jaw closed again, and its angle.
  unpose(lifted, person) {
    const [, jy, jz] = this.live.jawJoint, weights = this.arrays["live.jawWeights"];
    let cross = 0, dot = 0;
    for (const i of this.topology.chin) {
      const ay = person[3 * i + 1] - jy, az = person[3 * i + 2] - jz, by = lifted[3 * i + 1] - jy, bz = lifted[3 * i + 2] - jz;
      cross += ay * bz - az * by;
      dot += ay * by + az * bz;
    }
    const jaw = Math.atan2(cross, dot), c = Math.cos(jaw), s = Math.sin(jaw), rest = Float64Array.from(lifted);
    for (let i = 0; i < POINTS; i++) {
      const w = weights[i], y = lifted[3 * i + 1] - jy, z = lifted[3 * i + 2] - jz;
      // (1 - w) + w R on (y, z), inverted.
      const m = 1 - w + w * c, n = w * s, det = m * m + n * n;
      rest[3 * i + 1] = (m * y + n * z) / det + jy;
      rest[3 * i + 2] = (m * z - n * y) / det + jz;
    }
    return { rest, jaw };
  }

  // Pitch and yaw of the left, then the right eye, by where the irises stand between the corners; and the lids' opening.
  eyes(lifted) {
    const { eyeCorners, irises, eyePairs } = this.topology;
    return [1, 0].map((side) => {
      const [a, b] = eyeCorners[side].map((i) => at(lifted, i)), width = distance(a, b);
      const iris = [0, 1].map((k) => irises[side].reduce((sum, i) => sum + lifted[3 * i + k] / 5, 0));
      const off = iris.map((v, k) => (v - (a[k] + b[k]) / 2) / this.live.eyeRadius);
      const gap = eyePairs[side].reduce((sum, [u, l]) => sum + distance(at(lifted, u), at(lifted, l)) / 3, 0) / width;
      return { pitch: -Math.asin(clamp(off[1], -0.7, 0.7)), yaw: Math.asin(clamp(off[0], -0.7, 0.7)), opening: gap };
    });
  }
}

function solve3([a, b, c, d, e, f, g, h, i], [x, y, z]) {
  const det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  return [(x * (e * i - f * h) - b * (y * i - f * z) + c * (y * h - e * z)) / det,
    (a * (y * i - f * z) - x * (d * i - f * g) + c * (d * z - y * g)) / det,
    (a * (e * z - y * h) - b * (d * z - y * g) + x * (d * h - e * g)) / det];
}
