// A viewer's face moves the photo: crop, fit, neutral, retargeting, smoothing. As core/libs/retargeting/live.py, reduced:
// shoulders follow the neck alone, and gaze is counted from the neutral.
import { clamp, median, smoothstep } from "./numeric.js";
import { Fitter } from "./fit.js";
import { OneEuro } from "./one_euro.js";
import { Openings, calmFrames, gapsOf } from "./openings.js";
import { headAngles, headRotation, relativePose, rotationOf, transformOf } from "./pose.js";

const FOLLOWS = 20; // seconds in which the crop follows a face that stays inside
const ROOM = 0.1; // of the crop: how near its border the face may come
const SMOOTH = { code: [1.5, 0.6], pose: [1.2, 1.5], eyes: [1.5, 1.0] }; // One-Euro's cutoff in Hz and slope; by eye

export class Live {
  constructor(data, head, still) {
    const { values } = data;
    Object.assign(this, { head, still, live: values.live, settings: values.live.liveSettings });
    this.fitter = new Fitter(data);
    this.openings = new Openings(data);
    this.rest = { ...still, torso: null, interior: null, anchor: still.transform };
    this.filters = Object.fromEntries(Object.entries(SMOOTH).map(([name, [cutoff, slope]]) => [name, new OneEuro({ cutoff, slope })]));
    this.forget();
  }

  forget() {
    this.fitter.forget();
    Object.assign(this, {
      crop: null, memory: [], neutral: null, goal: null, held: false, seconds: 0, now: null, lastSeen: -Infinity,
      remembered: -Infinity, decided: -Infinity, present: false, target: this.rest, shown: this.rest,
      ease: { from: this.rest, start: -Infinity, length: 1 }, eyesOpen: [],
    });
    for (const filter of Object.values(this.filters)) filter.reset();
  }

  // Points (478 * 3) in pixels of the camera's picture, or null; now: seconds. Returns the moment that is drawn.
  next(points, now) {
    const s = this.settings, passed = this.now === null ? 0 : clamp(now - this.now, 0, s.every);
    this.now = now;
    const found = points && this.fitter.next(this.cropped(points, passed));
    if (!found) {
      if (this.present && now - this.lastSeen > s.patience) {
        this.present = false;
        this.begin(now, s.leave);
        for (const filter of Object.values(this.filters)) filter.reset();
      }
      return this.eased(this.present ? this.target : this.rest, now);
    }
    if (!this.present) {
      this.present = true;
      this.begin(now, this.neutral ? s.resume : s.begin);
    }
    this.lastSeen = now;
    this.seconds += passed;
    const frame = this.measured(found, now);
    if (now - this.remembered >= s.every) {
      this.remembered = now;
      this.memory.push(frame);
      if (this.memory.length > s.remembered) this.memory.shift();
    }
    this.findNeutral(now, passed);
    return this.eased(this.moment(frame), now);
  }

  // The points in pixels of a square around the face that stays where it is while the face is well inside.
  cropped(points, passed) {
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    for (let i = 0; i < 468; i++) {
      x0 = Math.min(x0, points[3 * i]); x1 = Math.max(x1, points[3 * i]);
      y0 = Math.min(y0, points[3 * i + 1]); y1 = Math.max(y1, points[3 * i + 1]);
    }
    const wanted = { x: (x0 + x1) / 2, y: (y0 + y1) / 2, side: this.live.expansion * Math.sqrt((x1 - x0) * (y1 - y0)) };
    const c = this.crop || (this.crop = wanted), half = c.side / 2, room = ROOM * c.side;
    const outside = x0 < c.x - half + room || x1 > c.x + half - room || y0 < c.y - half + room || y1 > c.y + half - room;
    const share = 1 - Math.exp(-passed / (outside ? 0.4 : FOLLOWS));
    for (const k of ["x", "y", "side"]) c[k] += share * (wanted[k] - c[k]);
    const scale = this.live.size / c.side, out = new Float64Array(points.length);
    for (let i = 0; i < points.length; i += 3)
      out.set([(points[i] - c.x + c.side / 2) * scale - 0.5, (points[i + 1] - c.y + c.side / 2) * scale - 0.5, points[i + 2] * scale], i);
    return out;
  }

  measured({ pose, code, jaw, lifted, eyes }, now) {
    const gaps = gapsOf(lifted, this.live).slice(0, 3);
    const smooth = this.filters.pose.next([...headAngles(pose.R), ...pose.shift], now);
    // An iris behind a closing lid is a guess.
    this.eyesOpen.push(Math.max(...eyes.map((eye) => eye.opening)));
    if (this.eyesOpen.length > 250) this.eyesOpen.shift();
    const open = median(this.eyesOpen), sure = eyes.every((eye) => eye.opening > this.live.eyesSure * open);
    if (sure || !this.look) this.look = eyes.flatMap((eye) => [eye.pitch, eye.yaw]);
    return {
      at: now, gaps, angles: smooth.slice(0, 3), shift: smooth.slice(3), jaw, code: this.filters.code.next([...code, jaw], now),
      eyes: this.filters.eyes.next(this.look, now),
    };
  }

