// The page, part by part.

byId("version").textContent = DATA.version;
byId("title").textContent = DATA.title;
byId("subtitle").textContent = DATA.subtitle;
byId("verdict").append(withCode(DATA.verdict.text));
byId("verdict").classList.toggle("good", DATA.verdict.good);
byId("warnings").append(...DATA.warnings.map((text) => make("p", {}, withCode("Take care: " + text))));
byId("crowd").textContent = DATA.words.crowd;
byId("states").querySelector("h2").textContent = DATA.words.maps;
document.querySelector('nav a[href="#states"]').textContent = DATA.words.maps;
byId("surfaces").textContent = DATA.words.surfaces;
byId("caution").textContent = DATA.words.caution;
showNext();
for (const [name, value] of DATA.facts)
  byId("facts").tBodies[0].append(make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value)));
if (DATA.panels.length === 0) leave("images");
else byId("panels").append(...DATA.panels.map((p) => make("div", { class: "panel" }, make("h3", {}, `Particle ${p.particle}`),
  ...p.pictures.map((q) => make("figure", {}, make("img", { src: q.picture, alt: `${q.name} of particle ${p.particle}` }), q.name)))));
showStates();
showEvidence();
showDifferences();
showWays();
showCharts();
showLatents();
showComparison();
showScatter();
document.body.dataset.ready = "yes";
document.body.dataset.milliseconds = Math.round(performance.now());
