// Jobs: begun, shown while they run, their results played, compared and downloaded.

import { by, ask, askJson, address, listen } from "./connection.js";
import { chosen, forget } from "./inputs.js";
import { values, wrong } from "./form.js";

let current = "", shownPicture = 0, shownResults = -1, stopSync = () => {}, newest = [];

export function begin() {
  by("start").addEventListener("click", () => start(false));
  by("preview").addEventListener("click", () => start(true));
  by("cancel").addEventListener("click", () => ask("DELETE", `jobs/${current}`).catch(fail));
  by("wipe").addEventListener("input", wipe);
  listen((told, fresh) => {
    if (fresh) {
      forget("photo");
      if (!chosen.driver.startsWith("built-in:")) forget("driver");
      current = "";
      fail(new Error("The server began anew, and the files are gone: choose them again."));
    }
    newest = told?.jobs || newest;
    showCurrent();
    for (const what of told && !fresh ? ["photo", "driver"] : []) {
      if (chosen[what] && !chosen[what].startsWith("built-in:") && !told.files.includes(chosen[what])) {
        forget(what);
        by(`${what}-name`).textContent = "Removed after an hour: choose it again.";
      }
    }
  });
}

function showCurrent() {
  const job = newest.find((one) => one.id === current);
  if (job) show(job);
}

async function start(preview) {
  by("job").hidden = false;
  by("job-error").textContent = "";
  if (!chosen.photo) return fail(new Error("Choose a photo first."));
  if (!chosen.driver) return fail(new Error("Choose a driver first."));
  if (wrong()) return;
  stopSync();
  by("result").hidden = true;
  by("job-picture").hidden = true;
  by("job-lines").replaceChildren();
  by("job-more").hidden = true;
  [shownPicture, shownResults] = [0, -1];
  const asked = { photo: chosen.photo, driver: chosen.driver, options: values(), preview, compare: !preview && by("compare").checked };
  try {
    current = (await askJson("POST", "jobs", asked)).id;
    by("job-state").textContent = "Begun.";
    showCurrent();  // it may have been told of before the answer came
    by("job").scrollIntoView({ block: "nearest" });
  } catch (error) {
    fail(error);
  }
}

function fail(error) {
  by("job").hidden = false;
  by("job-error").textContent = error.message;
  by("job-state").textContent = "";
  by("cancel").hidden = true;
}

const time = (seconds) => seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;

function show(job) {
  const active = job.state === "waiting" || job.state === "running", bar = by("job-bar");
  const texts = {
    waiting: job.place ? `Waiting: ${job.place} before this one.` : "Waiting.",
    running: `${job.stage} …`, done: "Done.", failed: "", cancelled: "Cancelled.",
  };
  if (by("job-state").textContent !== texts[job.state]) by("job-state").textContent = texts[job.state];
  by("job").dataset.state = job.state;
  by("cancel").hidden = bar.hidden = !active;
  if (job.state === "running" && job.total) bar.value = job.done / job.total; else bar.removeAttribute("value");
  by("job-speed").textContent = job.fps
    ? `${job.done}${job.total ? ` of ${job.total}` : ""} frames, ${job.fps.toFixed(1)} a second${job.left === null ? "" : `, ${time(job.left)} left`}` : "";
  if (by("job-error").textContent !== job.error) by("job-error").textContent = job.error;
  by("job-more").hidden = !job.lines.length;
  by("job-lines").replaceChildren(...job.lines.map((text) => {
    const line = document.createElement("li");
    line.textContent = text;
    return line;
  }));
  if (job.pictures > shownPicture) {
    shownPicture = job.pictures;
    by("job-image").src = `${address(`jobs/${job.id}/picture`)}?n=${job.pictures}`;
    by("job-caption").textContent = job.caption;
    by("job-picture").hidden = false;
  }
  if (job.state === "done" && job.results.length && shownResults !== job.results.length) {
    shownResults = job.results.length;
    by("job-picture").hidden = true;
    present(job.results);
  }
}

function present(results) {
  const stage = by("stage"), downloads = by("downloads"), shown = {};
  stopSync();
  stage.replaceChildren();
  downloads.replaceChildren();
  for (const one of results) {
    const where = address(`files/${one.id}`), made = document.createElement(one.kind === "image" ? "img" : "video");
    made.src = where;
    if (one.kind === "image") made.alt = one.shows === "before" ? "Result without improvements" : "Result";
    else Object.assign(made, { playsInline: true, loop: true });
    shown[one.shows] = made;
    const link = document.createElement("a");
    link.className = "button";
    link.href = `${where}?save=true`;
    link.download = one.name;
    link.textContent = one.shows === "before" ? "Download without improvements" : `Download ${one.name}`;
    downloads.append(link);
  }
  stage.append(shown.result);
  shown.result.controls = true;
  shown.result.setAttribute("aria-label", "The result");
  if (shown.before) {
    shown.before.className = "over";
    shown.before.muted = true;
    shown.before.setAttribute("aria-hidden", "true");
    stage.append(shown.before);
    if (shown.result.play) stopSync = inStep(shown.result, shown.before);
    wipe();
  }
  by("compare-row").hidden = !shown.before;
  by("result").hidden = false;
  by("result-title").focus();
}

function wipe() {
  const over = by("stage").querySelector(".over");
  if (over) over.style.clipPath = `inset(0 0 0 ${by("wipe").value}%)`;
}

function inStep(leads, follows) {
  let on = true;
  const step = () => {
    if (!on) return;
    if (Math.abs(leads.currentTime - follows.currentTime) > (leads.paused ? 0.001 : 0.06)) follows.currentTime = leads.currentTime;
    if (leads.paused !== follows.paused) leads.paused ? follows.pause() : follows.play().catch(() => {});
    follows.playbackRate = leads.playbackRate;
    requestAnimationFrame(step);
  };
  step();
  return () => { on = false; };
}
