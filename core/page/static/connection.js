// The connection of this tab: what the server tells of its jobs, and requests in its name.

export const by = (id) => document.getElementById(id);
const listeners = [];
let socket, tab = sessionStorage.getItem("tab") || "", wait = 500;
let reached;
const ready = new Promise((resolve) => { reached = resolve; });

export function listen(heard) { listeners.push(heard); }

export function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/api/tab?known=${encodeURIComponent(tab)}`);
  socket.onmessage = (event) => {
    const told = JSON.parse(event.data);
    const fresh = tab !== "" && told.tab !== tab;
    tab = told.tab;
    sessionStorage.setItem("tab", tab);
    wait = 500;
    say("Ready. Everything stays on the machine that serves this page.", false);
    reached();
    for (const heard of listeners) heard(told, fresh);
  };
  socket.onclose = (event) => {
    say(event.reason || "The server is gone. Trying again …", true);
    for (const heard of listeners) heard(null, false);
    setTimeout(connect, wait);
    wait = Math.min(2 * wait, 8000);
  };
}

function say(text, gone) {
  const line = by("connection");
  if (line.textContent !== text) line.textContent = text;
  line.classList.toggle("gone", gone);
}

export const address = (rest) => `/api/tabs/${encodeURIComponent(tab)}/${rest}`;

export async function ask(method, rest, body, headers = {}) {
  await ready;
  let answer;
  try {
    answer = await fetch(address(rest), { method, body, headers });
  } catch {
    throw new Error("The server cannot be reached.");
  }
  const text = await answer.text();
  let content = null;
  try { content = JSON.parse(text); } catch { /* an answer without content, or not the page's */ }
  if (!answer.ok) throw new Error(content?.detail || text || `The server refused (${answer.status}).`);
  return content;
}

export const askJson = (method, rest, content) =>
  ask(method, rest, JSON.stringify(content), { "content-type": "application/json" });
export const upload = (file, name) => ask("POST", `files?name=${encodeURIComponent(name)}`, file);
