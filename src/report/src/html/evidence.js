// What the data support, and how the states differ.

const FSC = { width: 460, height: 290, left: 70, right: 14, top: 10, bottom: 56 };

// Curves over any axis, with names that switch them on and off, and a dashed line where one is told.
function curveChart(title, xTitle, yTitle, curves, { yRange, line, below } = {}) {
  const { width, height, left, right, top, bottom } = FSC;
  const all = curves.flatMap((c) => c.points);
  const most = Math.max(...all.map((p) => p[0]), 1e-9);
  const [low, high] = yRange;
  const x = (v) => left + ((width - left - right) * v) / most;
  const y = (v) => top + (height - top - bottom) * (1 - (Math.min(Math.max(v, low), high) - low) / (high - low));
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: ${yTitle} by ${xTitle}` });
  for (const t of ticks(low, high, 5)) {
    root.append(svg("line", { x1: left, x2: width - right, y1: y(t), y2: y(t), stroke: "var(--line)" }));
    root.append(svg("text", { x: left - 6, y: y(t) + 4, "text-anchor": "end", fill: "var(--soft)" }, Number(t.toPrecision(4)).toString().replace("-", "−")));
  }
  for (const t of ticks(0, most, 5)) {
    root.append(svg("text", { x: x(t), y: height - bottom + 16, "text-anchor": "middle", fill: "var(--soft)" }, Number(t.toPrecision(4)).toString()));
    if (below && t > 0) root.append(svg("text", { x: x(t), y: height - bottom + 30, "text-anchor": "middle", fill: "var(--soft)" }, below(t)));
  }
  root.append(svg("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle", fill: "var(--soft)" }, xTitle));
  root.append(svg("text", { transform: `translate(14 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle", fill: "var(--soft)" }, yTitle));
  if (line !== undefined) {
    root.append(svg("line", { x1: left, x2: width - right, y1: y(line), y2: y(line), stroke: "var(--ink)", "stroke-dasharray": "5 4" }));
    root.append(svg("text", { x: width - right, y: y(line) - 5, "text-anchor": "end", fill: "var(--ink)" }, line));
  }
  const names = curves.map((c) => {
    const curve = svg("polyline", { points: c.points.map((p) => `${x(p[0])},${y(p[1])}`).join(" "), fill: "none", stroke: c.colour, "stroke-width": 2 });
    root.append(curve);
    const name = make("button", { type: "button", class: "curve", "aria-pressed": "true" }, make("i", { style: `background:${c.colour}` }), c.name);
    name.addEventListener("click", () => {
      const shown = name.getAttribute("aria-pressed") !== "true";
      name.setAttribute("aria-pressed", shown);
      curve.setAttribute("visibility", shown ? "visible" : "hidden");
    });
    return name;
  });
  const figure = make("figure", {}, make("figcaption", {}, title), make("div", { class: "curves", role: "group", "aria-label": `Curves of ${title}` }, ...names));
  figure.append(root);
  return figure;
}

const colourOfState = (number) => `var(--class-${number})`;
const angstrom = (v) => (v === null || v === undefined ? "–" : v.toFixed(1));

function row(kind, cells) {
  return make("tr", {}, ...cells.map((cell, i) => (i === 0 && kind === "td" ? make("th", { scope: "row" }, cell) : make(kind, kind === "th" ? { scope: "col" } : {}, cell))));
}

function fillTable(table, titles, rows) {
  table.append(make("thead", {}, row("th", titles)), make("tbody", {}, ...rows.map((r) => row("td", r))));
}

// Surfaces of one state, the network's and the data's, that turn together.
function showPair(told) {
  const state = DATA.states.find((s) => s.class === told.class);
  const views = [["network", state.surface], ["data", told.surface]].map(([name, source]) => {
    const canvas = make("canvas", { tabindex: 0, role: "img", "aria-label": `Surface of state ${told.class}, ${name}; arrow keys turn both` });
    return { name, canvas, view: stripView(canvas, source, DATA.surface_px) };
  });
  const show = (frame) => views.forEach((v) => v.view.show(((frame % DATA.frames) + DATA.frames) % DATA.frames));
  const turn = (by) => show(views[0].view.frame + by);
  views.forEach((v) => turnable(v.canvas, () => views[0].view.frame, show));
  stateViews.push({ show, turn });
  const surfaces = make("div", { class: "pair" }, ...views.map((v) => make("figure", {}, v.canvas, v.name)));
  const rows = [["network", state.slices], ["data", told.slices], ["local resolution", told.local]];
  const slices = rows.map(([name, sources]) => make("div", { class: "slices" }, make("p", {}, name),
    ...sources.map((source, i) => make("figure", {}, make("img", { src: source, alt: `${name}, central slice across ${"zyx"[i]}` }), `across ${"zyx"[i]}`))));
  const agrees = told.resolution === null ? "the halves do not agree" : `halves agree to ${angstrom(told.resolution)} Å`;
  const swatch = make("i", { style: `background:${colourOfState(told.class)}` });
  return make("article", { class: "card", "data-evidence": told.class }, make("h3", {}, swatch, `State ${told.class}`), make("p", {}, `${agrees}; ${told.file}`), surfaces, ...slices);
}

function showEvidence() {
  if (DATA.evidence.length === 0) return leave("evidence");
  const curves = (read) => DATA.evidence.map((e) => ({ name: `state ${e.class}`, colour: colourOfState(e.class), points: read(e) }));
  const range = { yRange: [-0.1, 1.05], below: (s) => `${(1 / s).toFixed(1)} Å` };
  byId("fsc").append(
    curveChart("Half maps of each state, inside the mask", "spatial frequency (1/Å)", "Fourier shell correlation", curves((e) => e.fsc), { ...range, line: 0.143 }),
    curveChart("The network's map against the data", "spatial frequency (1/Å)", "Fourier shell correlation", curves((e) => e.decoded_fsc), { ...range, line: 0.5 }));
  fillTable(byId("resolutions"),
    ["State", "Particles that count", "Halves agree to, at 0.143 (Å)", "at 0.5 (Å)", "Local, median (Å)", "B-factor (Å²)", "Network's map agrees to, at 0.5 (Å)"],
    DATA.evidence.map((e) => [`${e.class}`, grouped(Math.round(e.particles)), angstrom(e.resolution), angstrom(e.resolution_half), angstrom(e.local_median), angstrom(e.b_factor), angstrom(e.agrees)]));
  const [fine, coarse] = DATA.local_range;
  byId("local-scale").append(`Local resolution from ${angstrom(fine)} Å `, scaleBar(), ` to ${angstrom(coarse)} Å.`);
  byId("evidence-cards").append(...DATA.evidence.map(showPair));
}

// The colours of a scale, dark to light.
function scaleBar() {
  const stops = [0, 0.25, 0.5, 0.75, 1].map((s) => `rgb(${alongScale(s).join(",")})`).join(",");
  return make("span", { class: "bar", style: `background:linear-gradient(to right,${stops})`, role: "img", "aria-label": "from dark to light" });
}

function showDifferences() {
  const told = DATA.differences;
  if (!told || (!told.part && !told.variability)) return leave("differences");
  if (told.part) {
    byId("part-name").textContent = told.part.mask;
    const curves = told.part.occupancy.map((o) => ({ name: `state ${o.class}`, colour: colourOfState(o.class), points: o.points.map(([level, filled]) => [level, 100 * filled]) }));
    byId("occupancy").append(curveChart("Occupancy of the part", "contour level (part of the density in the consensus' midst)", "of the mask's volume above it (%)", curves, { yRange: [0, 105] }));
    if (told.part.motions.length > 0)
      fillTable(byId("motions"), ["From state", "to state", "Turn (°)", "Shift (Å)", "Correlation before", "after"],
        told.part.motions.map((m) => [`${m.from}`, `${m.to}`, angstrom(m.angle), angstrom(m.shift), m.before.toFixed(3), m.after.toFixed(3)]));
    else byId("motions").remove();
  } else byId("part").remove();
  if (told.variability) {
    byId("variability-about").append(`Central slices of ${told.variability.maps} maps decoded at particles drawn at random: their mean, and the standard deviation of every voxel, from none `, scaleBar(), " to most.");
    for (const [name, sources] of [["mean", told.variability.mean], ["deviation", told.variability.deviation]])
      byId("variability").append(...sources.map((source, i) => make("figure", {}, make("img", { src: source, alt: `${name} across ${"zyx"[i]}` }), `${name}, across ${"zyx"[i]}`)));
  } else byId("variability-part").remove();
}
