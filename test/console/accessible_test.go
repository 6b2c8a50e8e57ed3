package console

import (
	"encoding/json"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// audit checks a page as WCAG 2.2 AA asks where a program can: names, headings, landmarks,
// contrast, target sizes, and that nothing says the same id twice.
const audit = `(() => {
  const found = [];
  const visible = (el) => el.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && el.getClientRects().length > 0 && !el.closest(".hidden, .skip, :popover-open:not(*)");
  const name = (el) => (el.getAttribute("aria-label") || (el.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim() || el.textContent.trim() || el.title);
  const say = (el, what) => found.push(what + ": " + el.outerHTML.slice(0, 120));
  if (!document.title) found.push("no title");
  if (!document.documentElement.lang) found.push("no language");
  if (document.querySelectorAll("h1").length !== 1) found.push("not one h1 but " + document.querySelectorAll("h1").length);
  if (document.querySelectorAll("main").length !== 1) found.push("not one main");
  let level = 0;
  for (const h of document.querySelectorAll("main h1, main h2, main h3, main h4")) {
    if (h.closest("[popover]")) continue;
    const own = Number(h.tagName[1]);
    if (own > level + 1) say(h, "a heading after level " + level);
    level = own;
  }
  const ids = new Set();
  for (const el of document.querySelectorAll("[id]")) { if (ids.has(el.id)) say(el, "an id twice"); ids.add(el.id); }
  for (const el of document.querySelectorAll("a[href], button, summary")) if (!name(el)) say(el, "no name");
  for (const el of document.querySelectorAll("input:not([type=hidden]), select, textarea")) if (!el.labels?.length && !el.getAttribute("aria-label")) say(el, "no label");
  for (const el of document.querySelectorAll("th")) if (!el.scope) say(el, "no scope");
  for (const el of document.querySelectorAll("[style], [onclick], script:not([src])")) say(el, "inline");
  for (const el of document.querySelectorAll("a[href], button, summary, input:not([type=hidden]), select")) {
    if (!visible(el)) continue;
    const box = (el.closest("label") ?? el).getBoundingClientRect();
    const inText = getComputedStyle(el).display === "inline"; // WCAG 2.5.8 excepts links in text
    if (!inText && (box.width < 24 || box.height < 24)) say(el, "a target of " + Math.round(box.width) + "x" + Math.round(box.height));
  }
  for (const el of document.querySelectorAll("[tabindex]")) if (el.tabIndex > 0) say(el, "an order of focus of its own");
  for (const el of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, summary")) if (el.tabIndex < 0 && visible(el)) say(el, "not reached by the keyboard");
  for (const el of document.querySelectorAll("[popovertarget], [aria-labelledby], [aria-describedby]")) for (const name of ["popovertarget", "aria-labelledby", "aria-describedby"]) for (const id of (el.getAttribute(name) ?? "").split(" ")) if (id && !document.getElementById(id)) say(el, name + " of nothing");
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const rgb = (colour, under) => {
    pen.fillStyle = "rgb(" + under.join(",") + ")"; pen.fillRect(0, 0, 1, 1);
    pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const ground = (el) => {
    const chain = [];
    for (let at = el; at; at = at.parentElement) chain.unshift(at);
    return chain.reduce((under, at) => rgb(getComputedStyle(at).backgroundColor, under), [255, 255, 255]);
  };
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (walker.nextNode()) {
    const el = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || seen.has(el) || !visible(el) || el.closest("option, script, style")) continue;
    seen.add(el);
    const under = ground(el), style = getComputedStyle(el);
    const [a, z] = [light(rgb(style.color, under)), light(under)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (z + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700;
    if (ratio < (large ? 3 : 4.5)) say(el, "a contrast of " + ratio.toFixed(2));
  }
  return JSON.stringify(found.slice(0, 12));
})()`

// accessible checks the page that is open.
func (b *browser) accessible(where string) {
	b.t.Helper()
	var found []string
	require.NoError(b.t, json.Unmarshal([]byte(b.eval(audit)), &found))
	assert.Empty(b.t, found, where)
}
