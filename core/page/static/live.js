// The camera goes to the server picture by picture, the portrait comes back; two are on their way at most.

import { by, address, ask, listen } from "./connection.js";
import { cameraFault, cameraOf, chosen } from "./inputs.js";
import { values } from "./form.js";

const IN_FLIGHT = 2, SIDE = 640;
let session = null;

export function begin(fields, virtualCamera) {
  by("live-virtual-row").hidden = !virtualCamera;
  for (const field of fields.filter((one) => one.kind === "three")) {
    const label = document.createElement("label"), box = document.createElement("input");
    label.className = "line";
    box.type = "checkbox";
    box.checked = true;
    box.value = field.name;
    box.addEventListener("change", switched);
    label.append(box, field.label);
    label.title = field.help;
    by("live-switches").append(label);
  }
  by("live-start").addEventListener("click", () => (session ? stop("Stopped.") : start()));
  by("live-calibrate").addEventListener("click", () => {
    tell({ calibrate: true });
    say("Calibrated: this is the face at rest.");
  });
  by("live-record").addEventListener("click", record);
  by("live-mirror").addEventListener("change", mirror);
  mirror();
  listen((told) => {
    const waits = session && told?.jobs.find((job) => job.kind === "live" && job.state === "waiting");
    if (waits) say(`Waiting: ${waits.place} before this one.`);
    else if (session?.ready && told?.waiting) by("live-error").textContent = `${told.waiting} waiting for this session's end`;
  });
}

const on = () => [...by("live-switches").querySelectorAll("input:checked")].map((box) => box.value);
const tell = (what) => session?.socket.readyState === WebSocket.OPEN && session.socket.send(JSON.stringify(what));
const switched = () => tell({ improvements: on() });
const say = (text) => { if (by("live-state").textContent !== text) by("live-state").textContent = text; };

function mirror() {
  by("live-camera").classList.toggle("mirror", by("live-mirror").checked);
}

async function start() {
  by("live-error").textContent = "";
  if (!chosen.photo) {
    by("live-error").textContent = "Choose a photo first.";
    return;
  }
  const mine = session = { sent: new Map(), number: 0, waiting: [], shown: [], took: [], ready: false };
  by("live-start").textContent = "Stop";
  try {
    mine.stream = await cameraOf(false);
    if (session !== mine) return mine.stream.getTracks().forEach((track) => track.stop());
    by("live-camera").srcObject = mine.stream;
    await by("live-camera").play();
  } catch (error) {
    return stop("", cameraFault(error));
  }
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  mine.socket = new WebSocket(`${scheme}://${location.host}${address("live")}`);
  mine.socket.binaryType = "arraybuffer";
  say("Preparing; where another job runs, this one waits for it …");
  mine.socket.onopen = () => {
    const options = values(true), wanted = on();
    for (const box of by("live-switches").querySelectorAll("input")) options[box.value] = wanted.includes(box.value);
    mine.socket.send(JSON.stringify({ photo: chosen.photo, options, camera: by("live-virtual").checked }));
  };
  mine.socket.onmessage = (event) => (typeof event.data === "string" ? opened(mine) : portrait(mine, event.data));
  mine.socket.onclose = (event) => { if (session === mine) stop("", event.reason || "The server is gone."); };
}

function opened(mine) {
  mine.ready = true;
  say("Live. If the mouth is open while yours is shut: calibrate.");
  by("live-calibrate").disabled = by("live-record").disabled = false;
  switched();
  const video = by("live-camera"), next = () => {
    if (session !== mine) return;
    send(mine).finally(() => {
      if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(next); else requestAnimationFrame(next);
    });
  };
  next();
}

async function send(mine) {
  const video = by("live-camera");
  if (mine.sent.size >= IN_FLIGHT || !video.videoWidth) return;
  const scale = Math.min(1, SIDE / Math.max(video.videoWidth, video.videoHeight));
  const canvas = mine.canvas ||= document.createElement("canvas");
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  const brush = canvas.getContext("2d");
  if (by("live-mirror").checked) brush.setTransform(-1, 0, 0, 1, canvas.width, 0);  // not the portrait: its mark is to be read
  brush.drawImage(video, 0, 0, canvas.width, canvas.height);
  const number = ++mine.number;
  mine.sent.set(number, performance.now());
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.85));
  const message = new Uint8Array(4 + blob.size);
  new DataView(message.buffer).setUint32(0, number);
  message.set(new Uint8Array(await blob.arrayBuffer()), 4);
  if (session === mine && mine.socket.readyState === WebSocket.OPEN) mine.socket.send(message);
}

async function portrait(mine, data) {
  const view = new DataView(data), number = view.getUint32(0), face = view.getUint8(4) === 1;
  const picture = await createImageBitmap(new Blob([data.slice(7)], { type: "image/jpeg" }));
  const began = mine.sent.get(number), now = performance.now();
  for (const one of mine.sent.keys()) if (one <= number) mine.sent.delete(one);  // older ones were left out
  if (session !== mine) return;
  const canvas = by("live-portrait");
  if (canvas.width !== picture.width) canvas.width = canvas.height = picture.width;
  canvas.getContext("2d").drawImage(picture, 0, 0);
  canvas.dataset.number = number;
  canvas.dataset.face = face;
  mine.shown.push(now);
  while (mine.shown[0] < now - 2000) mine.shown.shift();
  mine.took.push(now - began);
  if (mine.took.length > 30) mine.took.shift();
  if (number % 5 === 0) {
    const spread = (now - mine.shown[0]) / 1000;
    by("live-fps").textContent = spread > 0 ? ((mine.shown.length - 1) / spread).toFixed(1) : "–";
    by("live-latency").textContent = [...mine.took].sort((a, b) => a - b)[mine.took.length >> 1].toFixed(0);
  }
  by("live-face").textContent = face ? "" : ", no face in the camera's picture";
}

function record() {
  if (session?.recorder) return session.recorder.stop();
  const mine = session, parts = [];
  mine.recorder = new MediaRecorder(by("live-portrait").captureStream());
  mine.recorder.ondataavailable = (event) => parts.push(event.data);
  mine.recorder.onstop = async () => {
    const made = new Blob(parts, { type: mine.recorder.mimeType });
    mine.recorder = null;
    by("live-record").textContent = "Record";
    by("live-record").setAttribute("aria-pressed", "false");
    by("live-file").textContent = "Saving the recording …";
    const link = document.createElement("a");
    link.className = "button";
    try {  // the server writes into the file what every result says, and how long it is
      const stored = await ask("POST", "recordings", made);
      link.href = `${address(`files/${stored.id}`)}?save=true`;
      link.download = stored.name;
      link.textContent = "Download the recording";
    } catch (error) {  // it is not lost with the server
      by("live-error").textContent = error.message;
      link.href = URL.createObjectURL(made);
      link.download = "live.webm";
      link.textContent = "Download the recording as the browser made it";
    }
    by("live-file").replaceChildren(link);
  };
  mine.recorder.start(1000);
  by("live-record").textContent = "Stop recording";
  by("live-record").setAttribute("aria-pressed", "true");
}

export function stop(text, error = "") {
  const mine = session;
  session = null;
  if (mine?.recorder) mine.recorder.stop();
  mine?.socket?.close();
  mine?.stream?.getTracks().forEach((track) => track.stop());
  by("live-camera").srcObject = null;
  by("live-start").textContent = "Start";
  by("live-calibrate").disabled = by("live-record").disabled = true;
  say(text);
  by("live-error").textContent = error;
}
