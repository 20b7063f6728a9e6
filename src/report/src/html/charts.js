// Line charts of the training, as SVG in the page's own colours.

const CHART = { width: 460, height: 250, left: 62, right: 12, top: 10, bottom: 38 };
const CURVES = ["#0072b2", "#e69f00", "#009e73", "#cc79a7"];

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

function chart(title, axis, curves, fromZero) {
  const shown = curves.map(([name, read], i) => ({ name, colour: CURVES[i], points: DATA.epochs.map((e) => [e.epoch, read(e)]).filter((p) => p[1] !== null && Number.isFinite(p[1])) }))
    .filter((c) => c.points.some((p) => p[1] !== 0));
  if (shown.length === 0) return null;
  const values = shown.flatMap((c) => c.points.map((p) => p[1]));
  let low = Math.min(...values), high = Math.max(...values);
  if (fromZero && low > 0) low = 0;
  if (high === low) [low, high] = [low - 0.5, high + 0.5];
  const pad = 0.05 * (high - low);
  [low, high] = [fromZero && low === 0 ? 0 : low - pad, high + pad];
  const first = DATA.epochs[0].epoch, last = DATA.epochs[DATA.epochs.length - 1].epoch;
  const { width, height, left, right, top, bottom } = CHART;
  const x = (e) => left + ((width - left - right) * (e - first)) / Math.max(last - first, 1);
  const y = (v) => top + (height - top - bottom) * (1 - (v - low) / (high - low));
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: ${axis} by epoch` });
  for (const t of ticks(low, high, 4)) {
    root.append(svg("line", { x1: left, x2: width - right, y1: y(t), y2: y(t), stroke: "var(--line)" }));
    root.append(svg("text", { x: left - 6, y: y(t) + 4, "text-anchor": "end", fill: "var(--soft)" }, Number(t.toPrecision(4)).toString()));
  }
  for (const t of ticks(first, last, Math.min(8, last - first || 1)).filter(Number.isInteger))
    root.append(svg("text", { x: x(t), y: height - bottom + 16, "text-anchor": "middle", fill: "var(--soft)" }, t));
  root.append(svg("text", { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle", fill: "var(--soft)" }, "epoch"));
  root.append(svg("text", { transform: `translate(14 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle", fill: "var(--soft)" }, axis));
  shown.forEach((c) => {
    root.append(svg("polyline", { points: c.points.map((p) => `${x(p[0])},${y(p[1])}`).join(" "), fill: "none", stroke: c.colour, "stroke-width": 2 }));
    c.points.forEach((p) => root.append(svg("circle", { cx: x(p[0]), cy: y(p[1]), r: 3, fill: c.colour })));
  });
  const legend = shown.map((c) => make("span", {}, make("i", { style: `background:${c.colour}` }), c.name));
  const figure = make("figure", {}, make("figcaption", {}, title, ...(shown.length > 1 ? legend : [])));
  figure.append(root);
  return figure;
}

function showCharts() {
  if (DATA.epochs.length === 0) return byId("training").remove();
  const all = [
    chart("Fit to the images", "reconstruction loss", [["training", (e) => e.reconstruction], ["validation", (e) => e.validation]], false),
    chart("Other loss terms, as they enter the total", "loss term", [["KL", (e) => e.kl], ["prior", (e) => e.prior], ["volume", (e) => e.volume], ["warm start", (e) => e.warm_start]], true),
    chart("What the latents carry", "KL divergence (nats an image)", [["KL", (e) => e.kl_nats]], true),
    chart("Signal that the model explains", "signal-to-noise ratio", [["SNR", (e) => e.snr]], true),
  ];
  byId("charts").append(...all.filter((f) => f));
}
