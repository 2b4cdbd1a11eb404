// The head model: expression, jaw and eye codes to the 478 points of the face. As OpenHead.evaluate in Python.
import { product, rotation } from "./numeric.js";

const POINTS = 478;

export class Head {
  constructor({ arrays, values }) {
    this.rest = arrays["head.rest"];
    this.expression = arrays["head.expression"];
    this.joints = arrays["head.joints"];
    this.jointMoves = arrays["head.jointMoves"];
    this.weights = arrays["head.weights"];
    this.parents = values.parents;
    this.codes = this.jointMoves.length / 15;
  }

  // expression: (100); pose: root, jaw, left and right eye, axis-angles (12). Returns (478 * 3).
  evaluate(expression, pose) {
    const n = this.codes, face = Float64Array.from(this.rest), joints = Float64Array.from(this.joints);
    const used = [];
    for (let k = 0; k < n; k++) if (expression[k] !== 0) used.push(k);
    const sum = (out, basis) => {
      for (let i = 0; i < out.length; i++) {
        let total = 0;
        for (const k of used) total += basis[i * n + k] * expression[k];
        out[i] += total;
      }
    };
    sum(face, this.expression);
    sum(joints, this.jointMoves);
    // Root, neck, jaw, left eye, right eye.
    const turns = [pose.slice(0, 3), [0, 0, 0], pose.slice(3, 6), pose.slice(6, 9), pose.slice(9, 12)];
    const rotations = turns.map((t) => rotation(t[0], t[1], t[2]));
    const places = Float64Array.from(joints), shifts = new Float64Array(15);
    const turned = (m, v) => [0, 1, 2].map((i) => m[3 * i] * v[0] + m[3 * i + 1] * v[1] + m[3 * i + 2] * v[2]);
    for (let j = 1; j < 5; j++) {
      const p = this.parents[j];
      const moved = turned(rotations[p], [0, 1, 2].map((k) => joints[3 * j + k] - joints[3 * p + k]));
      for (let k = 0; k < 3; k++) places[3 * j + k] = places[3 * p + k] + moved[k];
      rotations[j] = product(rotations[p], rotations[j]);
    }
    for (let j = 0; j < 5; j++) {
      const own = turned(rotations[j], joints.subarray(3 * j, 3 * j + 3));
      for (let k = 0; k < 3; k++) shifts[3 * j + k] = places[3 * j + k] - own[k];
    }
    for (let v = 0; v < POINTS; v++) {
      const x = face[3 * v], y = face[3 * v + 1], z = face[3 * v + 2], out = [0, 0, 0];
      for (let j = 0; j < 5; j++) {
        const w = this.weights[5 * v + j];
        if (w === 0) continue;
        const m = rotations[j];
        for (let k = 0; k < 3; k++) out[k] += w * (m[3 * k] * x + m[3 * k + 1] * y + m[3 * k + 2] * z + shifts[3 * j + k]);
      }
      face.set(out, 3 * v);
    }
    return face;
  }
}
