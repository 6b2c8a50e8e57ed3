// Selecting rows, and filters that apply as they are chosen.

const form = document.querySelector("[data-select]");
const bar = document.querySelector("[data-bar]");
let last = null;

function count() {
  if (!bar) return;
  const n = form.querySelectorAll("tbody input:checked").length;
  bar.hidden = n === 0;
  bar.querySelector("[data-count]").textContent = n === 1 ? "1 event selected" : `${n} events selected`;
}

form?.addEventListener("click", (e) => {
  const box = e.target.closest("tbody input[type=checkbox]");
  if (!box) return;
  const boxes = [...form.querySelectorAll("tbody input[type=checkbox]")];
  if (e.shiftKey && last && boxes.includes(last)) {
    const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
    for (const each of boxes.slice(from, to + 1)) each.checked = box.checked;
  }
  last = box;
  count();
});
document.addEventListener("console:changed", count);
count();

const filters = document.querySelector("[data-filters]");
filters?.addEventListener("change", (e) => { if (e.target.matches("select")) filters.requestSubmit(); });
// An address holds what was chosen and nothing else.
filters?.addEventListener("submit", () => {
  for (const field of filters.elements) if (field.name && field.value === "") field.disabled = true;
});
addEventListener("pageshow", () => { for (const field of filters?.elements ?? []) field.disabled = false; });

// Narrowing a list of tiles by what is typed.
document.querySelector("[data-narrow]")?.addEventListener("input", (e) => {
  const text = e.target.value.toLowerCase();
  for (const tile of document.querySelectorAll(".tiles li")) tile.hidden = !tile.textContent.toLowerCase().includes(text);
});
