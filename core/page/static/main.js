// Puts the page together.

import { by, connect } from "./connection.js";
import * as form from "./form.js";
import * as inputs from "./inputs.js";
import * as animate from "./animate.js";
import * as live from "./live.js";

const tabs = [by("tab-animate"), by("tab-live")];

function choose(tab) {
  for (const one of tabs) {
    const selected = one === tab;
    one.setAttribute("aria-selected", selected);
    one.tabIndex = selected ? 0 : -1;
    by(one.getAttribute("aria-controls")).hidden = !selected;
  }
  by("driver-card").hidden = tab.id === "tab-live";
  document.body.classList.toggle("is-live", tab.id === "tab-live");
}

for (const tab of tabs) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    const other = tabs[1 - tabs.indexOf(tab)];
    choose(other);
    other.focus();
  });
}

try {
  const answer = await fetch("/api/form");
  if (!answer.ok) throw new Error(await answer.text());
  const { fields, builtIn, virtualCamera } = await answer.json();
  form.build(fields);
  inputs.begin(builtIn);
  animate.begin();
  live.begin(fields, virtualCamera);
  connect();
} catch (error) {
  by("connection").textContent = error.message;
  by("connection").classList.add("gone");
}
