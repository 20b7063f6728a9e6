// States that turn, and ways with a slider.

const stateViews = [];

// A strip of square pictures, one below the other, of which one is shown.
function stripView(canvas, source, side) {
  const picture = new Image();
  const view = { canvas, frame: 0, shown: -1 };
  view.show = (frame) => {
    view.frame = frame;
    if (!picture.complete || picture.naturalWidth === 0) return;
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, side, side);
    context.drawImage(picture, 0, frame * side, side, side, 0, 0, side, side);
    view.shown = frame;
    canvas.dataset.frame = frame;
  };
  picture.onload = () => view.show(view.frame);
  picture.src = source;
  canvas.width = canvas.height = side;
  return view;
}

// Turned by dragging and by the arrow keys.
function turnable(canvas, frame, show) {
  let grabbed = null;
  canvas.addEventListener("pointerdown", (e) => { grabbed = { x: e.clientX, frame: frame() }; canvas.setPointerCapture(e.pointerId); });
  canvas.addEventListener("pointermove", (e) => { if (grabbed) show(grabbed.frame + Math.round(((grabbed.x - e.clientX) * DATA.frames) / 240)); });
  canvas.addEventListener("pointerup", () => (grabbed = null));
  canvas.addEventListener("keydown", (e) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (by) { show(frame() + by); e.preventDefault(); }
  });
}

function showState(state) {
  const canvas = make("canvas", { tabindex: 0, role: "img", "aria-label": `Surface of ${DATA.words.classes[state.class - 1]}; arrow keys turn it` });
  const view = stripView(canvas, state.surface, DATA.surface_px);
  const turn = (by) => view.show((((view.frame + by) % DATA.frames) + DATA.frames) % DATA.frames);
  turnable(canvas, () => view.frame, (frame) => view.show(((frame % DATA.frames) + DATA.frames) % DATA.frames));
  stateViews.push({ show: view.show, turn });
  const swatch = make("i", { style: `background:${colourOfState(state.class)}` });
  const slices = make("div", { class: "slices" });
  state.slices.forEach((source, i) => slices.append(make("figure", {}, make("img", { src: source, alt: `central slice across ${"zyx"[i]}` }), `across ${"zyx"[i]}`)));
  if (state.difference.length > 0) slices.append(make("p", {}, "less (blue) and more (orange) than the consensus"));
  state.difference.forEach((source, i) => slices.append(make("figure", {}, make("img", { src: source, alt: `difference from the consensus across ${"zyx"[i]}` }), `across ${"zyx"[i]}`)));
  const differs = state.of_consensus === null ? "" : `; differs from the consensus by ${Math.round(100 * state.of_consensus)}%`;
  const note = state.note === null ? "" : `; ${state.note}`;
  const size = `${state.size} (${(100 * state.share).toFixed(1)}%), ${state.map}${note}${differs}`;
  return make("article", { class: "card", "data-state": state.class }, make("h3", {}, swatch, state.name), make("p", {}, size), canvas, slices);
}

function showStates() {
  if (DATA.states.length === 0) return leave("states");
  byId("state-cards").append(...DATA.states.map(showState));
  const angle = byId("angle");
  angle.max = DATA.frames - 1;
  angle.addEventListener("input", () => stateViews.forEach((v) => v.show(Number(angle.value))));
  let timer = null;
  byId("turn").addEventListener("click", () => {
    const on = timer === null;
    byId("turn").setAttribute("aria-pressed", on);
    if (on) timer = setInterval(() => stateViews.forEach((v) => v.turn(1)), 120);
    else { clearInterval(timer); timer = null; }
  });
}

function showWay(way) {
  const canvas = make("canvas", { role: "img", "aria-label": `Surface along ${way.name}` });
  const view = stripView(canvas, way.surface, DATA.surface_px);
  const slice = make("img", { src: way.slices[0], alt: "central slice across z" });
  const label = make("p", {}, "");
  const slider = make("input", { type: "range", min: 0, max: way.files.length - 1, value: 0, step: 1, "aria-label": `Place along ${way.name}` });
  const show = () => {
    const at = Number(slider.value);
    view.show(at);
    slice.src = way.slices[at];
    label.textContent = `map ${at + 1} of ${way.files.length}: ${way.files[at]}`;
  };
  slider.addEventListener("input", show);
  show();
  return make("article", { class: "card" }, make("h3", {}, way.name), make("div", { class: "way" }, canvas, slice), slider, label);
}

function showWays() {
  if (DATA.ways.length === 0) return leave("ways");
  byId("way-cards").append(...DATA.ways.map(showWay));
}
