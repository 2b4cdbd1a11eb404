// Reads the file's own data, plays its motion, and does what the buttons and keys say.
import { Camera } from "./webcam.js";
import { Motion } from "./motion.js";
import { Orbit } from "./orbit.js";
import { Painter } from "./painter.js";
import { readPayload } from "./payload.js";
import { Recorder } from "./record.js";

const STEP = 0.08; // radians that a key turns by
const PLAIN = [["black", [0, 0, 0]], ["white", [1, 1, 1]], ["green", [0, 0.69, 0.25]]];

const find = (id) => document.getElementById(id), say = (text) => { find("status").textContent = text; };

async function start() {
  const data = await readPayload(find("data").textContent), { values } = data;
  const canvas = find("picture"), painter = new Painter(canvas, data, SHADERS), motion = new Motion(data);
  const still = motion.still();
  const orbit = new Orbit(painter.head.evaluate(still.expression, still.pose), values.anchor.flat(), values.topology);
  orbit.follow(canvas);
  const moves = motion.frames > 1;
  const state = { playing: moves, seconds: 0, last: null, background: 0, frames: 0 };
  const grounds = painter.behind.plate ? [["photo", null], ...PLAIN] : [["own", values.background], ...PLAIN];

  const controls = {
    play() {
      state.playing = moves && !state.playing;
      find("play").textContent = state.playing ? "Pause" : "Play";
    },
    orbit() { orbit.since = orbit.since === null ? performance.now() / 1000 : null; },
    reset() {
      orbit.reset();
      state.seconds = 0;
    },
    mirror() { painter.mirrored = !painter.mirrored; },
    background() {
      state.background = (state.background + 1) % grounds.length;
      const [name, color] = grounds[state.background];
      painter.behind = { color: color || [0, 0, 0], plate: name === "photo" };
      say(`Background: ${name}`);
    },
    record() {
      if (recorder.on) recorder.stop();
      else recorder.start();
      if (recorder.on) say("Recording; press again to save it.");
    },
  };
  const camera = find("camera") && new Camera(find("seen"), data, painter.head, still, find("tracker").textContent);
  if (camera) {
    controls.camera = async () => {
      if (camera.on) {
        camera.stop();
        say("");
      } else {
        say("Starting the tracker: look straight ahead with a relaxed face.");
        try {
          await camera.start();
          say("It follows you. The button beside Camera takes your face of this moment for the relaxed one.");
        } catch (error) {
          camera.stop();
          say(`No camera: ${error.message || error.name}. The recorded motion is played.`);
        }
      }
      find("calibrate").disabled = !camera.on;
      pressed();
    };
    controls.calibrate = () => say(camera.live.calibrate() ? "Counted from this face." : "No face was seen yet.");
  }
  const pressed = () => {
    if (camera) find("camera").setAttribute("aria-pressed", String(camera.on));
    const on = { orbit: orbit.since !== null, mirror: painter.mirrored, record: recorder.on };
    for (const [name, value] of Object.entries(on)) find(name).setAttribute("aria-pressed", String(Boolean(value)));
  };
  const recorder = new Recorder(canvas, values.about, (blob, told) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `avatar.${blob.type.split("/")[1]}`;
    link.click();
    say(told ? "Saved." : "Saved; this browser records MP4: the mark is in the picture, not in the file's metadata.");
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  for (const name of Object.keys(controls)) {
    find(name).addEventListener("click", () => {
      controls[name]();
      pressed();
    });
  }
  find("play").disabled = !moves;
  find("play").textContent = moves ? "Pause" : "Play";
  find("record").disabled = !recorder.possible;

  const keys = {
    " ": "play", c: "camera", n: "calibrate", o: "orbit", r: "reset", m: "mirror", b: "background", v: "record",
  };
  const turns = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
  document.addEventListener("keydown", (event) => {
    // A button that has the focus takes the space bar itself.
    if (event.ctrlKey || event.metaKey || event.altKey || (event.key === " " && event.target.tagName === "BUTTON")) return;
    if (event.key in turns) orbit.turn(...turns[event.key]);
    else if (event.key === "+" || event.key === "-") orbit.zoom(event.key === "+" ? 0.95 : 1.05);
    else if (event.key.toLowerCase() in keys && controls[keys[event.key.toLowerCase()]] && !find(keys[event.key.toLowerCase()]).disabled) {
      controls[keys[event.key.toLowerCase()]]();
      pressed();
    } else return;
    event.preventDefault();
  });

  // What was drawn last: the same is not drawn again, unless it is recorded.
  let shown = null;
  function show(milliseconds) {
    requestAnimationFrame(show);
    const now = milliseconds / 1000;
    if (state.playing && state.last !== null) state.seconds = (state.seconds + now - state.last) % motion.length;
    state.last = now;
    if (painter.busy) return;
    const live = camera && camera.moment, index = motion.indexAt(state.seconds), view = orbit.view(performance.now() / 1000);
    const key = JSON.stringify([live ? camera.frames : index, Boolean(live), view, painter.mirrored, state.background]);
    if (key === shown && !recorder.on) return;
    shown = key;
    painter.begin({ ...(live || motion.at(index)), view });
    state.frames++;
  }
  pressed();
  say("");
  requestAnimationFrame(show);
  globalThis.avatar = { painter, motion, data, orbit, state, controls, camera };
}

start().catch((error) => say(`This avatar cannot be shown: ${error.message}`));
