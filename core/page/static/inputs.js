// Photo and driver: by file, drop, paste, camera, or one that comes along.

import { by, ask, upload } from "./connection.js";

export const chosen = { photo: "", driver: "" };

export function begin(builtIn) {
  for (const one of builtIn) by("driver-built-in").append(new Option(one.name, one.id));
  by("driver-built-in").addEventListener("change", (event) => {
    forget("driver");
    chosen.driver = event.target.value;
  });
  for (const what of ["photo", "driver"]) {
    const card = by(`${what}-card`);
    by(`${what}-file`).addEventListener("change", (event) => {
      if (event.target.files[0]) take(what, event.target.files[0]);
      event.target.value = "";
    });
    card.addEventListener("dragover", (event) => { event.preventDefault(); card.classList.add("over"); });
    card.addEventListener("dragleave", () => card.classList.remove("over"));
    card.addEventListener("drop", (event) => {
      event.preventDefault();
      card.classList.remove("over");
      if (event.dataTransfer.files[0]) take(what, event.dataTransfer.files[0]);
    });
  }
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
    if (file) take("photo", file);
  });
  for (const event of ["dragover", "drop"]) document.addEventListener(event, (e) => e.preventDefault());
  by("photo-camera").addEventListener("click", takePhoto);
  by("driver-camera").addEventListener("click", recordDriver);
}

export function forget(what) {
  chosen[what] = "";
  by(`${what}-name`).textContent = "";
  const shown = by(`${what}-shown`);
  shown.hidden = true;
  if (shown.src) URL.revokeObjectURL(shown.src);
  shown.removeAttribute("src");
}

export async function take(what, file) {
  const old = chosen[what];
  forget(what);
  if (what === "driver") by("driver-built-in").value = "";
  const line = by(`${what}-name`);
  line.textContent = `Uploading ${file.name} …`;
  try {
    if (old && !old.startsWith("built-in:")) await ask("DELETE", `files/${old}`);
    const stored = await upload(file, file.name);
    if (what === "photo" && stored.kind !== "image") {
      await ask("DELETE", `files/${stored.id}`);
      throw new Error(`${stored.name} is a ${stored.kind}: give a picture as the photo`);
    }
    chosen[what] = stored.id;
    line.textContent = stored.name;
    if (what === "photo" || stored.kind === "video") {
      by(`${what}-shown`).src = URL.createObjectURL(file);
      by(`${what}-shown`).hidden = false;
    }
  } catch (error) {
    line.textContent = error.message;
  }
}

export const cameraOf = (sound) => navigator.mediaDevices
  ? navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" }, audio: sound })
  : Promise.reject(new Error("The browser gives a camera to pages of this machine only: open it as localhost, or through ssh -L."));

export const cameraFault = (error) => ({
  NotFoundError: "No camera was found.",
  NotAllowedError: "The browser was told not to use the camera.",
  NotReadableError: "The camera is in use by another program.",
})[error.name] || error.message;

async function withCamera(sound, word, use) {
  const dialog = by("camera"), video = by("camera-shown"), state = by("camera-state"), button = by("camera-take");
  state.textContent = "";
  button.textContent = word;
  button.disabled = true;
  dialog.showModal();
  let stream;
  try {
    try {
      stream = await cameraOf(sound);
    } catch (error) {
      if (!sound) throw error;
      stream = await cameraOf(false);  // a camera without a microphone
    }
    if (!dialog.open) return;
    video.srcObject = stream;
    await video.play();
    button.disabled = false;
    await use(stream, video, button, state, dialog);
  } catch (error) {
    state.textContent = cameraFault(error);
    await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  } finally {
    stream?.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    if (dialog.open) dialog.close();
  }
}

by("camera-cancel").addEventListener("click", () => by("camera").close());

const clicked = (button, dialog) => new Promise((resolve) => {
  const taken = () => { dialog.removeEventListener("close", left); resolve(true); };
  const left = () => { button.removeEventListener("click", taken); resolve(false); };
  button.addEventListener("click", taken, { once: true });
  dialog.addEventListener("close", left, { once: true });
});

const takePhoto = () => withCamera(false, "Take the photo", async (stream, video, button, state, dialog) => {
  if (!await clicked(button, dialog)) return;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  dialog.close();
  await take("photo", new File([blob], "camera.png", { type: "image/png" }));
});

const recordDriver = () => withCamera(true, "Record", async (stream, video, button, state, dialog) => {
  if (!await clicked(button, dialog)) return;
  const parts = [], recorder = new MediaRecorder(stream);
  recorder.ondataavailable = (event) => parts.push(event.data);
  const ended = new Promise((resolve) => { recorder.onstop = resolve; });
  recorder.start(1000);
  button.textContent = "Stop";
  state.textContent = "Recording …";
  const wanted = await clicked(button, dialog);
  recorder.stop();
  await ended;
  if (!wanted) return;
  dialog.close();
  await take("driver", new File(parts, "recording.webm", { type: recorder.mimeType }));
});
