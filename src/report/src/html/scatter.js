// Particles in a plane: zoom, colour, hover, lasso; a million of them.

const GRID = 256; // cells a side for finding the nearest
const ZOOM = 1.25;
const CROSS_STEP = 8; // pixels
const MOST_GROUPS = 24; // of a legend
const OTHERS = [150, 155, 162]; // what is not looked at, on light and dark

const scatter = {
  canvas: byId("scatter"), embeddings: DATA.embeddings, classes: wordsOf(DATA.classes),
  at: 0, view: null, cross: null, polygon: [], drawing: false, lasso: false, shades: null, grid: null, say: () => "", last: null, only: null,
};

const className = (number) => DATA.words.classes[number - 1];

// Coordinates are unpacked when they are first looked at.
function embedding() {
  const e = scatter.embeddings[scatter.at];
  if (!e.xs) { [e.xs, e.ys] = [numbersOf(e.x), numbersOf(e.y)]; if (e.ground) [e.ground.xs, e.ground.ys] = [numbersOf(e.ground.x), numbersOf(e.ground.y)]; }
  return e;
}

// The whole cloud, with a margin.
function wholeView() {
  const e = embedding();
  const shown = (axis) => {
    const all = [e[axis], ...(e.ground ? [e.ground[axis]] : [])], marks = (e.marks || []).map((m) => m[axis === "x" ? 0 : 1]);
    return [Math.min(...all.map((s) => s.least), ...marks), Math.max(...all.map((s) => s.most), ...marks)];
  };
  const [left, right] = shown("x"), [low, high] = shown("y");
  const w = right - left || 1, h = high - low || 1;
  scatter.view = { x: left - 0.04 * w, y: low - 0.04 * h, w: 1.08 * w, h: 1.08 * h };
}

const toPixel = (x, y) => {
  const { canvas, view } = scatter;
  return [((x - view.x) / view.w) * canvas.width, (1 - (y - view.y) / view.h) * canvas.height];
};
const toData = (px, py) => {
  const { canvas, view } = scatter;
  return [view.x + (px / canvas.width) * view.w, view.y + (1 - py / canvas.height) * view.h];
};

function dye(shades, i, colour) {
  shades[3 * i] = colour[0];
  shades[3 * i + 1] = colour[1];
  shades[3 * i + 2] = colour[2];
}

// What points are coloured by now: groups with a colour each, or figures along the scale.
function chosenColour() {
  const chosen = byId("colour").value;
  if (chosen === "cluster") {
    return { words: scatter.classes, from: 1, names: DATA.words.classes, colours: DATA.words.classes.map((_, c) => markOf(`class-${c + 1}`)), say: () => "" };
  }
  const column = DATA.columns[Number(chosen)];
  if (!column.names) {
    const words = wordsOf(column.values.data), { least, most } = column.values;
    return { words, column, say: (i) => `, ${column.name} ${rounded(least + (words[i] / 65535) * (most - least))}` };
  }
  const words = wordsOf(column.of);
  return { words, from: 0, names: column.names, colours: groupColours(column.names.length), say: (i) => `, ${column.name} ${column.names[words[i]]}` };
}

// A colour a particle, and the legend; of groups one alone can be shown.
function paint(only = null) {
  const n = DATA.particles, shades = new Uint8Array(3 * n), shown = chosenColour(), { words } = shown;
  scatter.say = shown.say;
  scatter.only = only;
  scatter.last = null;
  if (shown.names) {
    const counts = new Uint32Array(shown.names.length);
    for (let i = 0; i < n; i++) {
      const group = words[i] - shown.from;
      counts[group]++;
      dye(shades, i, only === null || group === only ? shown.colours[group] : OTHERS);
    }
    scatter.last = only === null ? null : { words, word: only + shown.from };
    const order = shown.names.map((_, g) => g);
    if (order.length > MOST_GROUPS) order.sort((a, b) => counts[b] - counts[a]);
    const entry = (g) => {
      const button = make("button", { type: "button", "aria-pressed": g === only, title: `only ${shown.names[g]}` }, make("i", { style: `background:rgb(${shown.colours[g]})` }), `${shown.names[g]} · ${grouped(counts[g])}`);
      button.addEventListener("click", () => {
        paint(g === only ? null : g);
        redraw();
        byId("legend").querySelectorAll("button")[order.indexOf(g)].focus();
      });
      return button;
    };
    const more = order.length - MOST_GROUPS;
    byId("legend").replaceChildren(...order.slice(0, MOST_GROUPS).map(entry), ...(more > 0 ? [make("p", {}, `and ${grouped(more)} more; the pointer names them`)] : []));
  } else {
    const along = marksAlong(), steps = Array.from({ length: 256 }, (_, i) => along(i / 255));
    for (let i = 0; i < n; i++) dye(shades, i, steps[words[i] >> 8]);
    const ramp = `linear-gradient(to top, ${[0, 0.25, 0.5, 0.75, 1].map((s) => `rgb(${along(s)})`).join(",")})`;
    const { least, most } = shown.column.values;
    byId("legend").replaceChildren(make("p", {}, shown.column.name), make("div", { class: "ramp" }, make("i", { class: "scale", style: `background:${ramp}` }),
      make("span", {}, make("b", {}, rounded(most)), make("b", {}, rounded((least + most) / 2)), make("b", {}, rounded(least)))));
  }
  if (DATA.words.ground) byId("legend").append(make("p", {}, DATA.words.ground));
  scatter.shades = shades;
}

