// What a picture's mouth is painted from: where the rows of teeth are, by the face and by what the driver shows. As
// mouth/draw.py; the shader mouth.glsl has the kernel.
import { at, clamp, distance, inverse, ramp, smoothstep, toCamera } from "./numeric.js";

const MM = 0.005; // head units

export class Mouth {
  constructor({ arrays, values }, camera) {
    this.about = values.mouth;
    this.settings = values.mouth.settings;
    this.topology = values.topology;
    this.rest = arrays["mouth.rest"];
    this.matrix = arrays["mouth.outline"];
    this.camera = camera;
  }

  // The smooth ring of the lips (80 * 2) of the face's pixels (478 * 2).
  outline(pixels) {
    const lips = this.topology.innerLips, n = lips.length, out = new Float32Array((this.matrix.length / n) * 2);
    for (let i = 0; i < out.length / 2; i++)
      for (let j = 0; j < n; j++) {
        const w = this.matrix[n * i + j];
        out[2 * i] += w * pixels[2 * lips[j]];
        out[2 * i + 1] += w * pixels[2 * lips[j] + 1];
      }
    return out;
  }

  // How much of the drawn inside is shown, and not the photo's own.
  share(face) {
    const { lipPairs } = this.topology, blend = this.settings.photo_blend;
    const now = lipPairs.reduce((sum, [a, b]) => sum + face[3 * a + 1] - face[3 * b + 1], 0) / lipPairs.length;
    const own = this.about.opening;
    const share = Math.abs(now - own) / (blend.near_share * own + blend.near * MM) - blend.exact;
    return clamp(share, 0, 1) * ramp(now / MM, ...blend.touching);
  }

  jawAngle(face) {
    const { rest } = this, [, jy, jz] = this.about.joint;
    let cross = 0, dot = 0;
    for (const i of this.topology.chin) {
      const a = [rest[3 * i + 1] - jy, rest[3 * i + 2] - jz], b = [face[3 * i + 1] - jy, face[3 * i + 2] - jz];
      cross += a[0] * b[1] - a[1] * b[0];
      dot += a[0] * b[0] + a[1] * b[1];
    }
    return Math.atan2(cross, dot);
  }

  // face (478 * 3) in head space, pixels (478 * 2), transform (12) to the camera that draws, interior (4) or null.
  view(face, pixels, T, interior) {
    const { about, settings, topology } = this, shape = settings.shape, joint = about.joint;
    const middle = about.middle.map((v) => v / MM);
    const eye = [0, 1, 2].map((i) => -(T[4 * i] * T[3] + T[4 * i + 1] * T[7] + T[4 * i + 2] * T[11]));
    const toward = eye.map((v, i) => v / MM - middle[i]), rise = toward[1] / toward[2];
    let lipUp = face[3 * 13 + 1] / MM, lipLow = face[3 * 14 + 1] / MM;
    const opening = Math.max(lipUp - lipLow, 0);
    lipUp -= rise * shape.upper_behind;
    lipLow -= rise * shape.lower_behind;
    const bite = middle[1] - shape.overbite;
    let upper = Math.max(bite - shape.above_bite, lipUp - shape.crown_shows);
    upper = Math.min(upper, lipUp - Math.min(shape.least_shows, shape.least_share * opening));
    const angle = this.jawAngle(face), c = Math.cos(angle), s = Math.sin(angle);
    const y = (bite - shape.lower_below) * MM - joint[1], z = (middle[2] - shape.lower_behind) * MM - joint[2];
    const jaw = [middle[0], (c * y - s * z + joint[1]) / MM, (s * y + c * z + joint[2]) / MM];
    let lower = Math.min(jaw[1], lipLow + shape.lower_shows);
    const [left, right] = topology.mouthCorners;
    const bared = ramp(distance(at(face, left), at(face, right)) / Math.max(about.width, 1e-6), ...shape.bared);
    lower = Math.min(lower, upper + shape.overlap);
    let inside = { upper, lower, tongue: shape.tongue + shape.tongue_rises * opening, bright: shape.tongue_bright, bared };
    if (interior) inside = asRead(inside, interior, opening, lipUp, lipLow, settings);
    const [toUpper, eyeUpper] = this.plane([middle[0], inside.upper, middle[2] - shape.upper_behind], T, eye);
    const [toLower, eyeLower] = this.plane([jaw[0], inside.lower, jaw[2]], T, eye);
    const apart = Math.hypot(pixels[66] - pixels[526], pixels[67] - pixels[527]); // the eyes' outer corners, 33 and 263
    const pixel = distance(at(face, 33), at(face, 263)) / MM / Math.max(apart, 1e-6);
    const shadow = settings.shadow;
    return {
      toUpper, toLower, eyeUpper, eyeLower, lipUp: lipUp - inside.upper, opening, tongue: inside.tongue,
      bright: inside.bright, bared: inside.bared, pixel,
      reach: clamp(shadow.of_opening * opening, shadow.least, shadow.most),
    };
  }

  // A frontal plane of the head through a point in millimetres: from homogeneous pixels to it, and the camera in it.
  plane(origin, T, eye) {
    const unit = this.camera.unit, middle = (this.camera.size - 1) / 2;
    const o = toCamera(origin.map((v) => MM * v), T);
    const columns = [[0, 1, 2].map((k) => MM * T[k]), [0, 1, 2].map((k) => MM * T[4 + k]), o];
    const rows = [];
    for (const row of [[-unit, 0, middle], [0, -unit, middle], [0, 0, 1]])
      for (const column of columns) rows.push(row[0] * column[0] + row[1] * column[1] + row[2] * column[2]);
    return [inverse(rows), eye.map((v, i) => v / MM - origin[i])];
  }
}

function asRead({ upper, lower, tongue, bright, bared }, interior, opening, lipUp, lipLow, settings) {
  const how = settings.interior, overlap = settings.shape.overlap;
  let [up, low, top, shines] = interior;
  const confidence = smoothstep(opening, ...how.trusted), most = how.upper_most * settings.scale;
  low += Math.max(up - most / Math.max(opening, 1e-3), 0);
  let visible = up > how.hidden ? clamp(up * opening, how.upper_least, most) : -how.upper_behind_lip;
  upper += how.rows * confidence * (lipUp - visible - upper);
  visible = low > how.hidden
    ? clamp(low * opening, how.lower_least, how.lower_most * settings.scale) : -how.lower_behind_lip;
  lower = Math.min(lower, upper + overlap);
  lower += how.rows * confidence * (lipLow + visible - lower);
  lower = Math.min(lower, upper + overlap);
  const height = clamp(top * opening - (lower - lipLow), ...how.tongue_limits) + how.tongue_raised;
  tongue += how.tongue * confidence * (height - tongue);
  shines = (how.tongue_light * shines) / (how.near_lips + (1 - how.near_lips) * smoothstep(opening, 2, 20));
  bright += how.tongue * confidence * (clamp(shines, ...how.light_limits) - bright);
  return { upper, lower, tongue, bright, bared: bared + confidence * (1 - bared) };
}
