// A camera that goes round the head: by the pointer, by keys, or swinging on its own. As core.libs.retargeting.orbit.
import { clamp, mean, product, rotation, toCamera } from "./numeric.js";

const LIMITS = { yaw: 0.7, pitch: 0.35, near: 0.6, far: 1.6 }; // radians; and times the photo's distance
const SWING = { yaw: 0.35, seconds: 4 };
const PER_PIXEL = 0.006; // radians

export class Orbit {
  // face: (478 * 3) in head space, anchor: (12) where the head is at rest.
  constructor(face, anchor, topology) {
    this.middle = toCamera(mean(face, topology.landmarks68), anchor);
    const axis = [anchor[4], anchor[5], anchor[6]], length = Math.hypot(...axis);
    this.axis = axis.map((v) => v / length);
    this.reset();
  }

  reset() {
    this.yaw = this.pitch = 0;
    this.distance = 1;
    this.since = null; // when it began to swing
  }

  turn(yaw, pitch) {
    this.yaw = clamp(this.yaw + yaw, -LIMITS.yaw, LIMITS.yaw);
    this.pitch = clamp(this.pitch + pitch, -LIMITS.pitch, LIMITS.pitch);
  }

  zoom(times) {
    this.distance = clamp(this.distance * times, LIMITS.near, LIMITS.far);
  }

  // The view (12) at a time in seconds; null where the camera is the photo's.
  view(now) {
    const swing = this.since === null ? 0 : SWING.yaw * Math.sin((2 * Math.PI * (now - this.since)) / SWING.seconds);
    const yaw = this.yaw + swing;
    if (!yaw && !this.pitch && this.distance === 1) return null;
    const about = rotation(...this.axis.map((v) => v * yaw)), nod = rotation(this.pitch, 0, 0);
    const m = product(nod, about), out = new Array(12), middle = this.middle;
    // Row vectors: the transpose.
    for (let i = 0; i < 3; i++) for (let k = 0; k < 3; k++) out[4 * i + k] = m[3 * k + i];
    for (let k = 0; k < 3; k++) {
      out[4 * k + 3] = middle[k] - (middle[0] * out[k] + middle[1] * out[4 + k] + middle[2] * out[8 + k]);
    }
    out[11] += middle[2] * (this.distance - 1);
    return out;
  }

  // Follow the pointer over an element; two fingers and the wheel come nearer.
  follow(element) {
    const held = new Map();
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      held.set(event.pointerId, [event.clientX, event.clientY]);
    });
    element.addEventListener("pointermove", (event) => {
      const last = held.get(event.pointerId);
      if (!last) return;
      const apart = () => {
        const [a, b] = [...held.values()];
        return Math.hypot(a[0] - b[0], a[1] - b[1]);
      };
      const before = held.size === 2 ? apart() : 0;
      held.set(event.pointerId, [event.clientX, event.clientY]);
      if (held.size === 2) this.zoom(before / Math.max(apart(), 1));
      else this.turn((event.clientX - last[0]) * PER_PIXEL, (event.clientY - last[1]) * PER_PIXEL);
    });
    for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, (event) => held.delete(event.pointerId));
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY * 1e-3));
    }, { passive: false });
  }
}
