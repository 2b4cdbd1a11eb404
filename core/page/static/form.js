// The options as a form, made of what the server says that there is.

import { by, upload } from "./connection.js";

const TITLES = { input: "Input", avatar: "Avatar and motion", improvements: "Improvements", output: "Output" };
let fields = [];
const uploads = {};

export function build(given) {
  fields = given;
  const groups = {};
  for (const field of fields) {
    if (!groups[field.group]) {
      const group = document.createElement("details");
      const title = document.createElement("summary");
      title.textContent = TITLES[field.group] || field.group;
      const inside = document.createElement("div");
      inside.className = "fields";
      group.append(title, inside);
      by("options").append(group);
      groups[field.group] = inside;
    }
    groups[field.group].append(row(field));
  }
  by("options").addEventListener("submit", (event) => event.preventDefault());
}

function row(field) {
  const around = document.createElement("div"), label = document.createElement("label");
  const help = document.createElement("p"), input = control(field);
  around.className = "field";
  help.className = "hint";
  help.id = `help-${field.name}`;
  help.textContent = field.help;
  input.id = `option-${field.name}`;
  input.setAttribute("aria-describedby", help.id);
  label.htmlFor = input.id;
  label.title = field.flag;
  label.append(field.label);
  if (field.kind === "switch") label.prepend(input);
  around.append(label, ...(field.kind === "switch" ? [] : [input]));
  if (field.kind === "text-or-file") around.append(picker(field));
  around.append(help);
  return around;
}

function control(field) {
  if (field.kind === "choice" || field.kind === "three") {
    const select = document.createElement("select");
    const choices = field.kind === "choice" ? field.choices.map((c) => [c, c]) : [["", "as “Enhanced” says"], ["on", "on"], ["off", "off"]];
    for (const [value, text] of choices) select.append(new Option(text, value, false, value === field.default));
    return select;
  }
  const input = document.createElement("input");
  if (field.kind === "switch") {
    input.type = "checkbox";
    input.checked = Boolean(field.default);
  } else if (field.kind === "number") {
    input.type = "number";
    input.step = field.whole ? "1" : "any";
    if (field.limits) [input.min, input.max] = field.limits;
    input.value = field.default ?? "";
  } else if (field.kind === "file") {
    input.type = "file";
    input.addEventListener("change", () => take(field, input));
  } else {
    input.type = "text";
    input.maxLength = 80;
    input.value = field.default ?? "";
    if (field.choices.length) input.placeholder = field.choices.join(", ");
  }
  return input;
}

function picker(field) {
  const label = document.createElement("label"), input = document.createElement("input");
  label.className = "button";
  input.type = "file";
  label.append("or a file of your own", input);
  input.addEventListener("change", () => take(field, input));
  return label;
}

async function take(field, input) {
  delete uploads[field.name];
  const file = input.files[0];
  if (!file) return;
  try {
    uploads[field.name] = (await upload(file, file.name)).id;
    const text = by(`option-${field.name}`);
    if (text.type === "text") text.value = file.name;
  } catch (error) {
    by("job").hidden = false;
    by("job-error").textContent = error.message;
    input.value = "";
  }
}

export function values(live = false) {
  const found = {};
  for (const field of fields) {
    const input = by(`option-${field.name}`);
    if (live && !field.live) continue;
    if (uploads[field.name]) found[field.name] = `file:${uploads[field.name]}`;
    else if (field.kind === "file") continue;
    else if (field.kind === "switch") found[field.name] = input.checked;
    else if (field.kind === "three") { if (input.value) found[field.name] = input.value === "on"; }
    else if (field.kind === "number") { if (input.value !== "") found[field.name] = Number(input.value); }
    else if (input.value !== "") found[field.name] = input.value;
  }
  return found;
}

export function wrong() {
  const bad = by("options").querySelector(":invalid");
  if (!bad) return false;
  bad.closest("details").open = true;
  bad.reportValidity();
  return true;
}
