// How far the photo's lips and lids are to be open for a driver's, and the codes that open them so far. As
// core/libs/retargeting/opening_goals.py, the plain strategy.
import { clamp, median, percentile, rotation, smoothstep, softClip, softUpperClip } from "./numeric.js";

// Rows: lips, left eye, right eye; then one for each pair of their rims. Head units along the head's vertical.
export function gapsOf(face, live) {
  const height = ([a, b]) => face[3 * a + 1] - face[3 * b + 1];
  const whole = live.pairs.map((pairs) => pairs.reduce((sum, pair) => sum + height(pair), 0) / pairs.length);
  return [...whole, ...live.rims.flat().map(height)];
}

const column = (rows, i) => rows.map((row) => row[i]);

export function openLidGap(gaps) {
  const wide = percentile(gaps, 90), least = Math.min(wide / 2, wide);
  return median(gaps.filter((gap) => gap >= least));
}

const lipsApart = (gap, most) => clamp(gap / most - 1, 0, 1);
const closedLipGap = (gap, most) => clamp(gap, -most, most) * (1 - lipsApart(gap, most));
const lipContact = (gaps, most) => clamp(percentile(gaps, 2), -most, most);

// The frames, of those remembered, with open eyes and lips among the nearest; all where there are fewer than two.
export function calmFrames(gaps, width, settings) {
  const lips = column(gaps, 0), near = (lipContact(lips.map((g) => g / width), settings.contact) + settings.least_gap) * width;
  const most = Math.max(percentile(lips, 100 * settings.least_open), near), open = [1, 2].map((i) => openLidGap(column(gaps, i)));
  const good = gaps.map((g, t) => t).filter((t) => gaps[t][0] <= most
    && [1, 2].every((i) => Math.abs(gaps[t][i] / open[i - 1] - 1) < settings.open_eyes));
  return good.length >= 2 ? good : gaps.map((g, t) => t);
}

export class Openings {
  constructor({ arrays, values }) {
    Object.assign(this, { arrays, live: values.live, settings: values.live.openingSettings });
    this.rims = this.live.rims.flatMap((pairs, i) => pairs.map(() => i));
    this.own = this.live.sourceGaps;
    this.width = this.live.sourceWidth;
    this.contact = this.live.neutralSettings.contact;
  }

  // Goals (3) for a driver's gaps (3), by those remembered, its eyes' distance and the mean person's open eyes in it.
  goals(gaps, known, width, reference) {
    const s = this.settings, { parts, opens } = this.lids(gaps, known, reference);
    const goals = [0, 0, 0];
    for (const i of [1, 2]) {
      const more = Math.max(gaps[i] - opens[i - 1], 0) * (this.width / width);
      const wider = softUpperClip(1 + more / Math.max(this.own[i], 1e-6), s.lid_wide, s.lid_widest);
      goals[i] = this.own[i] * (more > 0 ? Math.max(parts[i - 1], wider) : parts[i - 1]);
    }
    const over = column(known, 0).map((g) => g / width), contact = closedLipGap(percentile(over, 2), this.contact);
    const closed = closedLipGap(this.own[0] / this.width, this.contact), opening = gaps[0] / width - contact;
    const pressed = s.lip_pressed * Math.tanh(opening / s.lip_pressed);
    goals[0] = this.width * (closed + (opening < 0 ? pressed : softUpperClip(opening, s.lip_wide, s.lip_widest)));
    return goals;
  }

  lids(gaps, known, reference) {
    const s = this.settings, eyes = [1, 2];
    const opens = eyes.map((i) => (known.length > 1
      ? Math.max(openLidGap(column(known, i)), s.least_eye * reference[i])
      : clamp(known[0][i], (1 - s.eye_spread) * reference[i], (1 + s.eye_spread) * reference[i])));
    const part = eyes.map((i, k) => gaps[i] / opens[k]);
    const open = part.map((p, k) => {
      const seen = clamp(p, 0, 1), touch = contactOf(column(known, eyes[k]).map((g) => g / opens[k]), s);
      return seen ** s.lid_curve * smoothstep(seen, touch, s.lid_closing);
    });
    const both = together(open, s);
    const parts = both.map((p, k) => Math.max(softUpperClip(p + Math.max(part[k] - 1, 0), s.lid_wide, s.lid_widest), 0));
    return { parts, opens };
  }

