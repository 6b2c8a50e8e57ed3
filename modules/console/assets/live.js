// What is live: one event stream for all tabs of a browser, and pages that are read again when
// something on them changed.

const parts = [...document.querySelectorAll("[data-live]")];
const part = parts[0];
const kind = part?.dataset.live;
const wanted = part?.dataset.match ? JSON.parse(part.dataset.match) : {};
const tail = document.querySelector("[data-tail]");
let paused = false;
let following = false;
const fresh = new Set(); // ids of events that match and are not shown
let more = false; // there were too many to be told of each
let reading = false;
let again = false;

const matches = (e) => Object.entries(wanted).every(([name, value]) => value === "" || value === e[name]);

// A page is read as a document, which the browser parses without running anything.
function read(address) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", address);
    request.responseType = "document";
    request.timeout = 15000;
    request.onload = () => (request.status === 200 && request.response ? resolve(request.response) : reject(new Error(String(request.status))));
    request.onerror = request.ontimeout = () => reject(new Error("no answer"));
    request.send();
  });
}

// refresh takes the live part of the page as it is now. What is selected, open or focused stays.
async function refresh() {
  if (reading) { again = true; return; }
  reading = true;
  try {
    const page = await read(part.dataset.address ?? location.href);
    const now = page.querySelector(`[data-live="${CSS.escape(kind)}"]`);
    const here = document.querySelector(`[data-live="${CSS.escape(kind)}"]`);
    if (!now || !here) return;
    if (here.tagName !== now.tagName) { location.reload(); return; } // from empty to a list
    const taken = document.importNode(now, true);
    const checked = new Set([...here.querySelectorAll("input:checked")].map((i) => i.value));
    const open = [...here.querySelectorAll("details")].map((d) => d.open);
    const focused = here.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    taken.querySelectorAll("input[type=checkbox]").forEach((i) => { i.checked = checked.has(i.value); });
    taken.querySelectorAll("details").forEach((d, i) => { d.open = open[i] ?? false; });
    here.replaceWith(taken);
    if (focused) taken.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    document.dispatchEvent(new CustomEvent("console:changed", { detail: taken }));
    fresh.clear();
    more = false;
    announce();
  } catch { /* the next message or poll tries again */
  } finally {
    reading = false;
    if (again) { again = false; setTimeout(refresh, 1000); }
  }
}

// announce says how many rows are new: the list never moves under the pointer.
function announce() {
  let button = document.querySelector(".fresh");
  if (fresh.size === 0 && !more) { button?.remove(); return; }
  if (!button) {
    button = Object.assign(document.createElement("button"), { type: "button", className: "fresh" });
    button.addEventListener("click", refresh);
    (part.closest("form") ?? document.querySelector("[data-live]")).before(button);
  }
  button.textContent = more ? "Many new: show them" : fresh.size === 1 ? "1 new: show it" : `${fresh.size} new: show them`;
}

let timer = 0;
const soon = (wait) => { if (!timer) timer = setTimeout(() => { timer = 0; refresh(); }, wait); };

function happened(message) {
  if (paused || document.hidden) return;
  if (message.kind === "more") {
    if (kind !== "events") soon(5000);
    else if (following) soon(700);
    else if (!("older" in part.dataset)) { more = true; announce(); }
    return;
  }
  if (kind === "events") {
    if (!matches(message) || "older" in part.dataset) return;
    if (following) soon(700);
    else if (document.querySelector(`tr[data-id="${CSS.escape(message.id ?? "")}"]`)) soon(1500);
    else if (message.kind === "received" || wanted.status && message.id) { fresh.add(message.id); announce(); }
  } else if (kind === "event") {
    if (message.id === part.dataset.event) soon(400);
  } else if (kind === "first") {
    if (message.source === part.dataset.source) soon(1000);
  } else {
    soon(5000);
  }
}

// One tab holds the stream and tells the others; where that cannot be, each has its own.
function follow() {
  const channel = "BroadcastChannel" in window ? new BroadcastChannel("console") : null;
  if (channel) channel.onmessage = (e) => happened(e.data);
  const listen = () => new Promise((stop) => {
    let poll = 0;
    const source = new EventSource("/console/stream");
    const tell = (name) => (e) => {
      const message = { kind: name, ...JSON.parse(e.data) };
      happened(message);
      channel?.postMessage(message);
    };
    for (const name of ["received", "status", "refused", "more"]) source.addEventListener(name, tell(name));
    source.onopen = () => {
      clearInterval(poll);
      poll = 0;
      if (kind !== "events") soon(200);
    };
    source.onerror = () => {
      if (!poll) poll = setInterval(() => { if (!paused && !document.hidden) refresh(); }, 10000);
      if (source.readyState === EventSource.CLOSED) setTimeout(() => { clearInterval(poll); stop(); listen(); }, 10000);
    };
    addEventListener("pagehide", () => { source.close(); clearInterval(poll); stop(); });
  });
  if (navigator.locks) navigator.locks.request("console-stream", listen);
  else listen();
}

if (part) {
  if (kind !== "progress") follow();
  // What happened between the page's answer and the stream's beginning is read once.
  if (kind === "event" || kind === "first") setTimeout(refresh, 2500);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && !paused && kind !== "events") refresh(); });
  document.addEventListener("console:pause", () => {
    paused = !paused;
    document.getElementById("said").textContent = paused ? "Live updates are paused." : "Live updates go on.";
    if (!paused && kind !== "events") refresh();
  });
  if (kind === "progress") setInterval(() => { if (!paused && !document.hidden && document.querySelector("[data-going]")) refresh(); }, 2000);
}

if (tail && part && !("older" in part.dataset)) {
  tail.hidden = false;
  const show = () => {
    following = sessionStorage.getItem("tail") === "on";
    tail.setAttribute("aria-pressed", String(following));
    tail.classList.toggle("primary", following);
  };
  tail.addEventListener("click", () => {
    sessionStorage.setItem("tail", following ? "off" : "on");
    show();
    if (following) refresh();
  });
  show();
}
