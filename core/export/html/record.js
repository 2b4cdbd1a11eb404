// The picture as a WebM file, mark and all, as long as it is recorded.

export class Recorder {
  constructor(canvas, save) {
    Object.assign(this, { canvas, save, recorder: null });
  }

  get possible() { return typeof MediaRecorder === "function" && "captureStream" in this.canvas; }

  get on() { return this.recorder !== null; }

  start() {
    const parts = [], type = ["video/webm;codecs=vp9", "video/webm"].find((t) => MediaRecorder.isTypeSupported(t));
    this.recorder = new MediaRecorder(this.canvas.captureStream(), { mimeType: type, videoBitsPerSecond: 4e6 });
    this.recorder.ondataavailable = (event) => parts.push(event.data);
    this.recorder.onstop = () => this.save(new Blob(parts, { type: "video/webm" }));
    this.recorder.start();
  }

  stop() {
    this.recorder.stop();
    this.recorder = null;
  }
}
