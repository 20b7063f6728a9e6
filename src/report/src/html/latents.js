// What the latents say: how many clusters, what they encode besides structure, and another job beside this one.

function showLatents() {
  const { clustering, nuisances } = DATA;
  if (!clustering && nuisances.length === 0) return leave("latents");
  const charts = [];
  if (clustering) {
    const how = clustering.method === "mixture" ? "A mixture of Gaussians" : "k-means";
    const certain = clustering.mean_certainty === null ? "" : ` A particle's cluster is certain to ${(100 * clustering.mean_certainty).toFixed(0)}% on average.`;
    byId("clustering").textContent = `${how}: ${clustering.reason}.${certain}`;
    const curve = (read) => clustering.curve.map((p) => [p.k, read(p)]);
    if (clustering.curve.length > 1)
      charts.push(chart("What speaks for each number of clusters", "clusters", "0 to 1", [["silhouette", curve((p) => p.silhouette)], ["variance inside", curve((p) => p.within)]],
        { fromZero: true, mark: clustering.clusters <= clustering.curve.length ? clustering.clusters : null }));
  }
  if (nuisances.length > 0) charts.push(nuisanceBars(nuisances));
  byId("latent-charts").append(...charts.filter((c) => c));
}

function nuisanceBars(nuisances) {
  const track = (value, limit, label, what) => {
    const bar = make("div", { class: "track", role: "img", "aria-label": `${what} ${label}, a warning comes above ${limit}` },
      make("i", { style: `width:${100 * Math.min(Math.max(value, 0), 1)}%` }), make("u", { style: `left:${100 * limit}%` }), make("span", {}, label));
    bar.classList.toggle("beyond", value > limit);
    return bar;
  };
  const rows = nuisances.flatMap((n) => [make("span", {}, n.name),
    track(n.told, n.told_limit, n.told.toFixed(2), `${n.name}, told:`), track(n.share, n.share_limit, `${(100 * n.share).toFixed(0)}%`, `${n.name}, share of the variance:`)]);
  return make("figure", { id: "nuisances" }, make("figcaption", {}, "What they should not know"),
    make("p", { class: "about" }, "Structure does not depend on how a particle was taken. Beyond the mark there is a warning: clusters may then be of this rather than of structure."),
    make("div", { class: "bars" }, make("b", {}, ""), make("b", {}, "told by the latents (0 to 1)"), make("b", {}, "share of their variance"), ...rows));
}

function showComparison() {
  const c = DATA.comparison;
  if (!c) return leave("comparison");
  const percent = (v) => `${(100 * v).toFixed(0)}%`;
  const signed = (v) => v.toFixed(3).replace("-", "\u2212");
  byId("comparison-text").append(withCode(`Against ${c.job}, epoch ${c.epoch} (${grouped(c.particles)} particles that both have): ${c.conclusion}.`));
  const figures = [
    ["Alignment of the latents (1: a turned copy)", c.alignment.toFixed(2)],
    ["Common neighbours", `${percent(c.neighbours)} (by chance ${(100 * c.neighbours_by_chance).toFixed(1)}%)`],
    ["Particles in matched states", percent(c.kept)],
    ["Adjusted Rand index of the clusters", c.rand_index.toFixed(2)],
    ["Adjusted mutual information", c.mutual_information.toFixed(2)],
  ];
  byId("comparison-figures").tBodies[0].append(...figures.map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value))));
  const heads = ["state here", "state there", "particles in both", "share of either", "correlation of maps", "correlation of differences"];
  byId("matches").tHead.append(make("tr", {}, ...heads.map((h) => make("th", { scope: "col" }, h))));
  const cells = (m) => [m.here, m.there, grouped(m.shared), percent(m.overlap), signed(m.map_correlation), m.difference_correlation === null ? "\u2013" : signed(m.difference_correlation)];
  byId("matches").tBodies[0].append(...c.matches.map((m) => make("tr", {}, ...cells(m).map((v) => make("td", {}, v)))));
}
