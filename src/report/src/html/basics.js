// Small things that every part uses.

const DATA = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

// An element with attributes and children; text is never read as markup.
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") element.className = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

// A part of the page that has nothing to show goes, and its link with it.
function leave(id) {
  byId(id).remove();
  document.querySelector(`nav a[href="#${id}"]`).remove();
}

// Text with `code` between backticks.
function withCode(text) {
  const line = document.createDocumentFragment();
  text.split("`").forEach((part, i) => line.append(i % 2 === 0 ? part : make("code", {}, part)));
  return line;
}

function copyButton(text, name) {
  const button = make("button", { class: "copy", type: "button", "aria-label": name }, "Copy");
  button.addEventListener("click", () => copy(text(), button));
  return button;
}

// From file:// the clipboard is not always there; then the old way. Where a browser allows neither, the button says so.
async function copy(text, button) {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { readonly: "", class: "aside" });
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const said = button.dataset.said || button.textContent;
  button.dataset.said = said;
  button.textContent = done ? "Copied" : "Not allowed here: mark the text";
  byId("announced").textContent = done ? "Copied" : "The browser does not allow copying; mark the text instead";
  setTimeout(() => (button.textContent = said), 1500);
}

function save(name, text) {
  const link = make("a", { download: name, href: "data:application/json;charset=utf-8," + encodeURIComponent(text) });
  link.click();
}

// Plain loops: a million particles pass through here.
function wordsOf(text) {
  const bytes = atob(text), words = new Uint16Array(bytes.length / 2);
  for (let i = 0; i < words.length; i++) words[i] = bytes.charCodeAt(2 * i) | (bytes.charCodeAt(2 * i + 1) << 8);
  return words;
}

// Numbers that came as 16 bits between their least and their greatest.
function numbersOf(sent) {
  const words = wordsOf(sent.data), numbers = new Float32Array(words.length);
  const scale = (sent.most - sent.least) / 65535;
  for (let i = 0; i < words.length; i++) numbers[i] = sent.least + words[i] * scale;
  return numbers;
}

const grouped = (n) => n.toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
const rounded = (x) => (Math.abs(x) >= 1000 ? grouped(Math.round(Math.abs(x))) : Number(Math.abs(x).toPrecision(3)).toString()).replace(/^/, x < 0 ? "\u2212" : "");
const styleOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Viridis, dark to light, cut at both ends: that of pictures.
const SCALE = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [146, 215, 65], [202, 224, 31]];
function between(stops, share) {
  const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const low = stops[Math.floor(at)], high = stops[Math.ceil(at)];
  return low.map((v, k) => Math.round(v + (high[k] - v) * (at % 1)));
}
const alongScale = (share) => between(SCALE, share);
// Marks have the style's colours, which are seen on light and on dark.
const markOf = (name) => { const hex = styleOf(`--${name}`); return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)); };
const marksAlong = () => { const stops = SCALE.map((_, i) => markOf(`scale-${i}`)); return (share) => between(stops, share); };
// A few groups have hues of their own; more have steps along the scale that part neighbours in number.
const FEW = 7;
const GOLDEN = 0.618034;
function groupColours(count) {
  const along = marksAlong();
  return Array.from({ length: count }, (_, i) => (count <= FEW ? markOf(`few-${i}`) : along((i * GOLDEN) % 1)));
}
