// The picture as a video file, mark and metadata and all, as long as it is recorded.
import { described } from "./webm.js";

const KINDS = ["video/webm;codecs=vp9", "video/webm", "video/mp4"]; // as browsers have them

export class Recorder {
  // about: title, comment and artist; save: what is called with the file and whether it has them.
  constructor(canvas, about, save) {
    Object.assign(this, { canvas, about, save, recorder: null });
    const able = typeof MediaRecorder === "function" && "captureStream" in canvas;
    this.kind = able ? KINDS.find((kind) => MediaRecorder.isTypeSupported(kind)) : undefined;
  }

  get possible() { return this.kind !== undefined; }

  get on() { return this.recorder !== null; }

  start() {
    const parts = [], [type] = this.kind.split(";"), begun = performance.now();
    this.recorder = new MediaRecorder(this.canvas.captureStream(), { mimeType: this.kind, videoBitsPerSecond: 4e6 });
    this.recorder.ondataavailable = (event) => parts.push(event.data);
    this.recorder.onstop = async () => {
      const seconds = (performance.now() - begun) / 1000, file = new Blob(parts, { type });
      if (type !== "video/webm") this.save(file, false);
      else this.save(new Blob([described(new Uint8Array(await file.arrayBuffer()), this.about, seconds)], { type }), true);
    };
    this.recorder.start();
  }

  stop() {
    this.recorder.stop();
    this.recorder = null;
  }
}
