// Where the proxy mesh goes: the face with the head model, hair with the head, shoulders on their own. As rig.py.
import { mean, seenFrom, smoothstep, toCamera } from "./numeric.js";

const POINTS = 478;

// The irises' centres in the middle of the lids: the white does not turn with the gaze.
export function restEyes(face, topology) {
  const out = Float64Array.from(face);
  topology.eyes.forEach((ring, side) => out.set(mean(face, ring), 3 * topology.irises[side][0]));
  return out;
}

export class Rig {
  constructor({ arrays, values }) {
    this.face = arrays["rig.face"];
    this.surroundings = arrays["rig.surroundings"];
    this.torso = arrays["rig.torso"];
    this.border = arrays["rig.border"];
    this.sides = { offsets: arrays["rig.offsets"], outwards: arrays["rig.outwards"], atRest: arrays["rig.atRest"] };
    this.values = values;
    this.count = this.torso.length;
  }

  // The points (M * 3) in the camera frame of a face (478 * 3) in head space under a transform (12); torso: (4) or null;
  // anchor: (12) where the head is when the shoulders stand as in the photo, the motion's own where it is left out;
  // view: (12) to the camera that draws, or null.
  pose(face, transform, torso, anchor, view, out = new Float64Array(3 * this.count)) {
    const { neck, neckReach, followedNeckReach, topology } = this.values;
    const oval = topology.oval, T = transform, still = anchor || this.values.anchor.flat();
    face = restEyes(face, topology);
    const move = oval.map((v) => [0, 1, 2].map((k) => face[3 * v + k] - this.face[3 * v + k]));
    const aside = this.aside(seenFrom(T, view));
    for (let v = 0; v < POINTS; v++) out.set(toCamera([0, 1, 2].map((k) => face[3 * v + k] + aside(v, k)), T), 3 * v);
    const pivot = toCamera(neck, still);
    const stand = torso ? torsoMotion(pivot, torso) : (p) => p;
    // A neck reaches only so far: the shoulders stand still for small moves and go along with large ones.
    const from = stand(pivot), goal = toCamera(neck, T), shift = goal.map((v, k) => v - from[k]);
    const length = Math.hypot(...shift), reach = torso ? followedNeckReach : neckReach;
    const follows = 1 - (reach * Math.tanh(length / reach)) / Math.max(length, 1e-9);
    for (let i = 0; i < this.count - POINTS; i++) {
      const rest = [this.surroundings[3 * i], this.surroundings[3 * i + 1], this.surroundings[3 * i + 2]];
      const around = rest.slice();
      for (let b = 0; b < oval.length; b++) {
        const w = this.border[oval.length * i + b];
        if (w) for (let k = 0; k < 3; k++) around[k] += w * move[b][k];
      }
      for (let k = 0; k < 3; k++) around[k] += aside(POINTS + i, k);
      const share = this.torso[POINTS + i], head = toCamera(around, T), body = stand(toCamera(rest, still));
      for (let k = 0; k < 3; k++)
        out[3 * (POINTS + i) + k] = head[k] * (1 - share) + (body[k] + shift[k] * follows) * share;
    }
    return out;
  }

  // Where ears and hair of a side that turns to the camera go, of a point and an axis. As sides.py.
  aside(T) {
    const { offsets, outwards, atRest } = this.sides, turn = Math.sin((this.values.sideTurn * Math.PI) / 180);
    const camera = [0, 1, 2].map((i) => -(T[4 * i] * T[3] + T[4 * i + 1] * T[7] + T[4 * i + 2] * T[11]));
    const far = Math.hypot(...camera), shares = new Float64Array(this.count);
    for (let v = 0; v < this.count; v++) {
      const along = (outwards[3 * v] * camera[0] + outwards[3 * v + 1] * camera[1] + outwards[3 * v + 2] * camera[2]) / far;
      shares[v] = smoothstep(along - atRest[v], 0, turn);
    }
    return (v, k) => offsets[3 * v + k] * shares[v];
  }
}

// As core.libs.geometry.apply_torso_motion: what takes a point about the neck's place.
function torsoMotion(pivot, [left, up, roll, grown]) {
  const growth = Math.exp(grown), c = growth * Math.cos(roll), s = growth * Math.sin(roll);
  const middle = [pivot[0] / pivot[2], pivot[1] / pivot[2]];
  return (p) => {
    const x = p[0] / p[2] - middle[0], y = p[1] / p[2] - middle[1], depth = p[2] / growth;
    return [(x * c - y * s + middle[0] + left / pivot[2]) * depth, (x * s + y * c + middle[1] + up / pivot[2]) * depth, depth];
  };
}
