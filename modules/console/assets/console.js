// Times, copying and keys: what every page has.

const root = document.documentElement;
const say = (text) => { document.getElementById("said").textContent = text; };

// On a narrow screen the sections are a row that scrolls, to the one that is open.
const sections = document.getElementById("sections"), here = sections?.querySelector("[aria-current]");
if (here && sections.scrollWidth > sections.clientWidth)
  sections.scrollLeft = here.getBoundingClientRect().left - sections.getBoundingClientRect().left - (sections.clientWidth - here.offsetWidth) / 2;

// Times are relative to now, and exact in the chosen zone on hover and focus.
const two = (n, width = 2) => String(n).padStart(width, "0");
const utc = root.dataset.zone === "utc";
const parts = (t) => utc
  ? { date: `${t.getUTCFullYear()}-${two(t.getUTCMonth() + 1)}-${two(t.getUTCDate())}`, time: `${two(t.getUTCHours())}:${two(t.getUTCMinutes())}:${two(t.getUTCSeconds())}.${two(t.getUTCMilliseconds(), 3)}` }
  : { date: `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())}`, time: `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}.${two(t.getMilliseconds(), 3)}` };
const zone = utc ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone;

function roughly(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  if (seconds >= 2 * 365 * 86400) return `${Math.floor(seconds / 365 / 86400)} years`;
  return `${Math.floor(seconds / 86400)} d`;
}

function relative(t) {
  const ago = (Date.now() - t) / 1000;
  if (ago < 0) return `in ${roughly(-ago)}`;
  return ago < 2 ? "just now" : `${roughly(ago)} ago`;
}

function showTimes(within) {
  for (const el of within.querySelectorAll("time")) {
    const t = new Date(el.dateTime);
    if (Number.isNaN(t.getTime())) continue;
    const { date, time } = parts(t);
    if ("exact" in el.dataset) {
      el.textContent = `${date} ${time} ${utc ? "UTC" : ""}`.trim();
      el.title = `${relative(t)}, ${zone}`;
    } else if ("due" in el.dataset) {
      el.textContent = t > Date.now() ? relative(t) : "now";
      el.title = `${date} ${time} ${zone}`;
    } else if ("clock" in el.dataset) {
      el.textContent = time;
      el.title = `${date} ${time} ${zone}`;
    } else {
      el.textContent = relative(t);
      el.title = `${date} ${time} ${zone}`;
    }
  }
}
showTimes(document);
setInterval(() => { if (!document.hidden) showTimes(document); }, 15000);
document.addEventListener("console:changed", (e) => showTimes(e.detail));

// Copying.
async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    say("This browser does not allow copying here.");
    return;
  }
  say("Copied.");
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), 1200);
}
document.addEventListener("click", (e) => {
  const button = e.target.closest("[data-copy]");
  if (button) copy(button);
});

// The list that a page was opened from, for [ and ].
const rows = () => [...document.querySelectorAll("table.rows tbody tr")];
const memory = {
  get: () => JSON.parse(sessionStorage.getItem("list") || "null"),
  set: (list) => sessionStorage.setItem("list", JSON.stringify(list)),
};
if (rows().length > 0) {
  memory.set({ address: location.pathname + location.search, open: rows().map((r) => r.querySelector("[data-open]")?.getAttribute("href")) });
} else if (memory.get() && document.querySelector("[data-list]")) {
  document.querySelector("[data-list]").href = memory.get().address;
}

function neighbour(step) {
  const list = memory.get();
  const at = list ? list.open.indexOf(location.pathname) : -1;
  if (at >= 0 && list.open[at + step]) location.href = list.open[at + step];
  else say("There is no further one in the list.");
}

// Keys.
let current = -1;
let going = false;
const places = { o: "", e: "/events", x: "/dead-letters", q: "/quarantine", d: "/destinations", r: "/replays", i: "/integrations", a: "/alerts", s: "/system" };

function move(step) {
  const all = rows();
  if (all.length === 0) return;
  all[current]?.removeAttribute("aria-current");
  current = Math.min(Math.max(current + step, 0), all.length - 1);
  all[current].setAttribute("aria-current", "true");
  all[current].querySelector("[data-open]")?.focus();
  all[current].scrollIntoView({ block: "nearest" });
}

const press = (selector, within = document) => { const el = within.querySelector(selector); el?.click(); return Boolean(el); };

const actions = {
  "/": () => document.getElementById("q")?.select(),
  j: () => move(1),
  k: () => move(-1),
  x: () => press("input[type=checkbox]", rows()[current] ?? document.createElement("i")),
  r: () => press("[data-key=r]"),
  y: () => press("[data-key=y]"),
  c: () => press("[data-copy]", rows()[current] ?? document.querySelector("[data-main-id]") ?? document),
  ".": () => document.dispatchEvent(new CustomEvent("console:pause")),
  "[": () => neighbour(-1),
  "]": () => neighbour(1),
  "?": () => document.getElementById("help").togglePopover(),
  g: () => { going = true; setTimeout(() => { going = false; }, 1500); },
};

document.addEventListener("keydown", (e) => {
  const field = e.target.closest("input, textarea, select, [contenteditable]");
  if (e.key === "Escape" && field) field.blur();
  if (root.dataset.keys === "off" || field && field.type !== "checkbox" || e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented) return;
  if (going && e.key in places) {
    location.href = `/console${places[e.key]}`;
  } else if (/^[1-9]$/.test(e.key)) {
    document.querySelectorAll("nav.tabs:not(.small) a")[Number(e.key) - 1]?.click();
  } else if (e.key === "Escape") {
    if (!document.querySelector(":popover-open")) document.querySelector(".crumbs a")?.click();
  } else if (e.key in actions) {
    e.preventDefault();
    actions[e.key]();
  }
});

// The search box is completed with the words that have an event, asked for once it has the focus.
const box = document.getElementById("q");
let words = null;
function complete() {
  const typed = box.value;
  const kept = typed.slice(0, typed.lastIndexOf(" ") + 1);
  const last = typed.slice(kept.length).toLowerCase();
  const fitting = last === "" && kept === "" ? words : words.filter((w) => w.toLowerCase().startsWith(last) && w.toLowerCase() !== last && !kept.includes(`${w.split(":")[0]}:`));
  document.getElementById("words").replaceChildren(...fitting.slice(0, 12).map((w) => Object.assign(document.createElement("option"), { value: kept + w })));
}
box?.addEventListener("focus", async () => {
  if (words) return;
  words = [];
  const answer = await fetch("/console/search/words").catch(() => null);
  if (answer?.ok) words = await answer.json();
  complete();
});
box?.addEventListener("input", complete);

// A form is sent once.
document.addEventListener("submit", (e) => {
  if (e.defaultPrevented || e.target.method !== "post") return;
  const button = e.submitter;
  setTimeout(() => { if (button) button.disabled = true; });
});
addEventListener("pageshow", () => document.querySelectorAll("button:disabled").forEach((b) => { b.disabled = false; }));
