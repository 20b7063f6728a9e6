// Does to the page what its user would, and leaves what it saw in #seen.
(() => {
  const seen = {};
  const key = (element, name, more = {}) => element.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true, ...more }));
  const pointer = (element, type, x, y, buttons = 1) => {
    const box = element.getBoundingClientRect();
    element.dispatchEvent(new PointerEvent(type, { clientX: box.left + x * box.width, clientY: box.top + y * box.height, buttons, pointerId: 1, bubbles: true }));
  };
  const choose = (element, value) => { element.value = value; element.dispatchEvent(new Event("change")); };
  const slide = (element, value) => { element.value = value; element.dispatchEvent(new Event("input")); };
  const canvas = document.getElementById("scatter");
  // A synthetic pointer cannot be captured.
  Element.prototype.setPointerCapture = () => {};
  setTimeout(async () => {
    try {
      seen.ready = document.body.dataset.ready;
      seen.started_at = document.querySelector('#places button[aria-pressed="true"]').textContent;
      const data = canvas.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, canvas.width, canvas.height).data;
      seen.painted = data.filter((v, i) => i % 4 === 3 && v > 0).length;
      const cards = [...document.querySelectorAll("#state-cards canvas")];
      seen.state_cards = cards.length;
      seen.frame_before = cards[0].dataset.frame;
      key(cards[0], "ArrowRight");
      seen.frame_after = cards[0].dataset.frame;
      seen.all_before = cards.map((c) => c.dataset.frame);
      slide(document.getElementById("angle"), 7);
      seen.all_after = cards.map((c) => c.dataset.frame);
      const pair = [...document.querySelectorAll("#evidence-cards article:first-child canvas")];
      seen.pair_before = pair.map((c) => c.dataset.frame);
      key(pair[1], "ArrowRight");
      seen.pair_after = pair.map((c) => c.dataset.frame);
      const name = document.querySelector("#fsc button.curve");
      const curve = document.querySelector("#fsc polyline");
      name.focus();
      seen.curve_focused = document.activeElement === name;
      name.click();
      seen.curve_hidden = [name.getAttribute("aria-pressed"), curve.getAttribute("visibility")];
      name.click();
      seen.curve_shown = curve.getAttribute("visibility");
      seen.resolutions = [...document.querySelectorAll("#resolutions tbody tr")].map((r) => r.textContent);
      seen.fsc_text = document.getElementById("fsc").textContent;
      seen.occupancy_curves = document.querySelectorAll("#occupancy polyline").length;
      seen.motions = document.querySelectorAll("#motions tbody tr").length;
      seen.variability = document.querySelectorAll("#variability img").length;
      seen.nav = [...document.querySelectorAll("nav a")].map((a) => a.getAttribute("href")).filter((h) => !document.querySelector(h));
      const way = document.querySelector("#way-cards canvas");
      const pixels = () => way.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, way.width, way.height).data.reduce((s, v, i) => (s * 31 + v * (i % 97)) % 1000003, 7);
      seen.way_before = pixels();
      slide(document.querySelector("#way-cards input"), 4);
      seen.way_after = pixels();
      for (let i = 0; i < 40 && !(seen.hover || "").startsWith("Particle"); i++) {
        pointer(canvas, "pointermove", 0.1 + 0.02 * i, 0.5, 0);
        seen.hover = document.getElementById("hover").textContent;
      }
      // What lies under the pointer, and under the cross that the keyboard moves.
      const hover = document.getElementById("hover");
      const e = embedding();
      const at = (px, py) => { pointer(canvas, "pointermove", px / canvas.width, py / canvas.height, 0); return hover.textContent; };
      seen.hovered = Array.from({ length: 60 }, (_, k) => {
        const row = Math.floor((k * DATA.particles) / 60), here = toPixel(e.xs[row], e.ys[row]);
        const text = at(...here), found = Number(text.match(/^Particle (\d+)/)[1]) - 1, there = toPixel(e.xs[found], e.ys[found]);
        return { text, apart: Math.hypot(here[0] - there[0], here[1] - there[1]) };
      });
      seen.hover_nowhere = at(1, 1).trim();
      seen.hover_told = [hover.getAttribute("aria-live"), canvas.getAttribute("aria-describedby")];
      const corners = [["ArrowLeft", 14], ["ArrowUp", 9], ["ArrowRight", 23], ["ArrowDown", 15], ["ArrowLeft", 6]];
      seen.by_keyboard = corners.map(([name, times]) => {
        for (let i = 0; i < times; i++) key(canvas, name, { shiftKey: true });
        const said = hover.textContent;
        return [said, at(...scatter.cross)];
      });
      scatter.cross = null;
      seen.embeddings = [...document.getElementById("embedding").options].map((o) => o.textContent);
      seen.legend_before = document.getElementById("legend").textContent;
      choose(document.getElementById("colour"), "1");
      seen.legend_after = document.getElementById("legend").textContent;
      for (let i = 0; i < 40 && !(seen.hover_value || "").startsWith("Particle"); i++) {
        pointer(canvas, "pointermove", 0.1 + 0.02 * i, 0.5, 0);
        seen.hover_value = document.getElementById("hover").textContent;
      }
      const colours = document.getElementById("colour");
      seen.colours = [...colours.options].map((o) => o.textContent);
      choose(colours, "2");
      const legend = document.getElementById("legend");
      seen.groups = legend.children.length;
      const grey = [150, 155, 162];
      const coloured = () => { let n = 0; for (let i = 0; i < DATA.particles; i++) if (grey.some((v, k) => scatter.shades[3 * i + k] !== v)) n++; return n; };
      seen.together = coloured();
      legend.querySelectorAll("button")[1].click();
      seen.alone = coloured();
      document.activeElement.click();
      seen.again = coloured();
      seen.curves = document.querySelectorAll("#latent-charts polyline").length;
      seen.bars = [...document.querySelectorAll(".bars > span")].map((s) => s.textContent);
      seen.beyond = document.querySelectorAll(".bars .beyond").length;
      seen.matches = document.querySelectorAll("#matches tbody tr").length;
      seen.drift = [...document.querySelectorAll("#charts figcaption")].map((f) => f.firstChild.textContent).find((t) => t.startsWith("Likeness"));
      document.getElementById("lasso").click();
      const ring = Array.from({ length: 24 }, (_, i) => [0.5 + 0.38 * Math.cos((i * Math.PI) / 12), 0.5 + 0.38 * Math.sin((i * Math.PI) / 12)]);
      pointer(canvas, "pointerdown", ...ring[0]);
      ring.slice(1).forEach((p) => pointer(canvas, "pointermove", ...p));
      pointer(canvas, "pointerup", ...ring[23], 0);
      seen.lasso = scatter.selection;
      document.getElementById("lasso-clear").click();
      for (const steps of [[["ArrowLeft", 30], ["ArrowUp", 20]], [["ArrowRight", 60]], [["ArrowDown", 40], ["ArrowLeft", 10]]]) {
        steps.forEach(([name, times]) => { for (let i = 0; i < times; i++) key(canvas, name, { shiftKey: true }); });
        key(canvas, "Enter");
      }
      key(canvas, "c");
      seen.keyboard_lasso = scatter.selection;
      seen.keyboard_shown = Number(document.getElementById("selection").dataset.count);
      seen.lasso_command = document.getElementById("selection-command").textContent;
      const width = scatter.view.w;
      key(canvas, "+");
      seen.zoomed = scatter.view.w / width;
      const before_keys = { ...scatter.view };
      key(canvas, "ArrowRight");
      seen.panned = scatter.view.x > before_keys.x && scatter.view.w === before_keys.w;
      key(canvas, "0");
      seen.whole = scatter.view.w > before_keys.w;
      seen.places = [...document.querySelectorAll("#places button")].map((b) => {
        b.click();
        return [b.getAttribute("aria-pressed"), document.querySelector("#next .place").textContent];
      });
      // Both ways to the clipboard: the browser's, and the old one where that is refused.
      const button = document.querySelector("#next button.copy");
      seen.copied = [];
      Object.defineProperty(navigator, "clipboard", { configurable: true, value: { writeText: async (text) => { seen.copied.push(text); } } });
      await copy(document.querySelector("#next code").textContent, button);
      seen.copy_said = [button.textContent, document.getElementById("announced").textContent];
      Object.defineProperty(navigator, "clipboard", { configurable: true, value: { writeText: async () => { throw new Error("refused"); } } });
      document.execCommand = () => { seen.copied.push(document.querySelector("textarea").value); return true; };
      await copy("again", button);
      seen.focus_returns = document.activeElement === button;
      document.execCommand = () => false;
      await copy("never", button);
      seen.copy_refused = document.getElementById("announced").textContent;
      // Whatever can be worked takes the focus, shows it, and has a name.
      const working = [...document.querySelectorAll('button, select, input, a[href], [tabindex="0"]')].filter((e) => e.getClientRects().length > 0);
      seen.unreached = [];
      seen.unseen = [];
      seen.unnamed = [];
      for (const element of working) {
        const who = `${element.tagName} ${element.id || element.className || element.textContent}`;
        element.focus({ focusVisible: true, preventScroll: true });
        if (document.activeElement !== element) seen.unreached.push(who);
        const style = getComputedStyle(element);
        if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 1) seen.unseen.push(who);
        if (!(element.getAttribute("aria-label") || element.textContent.trim() || (element.labels && element.labels.length > 0))) seen.unnamed.push(who);
      }
      seen.tabbable = document.querySelectorAll('button, select, input, a[href], [tabindex="0"]').length;
    } catch (e) {
      seen.failed = String(e && e.stack);
    }
    const pre = document.createElement("pre");
    pre.id = "seen";
    pre.textContent = JSON.stringify(seen);
    document.body.append(pre);
  }, 500);
})();
