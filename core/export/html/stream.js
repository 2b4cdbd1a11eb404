// A camera's pictures, the newest one at a time.

const PATIENCE = 1000; // milliseconds that the next picture is waited for

// Where the browser hands them out as they came (Chromium), they need not go through the graphics processor and back.
class Frames {
  constructor(track) {
    this.reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 1 }).readable.getReader();
    this.waiting = null;
  }

  // The next picture with its width and height; null where none came for a while.
  async next() {
    this.waiting = this.waiting || this.reader.read();
    const late = new Promise((resolve) => { setTimeout(resolve, PATIENCE, null); }), came = await Promise.race([this.waiting, late]);
    if (!came) return null;
    this.waiting = null;
    if (came.done) return null;
    return { picture: came.value, width: came.value.displayWidth, height: came.value.displayHeight };
  }

  // The picture was looked at.
  done({ picture }) { picture.close(); }

  stop() { this.reader.cancel().catch(() => {}); }
}

class Video {
  constructor(element) { this.element = element; }

  next() {
    const { element } = this;
    return new Promise((resolve) => {
      const late = setTimeout(resolve, PATIENCE, null);
      const shown = () => {
        clearTimeout(late);
        resolve({ picture: element, width: element.videoWidth, height: element.videoHeight });
      };
      if (element.requestVideoFrameCallback) element.requestVideoFrameCallback(shown);
      else setTimeout(shown, 20);
    });
  }

  done() {}

  stop() { this.element.srcObject = null; }
}

export async function pictures(stream, element) {
  const [track] = stream.getVideoTracks();
  if (typeof MediaStreamTrackProcessor === "function") return new Frames(track);
  element.srcObject = stream;
  await element.play();
  return new Video(element);
}
