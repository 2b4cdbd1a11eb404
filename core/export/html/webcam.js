// The viewer's camera, picture after picture: what the tracker sees in one becomes the moment that is drawn.
import { faceTracker } from "./face_tracker.js";
import { Live } from "./live.js";
import { pictures } from "./stream.js";
import { Viewfinder } from "./viewfinder.js";

const WANTED = { video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" }, audio: false };

export class Camera {
  constructor(video, data, head, still, tracker) {
    Object.assign(this, { video, text: tracker, tracker: null, moment: null, on: false, frames: 0, faces: 0, milliseconds: 0 });
    this.live = new Live(data, head, still);
    this.viewfinder = new Viewfinder();
  }

  // Error where there is no camera, or its use is refused.
  async start() {
    if (!navigator.mediaDevices) throw new Error("this browser gives files no camera");
    this.stream = await navigator.mediaDevices.getUserMedia(WANTED);
    this.pictures = await pictures(this.stream, this.video);
    this.tracker = this.tracker || await faceTracker(this.text);
    this.on = true;
    this.live.forget();
    this.viewfinder.forget();
    this.follow(this.pictures);
  }

  stop() {
    this.on = false;
    this.moment = null;
    if (this.stream) for (const track of this.stream.getTracks()) track.stop();
    if (this.pictures) this.pictures.stop();
    this.stream = this.pictures = null;
  }

  async follow(from) {
    const { viewfinder } = this;
    let before = 0;
    while (this.on && this.pictures === from) {
      const came = await from.next();
      if (!came) continue;
      const start = performance.now(), shown = viewfinder.show(came.picture, came.width, came.height);
      from.done(came);
      const found = await this.tracker(shown);
      if (!this.on) break;
      const points = viewfinder.seen(found, (start - before) / 1000);
      before = start;
      this.moment = this.live.next(points, start / 1000);
      this.frames++;
      if (points) this.faces++;
      this.milliseconds = performance.now() - start;
    }
  }
}
