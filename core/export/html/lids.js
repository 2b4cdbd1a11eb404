// Lids: how far they are open, nearly shut ones shut, and the skin that they turn into. As lids.py and eyes.py.
import { at, clamp, distance, smoothstep } from "./numeric.js";

// Right, then left; negative where the lids crossed.
export function lidGaps(face, topology) {
  return topology.eyePairs.map((pairs, side) => {
    const [a, b] = topology.eyeCorners[side];
    const height = pairs.reduce((sum, [up, low]) => sum + face[3 * up + 1] - face[3 * low + 1], 0) / pairs.length;
    return height / distance(at(face, a), at(face, b));
  });
}

export function closeNearlyShut(face, openings, topology, settings) {
  const out = Float64Array.from(face);
  lidGaps(face, topology).forEach((gap, side) => {
    const ring = topology.eyes[side];
    const begins = Math.min(settings.shut_below, settings.of_reference * openings[side]);
    const share = smoothstep(gap, settings.shut * begins, begins);
    for (let k = 0; k < 7; k++) {
      const upper = 3 * ring[1 + k], lower = 3 * ring[15 - k];
      for (let c = 0; c < 3; c++) {
        const meet = settings.meet * out[upper + c] + (1 - settings.meet) * out[lower + c];
        out[upper + c] = meet + share * (out[upper + c] - meet);
        out[lower + c] = meet + share * (out[lower + c] - meet);
      }
    }
  });
  return out;
}

// The eye's window of the photo (RGBA bytes `open`) as it looks with the lids so far apart; into `out`. Whether it differs.
const CHANNELS = 11; // skin, line, share, inside, eye, lid, reach
export function closeLid(out, open, maps, gap, opening, s) {
  const part = gap / opening;
  if (part >= Math.max(s.skin_closing[1], s.line_closing[1], s.eye_closing[1])) {
    out.set(open);
    return false;
  }
  const [skin, line, eye] = [s.skin_closing, s.line_closing, s.eye_closing].map((l) => 1 - smoothstep(part, l[0], l[1]));
  const opened = clamp(part, 0, 1);
  for (let i = 0, m = 0; i < out.length; i += 4, m += CHANNELS) {
    const share = maps[m + 6], inside = maps[m + 7] > 0.5, above = maps[m + 8];
    out[i + 3] = 255;
    if (share <= 0) {
      for (let c = 0; c < 3; c++) out[i + c] = open[i + c];
      continue;
    }
    const reach = maps[m + 10] * (above > 0 ? 1 : 1 + opened);
    let dark = (1 - smoothstep((maps[m + 9] + opened * above) / reach, 0, 1)) * line;
    if (inside) dark = Math.max(dark, eye);
    const turned = (inside ? eye : skin) * share;
    for (let c = 0; c < 3; c++) {
      let now = open[i + c];
      now += turned * (255 * maps[m + c] - now);
      out[i + c] = now + dark * (255 * maps[m + 3 + c] - now);
    }
  }
  return true;
}