  // How far the photo's face is open with codes (100) and a jaw's angle, radians: the rows of gapsOf.
  gaps(code, jaw) {
    const { arrays } = this, n = code.length, term = (name) => arrays[`live.gap.${name}`];
    const rest = term("rest"), moves = term("moves"), share = term("jaw"), signs = term("signs"), points = share.length;
    const along = (basis, row) => code.reduce((sum, c, k) => sum + c * basis[row * n + k], 0);
    const joint = Array.from(term("joint"), (v, k) => v + along(term("jointMoves"), k));
    const turn = rotation(jaw, 0, 0).slice(3, 6).map((v, k) => v - Number(k === 1));
    const rows = new Float64Array(signs.length / points);
    for (let v = 0; v < points; v++) {
      const place = [0, 1, 2].map((k) => rest[3 * v + k] + along(moves, 3 * v + k));
      const y = place[1] + share[v] * turn.reduce((sum, t, k) => sum + t * (place[k] - joint[k]), 0);
      for (let r = 0; r < rows.length; r++) rows[r] += signs[r * points + v] * y;
    }
    return rows;
  }

  // The codes (100) with the least change that gives the photo's face these openings; jaw: its angle, radians.
  opened(code, jaw, goals) {
    const s = this.settings, n = goals.length, codes = code.length, { arrays, own } = this;
    const part = [goals[0] / (s.lip_closing * this.width), ...[1, 2].map((i) => goals[i] / Math.max(own[i], 1e-6))];
    const kept = 1 - lipsApart(own[0] / this.width, this.contact);
    const shut = this.rims.map((i, r) => (i === 0
      ? Math.min(own[n + r], 0) + kept * Math.max(own[n + r], 0) : Math.max(part[i], 0) * own[n + r]));
    const closing = this.rims.map((i) => clamp(1 - part[i], 0, 1));
    const opening = arrays["live.openingInverse"], inverse = arrays["live.inverse"], gradient = arrays["live.rimGradient"];
    const change = new Float64Array(codes), start = Array.from(code);
    let now = start;
    const step = (share) => {
      const gaps = this.gaps(now, jaw);
      const missing = goals.map((g, i) => g - gaps[i]), moves = new Float64Array(codes);
      missing.forEach((m, i) => { for (let k = 0; k < codes; k++) moves[k] += m * opening[i * codes + k]; });
      const rows = [...missing, ...this.rims.map((_, r) => {
        let along = 0;
        for (let k = 0; k < codes; k++) along += moves[k] * gradient[r * codes + k];
        return along + closing[r] * (shut[r] - gaps[n + r] - along);
      })];
      rows.forEach((value, r) => { for (let k = 0; k < codes; k++) change[k] += share * value * inverse[r * codes + k]; });
      now = start.map((c, k) => c + softClip(change[k], Math.max(s.limit - Math.sign(change[k]) * c, 1e-9)));
    };
    const lost = () => start.reduce((most, c, k) => Math.max(most, Math.abs(c + change[k] - now[k])), 0);
    for (let round = 0; round < s.rounds; round++) step(1);
    // What the limit cut off is distributed again.
    for (let round = 0; round < s.more_rounds && lost(); round++) step(Math.min(lost() / s.cut, 1));
    return now;
  }
}

function contactOf(parts, s) {
  const count = Math.max(2, Math.floor(parts.length / 100));
  const low = parts.length > 1 ? [...parts].sort((a, b) => a - b).slice(0, count).reduce((x, y) => x + y) / Math.min(count, parts.length) : 1;
  const blinks = clamp((s.lid_no_blink - low) / (s.lid_no_blink - s.lid_contact_most), 0, 1);
  return s.lid_contact + blinks * (clamp(low, s.lid_contact_least, s.lid_contact_most) - s.lid_contact);
}

function together(part, s) {
  const narrow = Math.min(...part);
  part = part.map((p) => p + (1 - smoothstep(p, ...s.lid_together)) * (narrow - p));
  const mean = (part[0] + part[1]) / 2, apart = Math.abs(part[0] - part[1]);
  const alike = (1 - smoothstep(apart, ...s.lid_alike)) * (1 - smoothstep(mean, ...s.lid_blinking));
  return part.map((p) => p + alike * (mean - p));
}
