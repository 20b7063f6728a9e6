// Line charts, as SVG in the page's own colours.

const CHART = { width: 460, height: 250, left: 74, right: 12, top: 10, bottom: 38 };

function ticks(low, high, wanted) {
  const span = high - low || 1;
  const raw = span / wanted;
  const power = Math.pow(10, Math.floor(Math.log10(raw)));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const found = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + 1e-9 * span; t += step) found.push(Math.abs(t) < step * 1e-9 ? 0 : t);
  return found;
}

function svg(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// Curves are [name, points]; `x` and `y` are the axes' titles; `mark` is an x that is pointed out.
function chart(title, x, y, curves, { fromZero = false, mark = null } = {}) {
  const shown = curves.map(([name, points], i) => ({ name, colour: `var(--few-${i})`, points: points.filter((p) => p[1] !== null && Number.isFinite(p[1])) }))
    .filter((c) => c.points.some((p) => p[1] !== 0));
  if (shown.length === 0) return null;
  const values = shown.flatMap((c) => c.points.map((p) => p[1])), places = shown.flatMap((c) => c.points.map((p) => p[0]));
  let low = Math.min(...values), high = Math.max(...values);
  if (fromZero && low > 0) low = 0;
  if (high === low) [low, high] = [low - 0.5, high + 0.5];
  const pad = 0.05 * (high - low);
  [low, high] = [fromZero && low === 0 ? 0 : low - pad, high + pad];
  const first = Math.min(...places), last = Math.max(...places);
  const { width, height, left, right, top, bottom } = CHART;
  const across = (v) => left + ((width - left - right) * (v - first)) / Math.max(last - first, 1);
  const up = (v) => top + (height - top - bottom) * (1 - (v - low) / (high - low));
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: ${y} by ${x}` });
  for (const t of ticks(low, high, 4)) {
    root.append(svg("line", { x1: left, x2: width - right, y1: up(t), y2: up(t), stroke: "var(--line)" }));
    root.append(svg("text", { x: left - 6, y: up(t) + 4, "text-anchor": "end", fill: "var(--soft)" }, Number(t.toPrecision(4)).toString().replace("-", "\u2212")));
  }
  for (const t of ticks(first, last, Math.min(8, last - first || 1)).filter(Number.isInteger))
    root.append(svg("text", { x: across(t), y: height - bottom + 16, "text-anchor": "middle", fill: "var(--soft)" }, t));
  root.append(svg("text", { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle", fill: "var(--soft)" }, x));
  root.append(svg("text", { transform: `translate(14 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle", fill: "var(--soft)" }, y));
  if (mark !== null) root.append(svg("line", { x1: across(mark), x2: across(mark), y1: top, y2: height - bottom, stroke: "var(--soft)", "stroke-dasharray": "4 4" }));
  shown.forEach((c) => {
    root.append(svg("polyline", { points: c.points.map((p) => `${across(p[0])},${up(p[1])}`).join(" "), fill: "none", stroke: c.colour, "stroke-width": 2 }));
    c.points.forEach((p) => root.append(svg("circle", { cx: across(p[0]), cy: up(p[1]), r: 3, fill: c.colour })));
  });
  const legend = shown.map((c) => make("span", {}, make("i", { style: `background:${c.colour}` }), c.name));
  const figure = make("figure", {}, make("figcaption", {}, title, ...(shown.length > 1 ? legend : [])));
  figure.append(root);
  return figure;
}

function showCharts() {
  if (DATA.epochs.length === 0) return leave("training");
  const curve = (name, read) => [name, DATA.epochs.map((e) => [e.epoch, read(e)])];
  const zero = { fromZero: true };
  const all = [
    chart("Fit to the images", "epoch", "reconstruction loss", [curve("training", (e) => e.reconstruction), curve("validation", (e) => e.validation)]),
    chart("Other loss terms, as they enter the total", "epoch", "loss term",
      [curve("KL", (e) => e.kl), curve("prior", (e) => e.prior), curve("volume", (e) => e.volume), curve("warm start", (e) => e.warm_start)], zero),
    chart("What the latents carry", "epoch", "KL divergence (nats an image)", [curve("KL", (e) => e.kl_nats)], zero),
    chart("Signal that the model explains", "epoch", "signal-to-noise ratio", [curve("SNR", (e) => e.snr)], zero),
    chart("Likeness of the latents to the epoch before", "epoch", "1: nothing moved", [curve("alignment", (e) => e.alignment), curve("common neighbours", (e) => e.neighbours)], zero),
  ];
  byId("charts").append(...all.filter((f) => f));
}
