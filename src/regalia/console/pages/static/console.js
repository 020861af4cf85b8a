// What the console does faster with a script: copying, the palette, keys, and parts of a page that keep themselves up to
// date. Every page works without it.

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (selector, root = document) => root.querySelector(selector);

// --- copying ----------------------------------------------------------------------------------------------------------

const said = one("[data-said]");

function prepare(root) {
  for (const button of all("[data-copy]", root)) button.hidden = false;
}

// Of a block in the documentation: what is typed, where it has prompts, and not what is answered.
function typed(text) {
  const lines = text.trimEnd().split("\n");
  const isPrompted = (line) => /^[$>] /.test(line);
  if (!lines.some(isPrompted)) return lines.join("\n");
  let goesOn = false;
  const wanted = lines.filter((line) => {
    const isTyped = goesOn || isPrompted(line);
    goesOn = isTyped && line.endsWith("\\");
    return isTyped;
  });
  return wanted.map((line) => line.replace(/^[$>] /, "")).join("\n");
}

const copying = one("[data-copying]");
for (const block of copying ? all(".prose pre") : []) {
  const frame = document.createElement("div");
  const button = copying.content.firstElementChild.cloneNode(true);
  frame.className = "snippet";
  button.dataset.copy = typed(block.textContent);
  block.replaceWith(frame);
  frame.append(block, button);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  said.textContent = button.dataset.copied;
  button.classList.add("is-done");
  setTimeout(() => { said.textContent = ""; button.classList.remove("is-done"); }, 2000);
});

// --- appearance: at once, and kept ------------------------------------------------------------------------------------

const appearance = one("[data-appearance]");
appearance?.addEventListener("change", () => appearance.requestSubmit());

// --- parts that keep themselves up to date ----------------------------------------------------------------------------
// Each is replaced by the part of the same id, or the only live one, of a fresh copy of the page; not while it is used.

const isUsed = (part) => part.contains(document.activeElement) || one(":checked", part) || one("details[open], dialog[open]", part);
const partners = (page, part) => (part.id ? page.getElementById(part.id) : one("[data-live]:not([id])", page));

async function refresh() {
  const asked = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "error" });
  if (!asked.ok) return;
  const page = new DOMParser().parseFromString(await asked.text(), "text/html");
  for (const part of all("[data-live]")) {
    const fresh = partners(page, part);
    if (!fresh || isUsed(part)) continue;
    prepare(fresh);
    if (fresh.outerHTML !== part.outerHTML) part.replaceWith(document.adoptNode(fresh));
  }
}

const seconds = Math.min(...all("[data-live]").map((part) => Number(part.dataset.live)));
if (Number.isFinite(seconds)) {
  setInterval(() => { if (document.visibilityState === "visible") refresh().catch(() => {}); }, seconds * 1000);
}

// --- the palette ------------------------------------------------------------------------------------------------------

const palette = one("#palette");
const wanted = one("[data-palette-input]");
const found = one("[data-palette-found]");
let asking = 0;

wanted?.addEventListener("input", async () => {
  const turn = (asking += 1);
  const text = wanted.value.trim();
  const places = all(".nav a").filter((link) => text && link.textContent.trim().toLowerCase().startsWith(text.toLowerCase()));
  const rows = places.map((link) => { const copy = document.createElement("a"); copy.href = link.href; copy.textContent = link.textContent.trim(); return copy; });
  if (text.length < 2) { found.replaceChildren(...rows); return; }
  const answer = await fetch(`/search?part=results&q=${encodeURIComponent(text)}`).catch(() => null);
  if (turn !== asking || !answer?.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  found.replaceChildren(...rows, ...all("[data-results]", page));
});

palette?.addEventListener("keydown", (event) => {
  const links = all("a", found);
  const at = links.indexOf(document.activeElement);
  if (event.key === "ArrowDown") { links[Math.min(at + 1, links.length - 1)]?.focus(); event.preventDefault(); }
  if (event.key === "ArrowUp") { (at > 0 ? links[at - 1] : wanted).focus(); event.preventDefault(); }
  if (event.key === "Enter" && document.activeElement === wanted) { event.preventDefault(); if (links[0]) location.assign(links[0].href); }
});

function openPalette() {
  palette.showModal();
  wanted.value = "";
  found.replaceChildren();
  wanted.focus();
}

// --- keys -------------------------------------------------------------------------------------------------------------

const KEYS = "regalia-single-keys";
const dialog = one("#keys");
const switched = one("[data-keys-on]");
const areOn = () => localStorage.getItem(KEYS) !== "off";
if (switched) {
  switched.checked = areOn();
  switched.addEventListener("change", () => localStorage.setItem(KEYS, switched.checked ? "on" : "off"));
}
for (const button of all("[data-keys]")) {
  button.hidden = false;
  button.addEventListener("click", () => dialog.showModal());
}

const rows = () => all("tbody tr").filter((row) => one("a, input", row));
function step(by) {
  const list = rows();
  const at = list.findIndex((row) => row.contains(document.activeElement));
  const next = list[Math.max(0, Math.min(list.length - 1, at + by))];
  (next && one("th a, a", next))?.focus();
}

let behindG = false;
const deeds = {
  "/": () => (one("[data-search]") ?? one("[data-palette]"))?.focus(),
  "?": () => dialog.showModal(),
  "[": () => one('[data-page="["]')?.click(),
  "]": () => one('[data-page="]"]')?.click(),
  j: () => step(1),
  k: () => step(-1),
  x: () => one("input[type=checkbox]", document.activeElement.closest("tr") ?? document.createElement("tr"))?.click(),
};

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "k") { event.preventDefault(); openPalette(); return; }
  const inField = event.target.closest("input:not([type=checkbox]), textarea, select, dialog");
  if (event.ctrlKey || event.metaKey || event.altKey || inField || !areOn()) return;
  if (behindG) {
    behindG = false;
    one(`[data-key="${CSS.escape(event.key)}"]`)?.click();
    return;
  }
  if (event.key === "g") { behindG = true; setTimeout(() => { behindG = false; }, 1500); return; }
  if (deeds[event.key]) { event.preventDefault(); deeds[event.key](); }
});

prepare(document);
