// Bodies: colours, folding, search and paths of JSON, and loading long ones in parts. The text is
// cut into tokens and never parsed, so that numbers and strings stay as they came.

const token = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*)|(true|false|null)/g;
const most = 3000; // lines that are coloured; a longer text stays plain, and quick

const make = (tag, className, text) => {
  const el = document.createElement(tag);
  if (className) el.className = className;
  if (text !== undefined) el.textContent = text;
  return el;
};

function colour(text) {
  const out = document.createDocumentFragment();
  let at = 0;
  for (const m of text.matchAll(token)) {
    out.append(text.slice(at, m.index));
    if (m[1] !== undefined) out.append(make("span", m[2] === undefined ? "str" : "key", m[1]), m[2] ?? "");
    else out.append(make("span", m[3] === undefined ? "lit" : "num", m[0]));
    at = m.index + m[0].length;
  }
  out.append(text.slice(at));
  return out;
}

// paint makes a line of each line, with what it contains below it.
function paint(pre) {
  const lines = pre.textContent.split("\n");
  if (lines.length > most) return;
  const top = document.createDocumentFragment();
  const open = [{ into: top, path: "$", index: 0 }];
  for (const text of lines) {
    const here = open.at(-1);
    const trimmed = text.trim();
    if (/^[}\]]/.test(trimmed) && open.length > 1) open.pop();
    const parent = open.at(-1);
    const line = make("span", "line");
    const key = /^"((?:[^"\\]|\\.)*)"\s*:/.exec(trimmed);
    const path = /^[}\]]/.test(trimmed) ? here.path : key ? `${parent.path}.${key[1]}` : parent.array ? `${parent.path}[${parent.index++}]` : parent.path;
    line.dataset.path = path;
    line.append(colour(trimmed));
    parent.into.append(line);
    if (/[[{]$/.test(trimmed)) {
      const inner = make("span", "inner");
      const fold = Object.assign(make("button", "fold", "▾"), { type: "button" });
      fold.setAttribute("aria-expanded", "true");
      fold.setAttribute("aria-label", `Fold ${path}`);
      line.prepend(fold);
      line.append(inner);
      open.push({ into: inner, path, index: 0, array: trimmed.endsWith("[") });
    }
  }
  pre.replaceChildren(top);
  pre.classList.add("json");
}

function setFold(button, shut) {
  button.setAttribute("aria-expanded", String(!shut));
  button.textContent = shut ? "▸" : "▾";
  button.parentElement.querySelector(":scope > .inner").hidden = shut;
}

function tools(doc, pre) {
  const place = doc.querySelector(".tools");
  const find = Object.assign(make("input"), { type: "search", placeholder: "Find in it" });
  find.setAttribute("aria-label", "Find in this text");
  const fold = Object.assign(make("button", "", "Fold all"), { type: "button" });
  const path = make("code", "dim");
  find.addEventListener("input", () => {
    let first = null;
    for (const line of pre.querySelectorAll(".line")) {
      const own = [...line.childNodes].filter((n) => n.className !== "inner" && n.className !== "fold").map((n) => n.textContent).join("");
      const hit = find.value !== "" && own.toLowerCase().includes(find.value.toLowerCase());
      line.classList.toggle("found", hit);
      if (hit) first ??= line;
    }
    first?.scrollIntoView({ block: "nearest" });
  });
  fold.addEventListener("click", () => {
    const shut = fold.textContent === "Fold all";
    [...pre.querySelectorAll(".fold")].slice(1).forEach((b) => setFold(b, shut));
    fold.textContent = shut ? "Unfold all" : "Fold all";
  });
  pre.addEventListener("click", (e) => {
    const button = e.target.closest(".fold");
    if (button) { setFold(button, button.getAttribute("aria-expanded") === "true"); return; }
    const line = e.target.closest(".line");
    if (line && getSelection().isCollapsed) path.textContent = line.dataset.path;
  });
  place.append(find, fold, path);
}

async function more(e) {
  e.preventDefault();
  const link = e.target;
  const doc = link.closest(".document");
  const pre = doc.querySelector("pre");
  link.textContent = "Loading…";
  const answer = await fetch(link.href);
  if (!answer.ok) { link.textContent = "It could not be loaded: try again"; return; }
  pre.append(document.createTextNode(await answer.text()));
  const next = answer.headers.get("X-Next-Offset");
  if (next) {
    const address = new URL(link.href);
    address.searchParams.set("offset", next);
    link.href = address;
    link.textContent = "Show more";
  } else {
    link.parentElement.remove();
    if ("json" in doc.dataset) { paint(pre); tools(doc, pre); }
  }
}

for (const doc of document.querySelectorAll(".document")) {
  const pre = doc.querySelector("pre");
  const link = doc.querySelector("[data-more]");
  link?.addEventListener("click", more);
  if ("json" in doc.dataset && !link) { paint(pre); if (pre.classList.contains("json")) tools(doc, pre); }
}
