// The part of the camera's picture that the tracker is shown: a small square around the face, which follows it slowly; the
// whole picture where there is none. Software WebGL, in which the tracker reads its picture, takes its time by the pixel.
import { clamp } from "./numeric.js";

const SIDE = 256; // pixels of what is shown: half of it face, as large as the tracker's model looks at it
const ROOM = 2; // sides of the face that the square is wide
const FOLLOWS = 0.3; // seconds in which it follows (time constant)

export class Viewfinder {
  constructor() {
    this.canvas = new OffscreenCanvas(SIDE, SIDE);
    this.context = this.canvas.getContext("2d", { willReadFrequently: true, alpha: false });
    this.forget();
  }

  forget() { this.square = this.shown = null; }

  // The picture to be shown of a camera's (width x height).
  show(video, width, height) {
    const whole = Math.max(width, height);
    this.shown = this.square || { x: width / 2, y: height / 2, side: whole };
    const { x, y, side } = this.shown, scale = SIDE / side;
    this.context.fillRect(0, 0, SIDE, SIDE);
    this.context.drawImage(video, (side / 2 - x) * scale, (side / 2 - y) * scale, width * scale, height * scale);
    return this.canvas;
  }

  // Points (478 * 3) in parts of what was shown, in pixels of the camera's picture instead; null where there is no face.
  // `passed`: seconds since the last one.
  seen(points, passed) {
    if (!points) {
      this.square = null;
      return null;
    }
    const { x, y, side } = this.shown, out = new Float64Array(points.length);
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    for (let i = 0; i < points.length; i += 3) {
      const [px, py] = [x + (points[i] - 0.5) * side, y + (points[i + 1] - 0.5) * side];
      out.set([px, py, points[i + 2] * side], i);
      x0 = Math.min(x0, px); x1 = Math.max(x1, px);
      y0 = Math.min(y0, py); y1 = Math.max(y1, py);
    }
    const wanted = { x: (x0 + x1) / 2, y: (y0 + y1) / 2, side: ROOM * Math.max(x1 - x0, y1 - y0) };
    const now = this.square || wanted, share = this.square ? 1 - Math.exp(-clamp(passed, 0, 1) / FOLLOWS) : 1;
    this.square = Object.fromEntries(["x", "y", "side"].map((k) => [k, now[k] + share * (wanted[k] - now[k])]));
    return out;
  }
}
