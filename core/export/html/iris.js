// Where an iris goes in a picture, and how its border points have it turned. As place_iris in iris_place.py.
import { clamp, smoothstep } from "./numeric.js";

const sub = (a, b) => [a[0] - b[0], a[1] - b[1]];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1];

function acrossCorners(ring) {
  const axis = sub(ring[8], ring[0]), width = Math.hypot(...axis), sign = axis[0] > 0 ? 1 : -1;
  return [[(-sign * axis[1]) / Math.max(width, 1e-6), (sign * axis[0]) / Math.max(width, 1e-6)], width];
}

function contourRatio(ring) {
  const [down, width] = acrossCorners(ring);
  const middle = (from, to) => ring.slice(from, to).reduce((s, p) => [s[0] + p[0] / 7, s[1] + p[1] / 7], [0, 0]);
  return dot(sub(middle(9, 16), middle(1, 8)), down) / Math.max(width, 1e-6);
}

// Singular values and vectors of a matrix (4): the symmetric factors of a = u diag(s) v^t.
function svd([a, b, c, d]) {
  const e = (a + d) / 2, f = (a - d) / 2, g = (c + b) / 2, h = (c - b) / 2;
  const q = Math.hypot(e, h), r = Math.hypot(f, g), a1 = Math.atan2(g, f), a2 = Math.atan2(h, e);
  const theta = (a2 - a1) / 2, phi = (a2 + a1) / 2;
  return { u: phi, v: theta, sizes: [q + r, q - r] };
}

// (4) what takes places on an ellipse with these axes, from its centre, to the photo's; rows as in Python.
function toPhoto(axes, ofPhoto, least) {
  // Least squares of two by two is the inverse; the photo's axes are never degenerate.
  const [[a, b], [c, d]] = ofPhoto, det = a * d - b * c;
  const inv = [d / det, -b / det, -c / det, a / det];
  const m = [inv[0] * axes[0][0] + inv[1] * axes[1][0], inv[0] * axes[0][1] + inv[1] * axes[1][1],
    inv[2] * axes[0][0] + inv[3] * axes[1][0], inv[2] * axes[0][1] + inv[3] * axes[1][1]];
  const { u, v, sizes } = svd(m);
  const large = Math.max(Math.abs(sizes[0]), 1e-3), sign = sizes[1] < 0 ? -1 : 1;
  const small = Math.max(Math.abs(sizes[1]), least * large, 1e-3) * sign;
  // m = R(u) diag(s) R(v); its inverse with the sizes limited.
  const cu = Math.cos(u), su = Math.sin(u), cv = Math.cos(v), sv = Math.sin(v), s1 = 1 / large, s2 = 1 / small;
  return [cv * s1 * cu - sv * s2 * su, cv * s1 * su + sv * s2 * cu, -sv * s1 * cu - cv * s2 * su, -sv * s1 * su + cv * s2 * cu];
}

// What the lids leave to be seen of an iris: a closing eye's upper lashes hang over it.
function lidded(ring, iris, settings, down, width) {
  const opened = smoothstep(contourRatio(ring) / Math.max(iris.opening, 1e-6), ...settings.closing);
  const out = ring.map((p, i) => [0, 1].map((k) => p[k] + opened * iris.drop[i] * width * down[k]));
  const most = settings.lashes * width * (1 - opened);
  for (let k = 1; k < 8; k++) {
    const hang = Math.min(most, Math.max(dot(sub(out[16 - k], out[k]), down), 0));
    out[k] = [out[k][0] + hang * down[0], out[k][1] + hang * down[1]];
  }
  return out;
}

// Lids that are open hide no more of an iris than half, or than the photo's hide; as between_lids in iris_place.py.
function betweenLids(centre, contour, ring, iris, radius, settings, down, width) {
  const at = [down[1], -down[0]], middle = [0, 1].map((k) => (ring[0][k] + ring[8][k]) / 2);
  const there = dot(sub(centre, middle), down), along = dot(sub(centre, middle), at);
  const height = (side) => {
    const lid = side.map((i) => sub(contour[i], middle)).map((p) => [dot(p, at), dot(p, down)]).sort((a, b) => a[0] - b[0]);
    const next = lid.findIndex((p) => p[0] > along);
    if (next <= 0) return lid[next < 0 ? lid.length - 1 : 0][1];
    const [a, b] = [lid[next - 1], lid[next]];
    return a[1] + ((b[1] - a[1]) * (along - a[0])) / (b[0] - a[0]);
  };
  const upper = height([0, 1, 2, 3, 4, 5, 6, 7, 8]), lower = height([0, 15, 14, 13, 12, 11, 10, 9, 8]);
  const own = iris.place[1] * width, hidden = (1 - settings.seen) * radius;
  const kept = Math.min(Math.max(there, Math.min(upper - hidden, own)), Math.max(lower + hidden, own));
  const opened = smoothstep(contourRatio(ring) / Math.max(iris.opening, 1e-6), ...settings.closing);
  return [centre[0] + opened * (kept - there) * down[0], centre[1] + opened * (kept - there) * down[1]];
}

// pixels: (478 * 2). The uniforms of iris.glsl, or null where nothing of it is seen.
export function irisView(iris, pixels, topology, settings, scale) {
  const point = (i) => [pixels[2 * i], pixels[2 * i + 1]];
  const ring = topology.eyes[iris.side].map(point), points = topology.irises[iris.side].map(point);
  const [down, width] = acrossCorners(ring), along = [down[1], -down[0]];
  const contour = lidded(ring, iris, settings, down, width);
  const open = smoothstep((contourRatio(contour) * width) / scale, ...settings.touching);
  const middle = [0, 1].map((k) => points.reduce((s, p) => s + p[k], 0) / points.length);
  const tracked = points.slice(1).reduce((s, p) => s + Math.hypot(...sub(p, middle)), 0) / 4;
  const radius = tracked * iris.grown;
  let centre = [0, 1].map((k) => middle[k] + tracked * (iris.beside[0] * along[k] + iris.beside[1] * down[k]));
  const margin = Math.min(settings.inside, iris.room) * radius, corners = sub(ring[8], ring[0]);
  const length = Math.hypot(...corners);
  if (length >= 2 * margin + 1e-6) {
    const axis = corners.map((v) => v / length), place = dot(sub(centre, ring[0]), axis);
    const move = clamp(place, margin, length - margin) - place;
    centre = [centre[0] + move * axis[0], centre[1] + move * axis[1]];
  }
  centre = betweenLids(centre, contour, ring, iris, radius, settings, down, width);
  const axes = [sub(points[1], points[3]).map((v) => v / 2), sub(points[2], points[4]).map((v) => v / 2)];
  const beside = sub(centre, [(ring[0][0] + ring[8][0]) / 2, (ring[0][1] + ring[8][1]) / 2]);
  const place = [dot(beside, along) / Math.max(width, 1e-6), dot(beside, down) / Math.max(width, 1e-6)];
  const away = (Math.hypot(place[0] - iris.place[0], place[1] - iris.place[1]) * width) / Math.max(radius, 1e-3);
  const moved = smoothstep(away, ...settings.moved);
  const disc = settings.disc.map((v, k) => v + moved * (settings.moved_disc[k] - v));
  return open > 0 && {
    contour, centre, toPhoto: toPhoto(axes, iris.axes, settings.least_axis), radius: iris.radius, disc, moved, open,
    grow: settings.growth * scale,
  };
}