// Particles sorted by cell, so that the nearest is found among a few.
function index() {
  const e = embedding(), n = DATA.particles;
  const cell = (v, sent) => Math.min(GRID - 1, Math.floor(((v - sent.least) / (sent.most - sent.least || 1)) * GRID));
  const starts = new Uint32Array(GRID * GRID + 1), cells = new Uint32Array(n), order = new Uint32Array(n);
  for (let i = 0; i < n; i++) { cells[i] = cell(e.ys[i], e.y) * GRID + cell(e.xs[i], e.x); starts[cells[i] + 1]++; }
  for (let c = 0; c < GRID * GRID; c++) starts[c + 1] += starts[c];
  const next = starts.slice();
  for (let i = 0; i < n; i++) order[next[cells[i]]++] = i;
  scatter.grid = { starts, order, cell };
}

// The nearest particle on the screen, at most `reach` pixels away.
function nearest(px, py, reach) {
  const e = embedding(), { starts, order, cell } = scatter.grid;
  const [x0, y1] = toData(px - reach, py - reach), [x1, y0] = toData(px + reach, py + reach);
  const clamp = (v) => Math.max(0, Math.min(GRID - 1, v));
  let best = -1, least = reach * reach;
  for (let row = clamp(cell(y0, e.y)); row <= clamp(cell(y1, e.y)); row++) {
    for (let column = clamp(cell(x0, e.x)); column <= clamp(cell(x1, e.x)); column++) {
      const c = row * GRID + column;
      for (let k = starts[c]; k < starts[c + 1]; k++) {
        const [qx, qy] = toPixel(e.xs[order[k]], e.ys[order[k]]);
        const d = (qx - px) ** 2 + (qy - py) ** 2;
        if (d <= least) { least = d; best = order[k]; }
      }
    }
  }
  return best;
}

// As a canvas holds it.
const packed = (red, green, blue) => 0xff000000 | (blue << 16) | (green << 8) | red;

