// How the photo's head is held for a driver's pose: turns and shifts counted from a neutral, softly limited. As
// core/libs/retargeting/pose.py.
import { softClipLength } from "./numeric.js";

const FLIP = [-1, 1, -1];

// Roll, yaw and pitch of a head-to-camera rotation (9, row vectors).
export function headAngles(R) {
  const M = (i, j) => R[3 * j + i] * FLIP[j];
  return [Math.atan2(M(1, 0), M(0, 0)), Math.asin(Math.min(Math.max(-M(2, 0), -1), 1)), Math.atan2(M(2, 1), M(2, 2))];
}

export function headRotation([roll, yaw, pitch]) {
  const [a, b, c] = [Math.cos(roll), Math.cos(yaw), Math.cos(pitch)], [d, e, f] = [Math.sin(roll), Math.sin(yaw), Math.sin(pitch)];
  const M = [a * b, a * e * f - d * c, a * e * c + d * f, d * b, d * e * f + a * c, d * e * c - a * f, -e, b * f, b * c];
  const R = new Array(9);
  for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) R[3 * j + i] = M[3 * i + j] * FLIP[j];
  return R;
}

export const rotationOf = (T) => [T[0], T[1], T[2], T[4], T[5], T[6], T[8], T[9], T[10]];

export function transformOf(R, t) {
  return [R[0], R[1], R[2], t[0], R[3], R[4], R[5], t[1], R[6], R[7], R[8], t[2]];
}

// source: (12); angles and shift: (3) the driver's and its neutral's. Returns (12).
export function relativePose(source, { angles, shift }, neutral, settings) {
  const own = headAngles(rotationOf(source)), most = (settings.turn_limit * Math.PI) / 180;
  const turned = angles.map((v, k) => {
    let delta = v - neutral.angles[k] + Math.PI;
    delta -= 2 * Math.PI * Math.floor(delta / (2 * Math.PI)) + Math.PI;
    let limit = most;
    if (k === 1) limit += delta * own[1] > 0 ? -Math.min(Math.abs(own[1]), most / 2) : Math.abs(own[1]);
    return own[k] + limit * Math.tanh(delta / limit);
  });
  const moved = shift.map((v, k) => (v - neutral.shift[k]) * (k === 2 ? settings.depth_share : 1));
  const place = softClipLength(moved, settings.shift_limit).map((v, k) => v + source[4 * k + 3]);
  return transformOf(headRotation(turned), place);
}