  begin(now, length) { this.ease = { from: this.shown, start: now, length }; }

  calibrate() {
    if (!this.memory.length) return false;
    const since = this.memory[this.memory.length - 1].at - this.settings.calibrated_from;
    this.neutral = this.goal = medians(this.memory.filter((frame) => frame.at >= since));
    this.held = true;
    this.begin(this.now, this.settings.resume);
    return true;
  }

  findNeutral(now, passed) {
    const s = this.settings;
    if (this.held) return;
    if (now - this.decided >= s.decide && this.memory.length) {
      this.decided = now;
      const calm = calmFrames(this.memory.map((f) => f.gaps), this.width(), this.live.neutralSettings);
      this.goal = medians(calm.map((t) => this.memory[t]));
      this.goal.code = this.likelyRest(this.goal.code);
    }
    if (!this.neutral) this.neutral = this.goal;
    const slowness = s.early + smoothstep(this.seconds, 0, s.settled) * (s.late - s.early);
    const part = 1 - Math.exp(-passed / slowness);
    this.neutral = Object.fromEntries(Object.entries(this.neutral).map(([name, values]) => (
      [name, values.map((v, k) => v + part * (this.goal[name][k] - v))])));
  }

  // The most probable resting code: drawn to the mean face the less was seen, but for what the photo has in common.
  likelyRest(code) {
    const s = this.live.neutralSettings, own = this.still.expression, dot = (a, b) => a.reduce((sum, v, k) => sum + v * b[k], 0);
    const common = clamp(dot(own, code) / Math.max(dot(own, own), 1e-9), 0, 1), seen = this.seconds / s.expression_seconds;
    const known = seen / (seen + s.motion_share / (1 - s.motion_share));
    return code.map((v, k) => (k < own.length ? common * own[k] + known * (v - common * own[k]) : v));
  }

  width() {
    const rest = this.fitter.person.rest, [a, b] = this.live.eyes;
    return Math.hypot(...[0, 1, 2].map((k) => rest[3 * a + k] - rest[3 * b + k]));
  }

  moment(frame) {
    const { still, neutral, live } = this, width = this.width(), known = [...this.memory.map((f) => f.gaps), frame.gaps];
    const reference = live.meanGaps.map((gap) => (gap * width) / live.meanWidth), last = still.expression.length;
    const code = still.expression.map((v, k) => v + frame.code[k] - neutral.code[k]);
    const jaw = still.pose[3] + frame.code[last] - neutral.code[last];
    const expression = this.openings.opened(code, jaw, this.openings.goals(frame.gaps, known, width, reference));
    const pose = still.pose.slice();
    pose[3] = jaw;
    const limit = live.eyeLimit, [pitch, yaw] = live.eyeGain;
    [[6, 0], [9, 2]].forEach(([place, k]) => {
      pose[place] = clamp(pose[place] + (frame.eyes[k] - neutral.eyes[k]) / pitch, -limit, limit);
      pose[place + 1] = clamp(pose[place + 1] + (frame.eyes[k + 1] - neutral.eyes[k + 1]) / yaw, -limit, limit);
    });
    const transform = relativePose(still.transform, frame, neutral, live.poseSettings);
    return { expression, pose, transform, torso: null, interior: null, anchor: still.transform };
  }

  eased(target, now) {
    this.target = target;
    const { from, start, length } = this.ease, part = Number.isFinite(start) ? smoothstep(now - start, 0, length) : 1;
    this.shown = part >= 1 ? target : between(from, target, part);
    return this.shown;
  }
}

function medians(frames) {
  const of = (name) => frames[0][name].map((_, k) => median(frames.map((frame) => frame[name][k])));
  return { code: of("code"), angles: of("angles"), shift: of("shift"), eyes: of("eyes") };
}

function between(a, b, part) {
  const mixed = (x, y) => x.map((v, k) => (1 - part) * v + part * y[k]);
  const R = headRotation(mixed(headAngles(rotationOf(a.transform)), headAngles(rotationOf(b.transform))));
  const shift = [3, 7, 11].map((k) => (1 - part) * a.transform[k] + part * b.transform[k]);
  return { ...b, expression: mixed(a.expression, b.expression), pose: mixed(a.pose, b.pose), transform: transformOf(R, shift) };
}