// Where maps were decoded, by their numbers.
function drawMarks(context, marks, ratio) {
  context.font = `600 ${13 * ratio}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 4 * ratio;
  context.lineJoin = "round";
  context.strokeStyle = styleOf("--paper");
  context.fillStyle = styleOf("--ink");
  marks.forEach(([x, y], i) => {
    const at = toPixel(x, y);
    context.strokeText(i + 1, ...at);
    context.fillText(i + 1, ...at);
  });
  context.textAlign = "start";
  context.textBaseline = "alphabetic";
}

// Numbers along the lower and the left edge.
function drawTicks(context, width, height, ratio) {
  const { view } = scatter, mark = 4 * ratio;
  context.textAlign = "center";
  for (const t of ticks(view.x, view.x + view.w, 6)) {
    const [x] = toPixel(t, view.y);
    context.fillRect(x, height - mark, ratio, mark);
    if (x > 40 * ratio && x < width - 20 * ratio) context.fillText(rounded(t), x, height - 7 * ratio);
  }
  context.textAlign = "start";
  context.textBaseline = "middle";
  for (const t of ticks(view.y, view.y + view.h, 6)) {
    const [, y] = toPixel(view.x, t);
    context.fillRect(0, y, mark, ratio);
    if (y > 12 * ratio && y < height - 20 * ratio) context.fillText(rounded(t), 7 * ratio, y);
  }
  context.textBaseline = "alphabetic";
}

function drawScatter() {
  const { canvas, view, shades } = scatter, e = embedding(), n = DATA.particles;
  const ratio = window.devicePixelRatio || 1;
  const box = canvas.getBoundingClientRect();
  const [width, height] = [Math.max(1, Math.round(box.width * ratio)), Math.max(1, Math.round(box.height * ratio))];
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  const pixels = new Uint32Array(picture.data.buffer);
  const side = Math.max(1, Math.round((n < 5000 ? 4 : n < 50000 ? 3 : n < 300000 ? 2 : 1) * ratio));
  const sx = width / view.w, sy = height / view.h;
  const dot = (x, y, colour) => {
    const px = Math.round((x - view.x) * sx - side / 2), py = Math.round(height - (y - view.y) * sy - side / 2);
    if (px < 0 || py < 0 || px + side > width || py + side > height) return;
    for (let row = py; row < py + side; row++) for (let column = px; column < px + side; column++) pixels[row * width + column] = colour;
  };
  if (e.ground) {
    const colour = packed(...OTHERS);
    for (let i = 0; i < e.ground.xs.length; i++) dot(e.ground.xs[i], e.ground.ys[i], colour);
  }
  // A group that is shown alone lies on top of the others.
  const { last } = scatter;
  for (let k = 0; k < (last ? 2 * n : n); k++) {
    const i = k % n;
    if (last && (last.words[i] === last.word) !== (k >= n)) continue;
    dot(e.xs[i], e.ys[i], packed(shades[3 * i], shades[3 * i + 1], shades[3 * i + 2]));
  }
  context.putImageData(picture, 0, 0);
  context.fillStyle = styleOf("--soft");
  context.font = `${12 * ratio}px system-ui, sans-serif`;
  drawTicks(context, width, height, ratio);
  context.fillText(e.axes[0], 10 * ratio, height - 22 * ratio);
  context.save();
  context.translate(46 * ratio, height - 44 * ratio);
  context.rotate(-Math.PI / 2);
  context.fillText(e.axes[1], 0, 0);
  context.restore();
  if (e.marks) drawMarks(context, e.marks, ratio);
  if (scatter.polygon.length > 0) {
    context.beginPath();
    scatter.polygon.forEach(([x, y], i) => { const p = toPixel(x, y); i ? context.lineTo(...p) : context.moveTo(...p); });
    if (!scatter.drawing) context.closePath();
    context.strokeStyle = styleOf("--ink");
    context.lineWidth = 1.5 * ratio;
    context.stroke();
  }
  if (scatter.cross) {
    const [x, y] = scatter.cross;
    context.strokeStyle = styleOf("--accent");
    context.lineWidth = ratio;
    context.beginPath();
    context.moveTo(x - 9 * ratio, y); context.lineTo(x + 9 * ratio, y); context.moveTo(x, y - 9 * ratio); context.lineTo(x, y + 9 * ratio);
    context.stroke();
  }
}

let drawingSoon = false;
function redraw() {
  if (drawingSoon) return;
  drawingSoon = true;
  requestAnimationFrame(() => { drawingSoon = false; drawScatter(); });
}

function zoom(factor, px = scatter.canvas.width / 2, py = scatter.canvas.height / 2) {
  const [x, y] = toData(px, py), v = scatter.view;
  scatter.view = { x: x - (x - v.x) / factor, y: y - (y - v.y) / factor, w: v.w / factor, h: v.h / factor };
  redraw();
}

function say(px, py) {
  const ratio = window.devicePixelRatio || 1;
  const i = nearest(px, py, 14 * ratio);
  byId("hover").textContent = i < 0 ? "\u00a0" : `Particle ${i + 1}, ${className(scatter.classes[i])}${scatter.say(i)}`;
}

// Even-odd rule.
function inside(x, y, polygon) {
  let is = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i], [xj, yj] = polygon[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) is = !is;
  }
  return is;
}

function finishLasso() {
  scatter.drawing = false;
  const e = embedding(), polygon = scatter.polygon;
  if (polygon.length < 3) return clearLasso();
  let count = 0;
  const states = new Map();
  for (let i = 0; i < DATA.particles; i++) {
    if (!inside(e.xs[i], e.ys[i], polygon)) continue;
    count++;
    states.set(scatter.classes[i], (states.get(scatter.classes[i]) || 0) + 1);
  }
  const shares = [...states].sort((a, b) => b[1] - a[1]).slice(0, 4).map(([s, c]) => `${className(s)}: ${grouped(c)}`).join(", ");
  byId("selection-text").textContent = `${grouped(count)} particles inside${shares ? ` (${shares})` : ""}`;
  byId("selection").hidden = false;
  byId("selection").dataset.count = count;
  scatter.selection = { schema: 1, embedding: e.name === "UMAP" ? "umap" : "pca", polygon: polygon.map((p) => p.map((v) => Number(v.toPrecision(7)))), particles: count, drawn_on: DATA.drawn_on };
  byId("selection-command").textContent = DATA.region_command;
  redraw();
}

function clearLasso() {
  scatter.polygon = [];
  scatter.drawing = false;
  byId("selection").hidden = true;
  redraw();
}

function showScatter() {
  scatter.embeddings.forEach((e, i) => byId("embedding").append(make("option", { value: i }, e.name)));
  byId("colour").append(make("option", { value: "cluster" }, DATA.words.division), ...DATA.columns.map((c, i) => make("option", { value: i }, c.name)));
  if (DATA.left_out.length > 0) {
    byId("left-out").hidden = false;
    byId("left-out").replaceChildren(withCode(`With so many particles this file has no room for the colours ${DATA.left_out.join(", ")}. An analysis with \`--colour-by\` and labels of the particle file gives those columns what room there is.`));
  }
  if (!DATA.words.regions) ["lasso", "lasso-clear"].forEach((id) => (byId(id).hidden = true));
  const { canvas } = scatter;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
  };
  byId("embedding").addEventListener("change", () => { scatter.at = Number(byId("embedding").value); wholeView(); index(); clearLasso(); });
  byId("colour").addEventListener("change", () => { paint(); redraw(); });
  byId("zoom-in").addEventListener("click", () => zoom(ZOOM));
  byId("zoom-out").addEventListener("click", () => zoom(1 / ZOOM));
  byId("zoom-all").addEventListener("click", () => { wholeView(); redraw(); });
  byId("lasso").addEventListener("click", () => {
    scatter.lasso = !scatter.lasso;
    byId("lasso").setAttribute("aria-pressed", scatter.lasso);
    byId("hover").textContent = scatter.lasso ? "Draw around particles; or Shift+arrows to move the cross, Enter to set a corner, C to close, Escape to give up" : "\u00a0";
    canvas.focus();
  });
  byId("lasso-clear").addEventListener("click", clearLasso);
  byId("selection-save").addEventListener("click", () => save("selection.json", JSON.stringify(scatter.selection)));
  byId("selection-copy").addEventListener("click", () => copy(byId("selection-command").textContent, byId("selection-copy")));

  let grabbed = null;
  canvas.addEventListener("pointerdown", (event) => {
    const [px, py] = place(event);
    canvas.setPointerCapture(event.pointerId);
    if (scatter.lasso) { scatter.polygon = [toData(px, py)]; scatter.drawing = true; }
    else grabbed = { px, py, view: scatter.view };
  });
  canvas.addEventListener("pointermove", (event) => {
    const [px, py] = place(event);
    if (scatter.drawing && event.buttons) { scatter.polygon.push(toData(px, py)); redraw(); }
    else if (grabbed) {
      const v = grabbed.view;
      scatter.view = { ...v, x: v.x - ((px - grabbed.px) / canvas.width) * v.w, y: v.y + ((py - grabbed.py) / canvas.height) * v.h };
      redraw();
    } else say(px, py);
  });
  canvas.addEventListener("pointerup", () => {
    grabbed = null;
    if (scatter.drawing) finishLasso();
  });
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY < 0 ? ZOOM : 1 / ZOOM, ...place(event)); }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const ratio = window.devicePixelRatio || 1;
    if (way && event.shiftKey) {
      const from = scatter.cross || [canvas.width / 2, canvas.height / 2];
      scatter.cross = from.map((v, k) => v + way[k] * CROSS_STEP * ratio);
      say(...scatter.cross);
      redraw();
    } else if (way) {
      const v = scatter.view;
      scatter.view = { ...v, x: v.x + 0.1 * way[0] * v.w, y: v.y - 0.1 * way[1] * v.h };
      redraw();
    } else if (event.key === "+" || event.key === "=") zoom(ZOOM);
    else if (event.key === "-") zoom(1 / ZOOM);
    else if (event.key === "0") { wholeView(); redraw(); }
    else if (event.key === "Enter" && scatter.lasso) {
      if (!scatter.drawing) scatter.polygon = [];
      scatter.drawing = true;
      scatter.polygon.push(toData(...(scatter.cross || [canvas.width / 2, canvas.height / 2])));
      redraw();
    } else if ((event.key === "c" || event.key === "C") && scatter.drawing) finishLasso();
    else if (event.key === "Escape") clearLasso();
    else return;
    event.preventDefault();
  });
  new ResizeObserver(redraw).observe(canvas);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { paint(scatter.only); redraw(); });
  paint();
  wholeView();
  index();
  drawScatter();
}
