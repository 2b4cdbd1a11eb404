// The viewer's camera, picture after picture: what the tracker sees in one becomes the moment that is drawn.
import { faceTracker } from "./face_tracker.js";
import { Live } from "./live.js";

const WANTED = { video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" }, audio: false };

export class Camera {
  constructor(video, data, head, still, tracker) {
    Object.assign(this, { video, text: tracker, tracker: null, moment: null, on: false, frames: 0, faces: 0, milliseconds: 0 });
    this.live = new Live(data, head, still);
  }

  // Error where there is no camera, or its use is refused.
  async start() {
    if (!navigator.mediaDevices) throw new Error("this browser gives files no camera");
    this.stream = await navigator.mediaDevices.getUserMedia(WANTED);
    this.video.srcObject = this.stream;
    await this.video.play();
    this.tracker = this.tracker || await faceTracker(this.text);
    this.on = true;
    this.live.forget();
    this.follow();
  }

  stop() {
    this.on = false;
    this.moment = null;
    if (this.stream) for (const track of this.stream.getTracks()) track.stop();
    this.stream = this.video.srcObject = null;
  }

  async follow() {
    const { video } = this;
    let last = -1;
    while (this.on) {
      // One task after the other leaves the browser time to draw and to answer.
      await new Promise((resolve) => { setTimeout(resolve, 0); });
      if (!this.on || video.readyState < 2 || video.currentTime === last) continue;
      last = video.currentTime;
      const start = performance.now(), points = await this.tracker(video, video.videoWidth, video.videoHeight);
      if (!this.on) break;
      this.moment = this.live.next(points, start / 1000);
      this.frames++;
      if (points) this.faces++;
      this.milliseconds = performance.now() - start;
    }
  }
}
