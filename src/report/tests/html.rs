//! `report.html` in a real Chromium, from `file://`: it draws, answers pointer and keyboard, and asks nobody for anything. Without Chromium the tests
//! fail under CI and say loudly elsewhere that they were skipped.

#[path = "support/browser.rs"]
mod browser;
#[path = "../../../tests/support/skip.rs"]
mod skip;
#[path = "support/story.rs"]
mod support;

use browser::{console, drive, found, open};
use opus_dsd_report::{Column, Story, Subject, write_html};
use serde_json::Value;
use std::path::Path;
use support::{brief, folder, story};

/// What is done to the page, as its user would; it leaves what it saw in `#seen`.
const DRIVER: &str = include_str!("support/driver.js");

/// The page with the driver in it, opened; what the driver saw.
fn driven(browser: &Path, told: &Story, name: &str) -> Value {
    driven_by(browser, told, name, DRIVER)
}

/// The same with another driver.
fn driven_by(browser: &Path, told: &Story, name: &str, driver: &str) -> Value {
    let folder = folder(name);
    let page = folder.join("report.html");
    write_html(told, &page).unwrap();
    let net = folder.join("net.json");
    let seen = drive(browser, &page, driver, &[&format!("--log-net-log={}", net.display())]);
    assert_eq!(requests(&net), Vec::<String>::new());
    seen
}

/// Addresses that the page asked for (the browser's own errands for its updates are not the page's).
fn requests(net: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(net).unwrap();
    let log: Value =
        serde_json::from_str(&text).or_else(|_| serde_json::from_str(&format!("{}]}}", text.trim_end().trim_end_matches(',')))).unwrap();
    let urls = log["events"].as_array().unwrap().iter().filter_map(|e| {
        let of_page = e["params"]["initiator"].as_str().is_some_and(|i| i.starts_with("file:") || i == "null");
        e["params"]["url"].as_str().filter(|_| of_page)
    });
    urls.filter(|u| !u.starts_with("file:") && !u.starts_with("data:")).map(String::from).collect()
}

#[test]
fn it_answers_pointer_and_keyboard() {
    let Some(browser) = found() else { return };
    let told = story(2000, 4, 5);
    let seen = driven(&browser, &told, "html");
    assert_eq!(seen["ready"], "yes");
    assert!(seen["painted"].as_u64().unwrap() > 500, "points are drawn: {seen}");
    assert_eq!(seen["state_cards"], 5);
    assert_ne!(seen["frame_before"], seen["frame_after"], "the arrow key turns a state");
    assert_ne!(seen["all_before"], seen["all_after"], "the slider turns all states");
    assert_ne!(seen["way_before"], seen["way_after"], "the slider changes the volume shown");
    assert_eq!(seen["pair_before"], serde_json::json!(["7", "7"]), "the view of all states is that of the data too");
    assert_eq!(seen["pair_after"], serde_json::json!(["8", "8"]), "network and data turn together");
    assert_eq!(seen["curve_focused"], true, "{seen}");
    assert_eq!(seen["curve_hidden"], serde_json::json!(["false", "hidden"]), "a name switches its curve off");
    assert_eq!(seen["curve_shown"], "visible");
    assert_eq!(seen["resolutions"].as_array().unwrap().len(), 5);
    assert_eq!(seen["resolutions"][1], "2412–9.88.6-85.08.1", "a state whose halves do not agree has no resolution");
    for words in ["spatial frequency (1/Å)", "0.143", "0.5"] {
        assert!(seen["fsc_text"].as_str().unwrap().contains(words), "{words}: {seen}");
    }
    assert_eq!((&seen["occupancy_curves"], &seen["motions"], &seen["variability"]), (&5.into(), &4.into(), &6.into()));
    assert_eq!(seen["nav"], serde_json::json!([]), "every entry leads somewhere");
    assert!(seen["hover"].as_str().unwrap().starts_with("Particle "), "{seen}");
    // Every particle is named with the state that it is in; nothing is named where nothing lies.
    for hovered in seen["hovered"].as_array().unwrap() {
        let (text, apart) = (hovered["text"].as_str().unwrap(), hovered["apart"].as_f64().unwrap());
        let (particle, state) = text.strip_prefix("Particle ").and_then(|t| t.split_once(", state ")).unwrap();
        let (particle, state): (usize, usize) = (particle.parse().unwrap(), state.parse().unwrap());
        assert_eq!(told.clusters.class_number(told.clusters.labels[particle - 1]), state, "{text}");
        assert!(apart < 1.5, "{text} lies {apart} pixels away");
    }
    assert_eq!(seen["hovered"].as_array().unwrap().len(), 60);
    assert_eq!(seen["hover_nowhere"], "");
    assert_eq!(seen["hover_told"], serde_json::json!(["polite", "hover"]), "readers of the screen hear it");
    let by_keyboard: Vec<[String; 2]> = serde_json::from_value(seen["by_keyboard"].clone()).unwrap();
    assert!(by_keyboard.iter().all(|[keys, pointer]| keys == pointer), "{by_keyboard:?}");
    assert!(by_keyboard.iter().any(|[keys, _]| keys.starts_with("Particle ")), "{by_keyboard:?}");
    assert_ne!(seen["legend_before"], seen["legend_after"], "another colour has another legend");
    assert_eq!(seen["colours"], serde_json::json!(["state", "projection class (0 to 47)", "defocus (Å)", "micrograph"]));
    assert!(seen["hover_value"].as_str().unwrap().contains("defocus (Å) "), "the pointer names the figure: {seen}");
    // Of 40 micrographs the legend lists the largest, each a button that shows it alone.
    assert_eq!(seen["groups"], 25, "24 and what is left over");
    assert!(seen["alone"].as_u64().unwrap() > 0 && seen["alone"].as_u64() < seen["together"].as_u64(), "{seen}");
    assert_eq!(seen["again"], seen["together"], "pressed again, all are shown");
    assert_eq!(seen["curves"], 2, "both curves of the number of clusters");
    assert_eq!(seen["bars"], serde_json::json!(["view direction", "defocus", "optics group", "micrograph"]));
    assert_eq!(seen["beyond"], 1, "only the share of the defocus lies beyond its mark");
    assert_eq!(seen["matches"], 5);
    assert_eq!(seen["drift"], "Likeness of the latents to the epoch before");
    assert_eq!(seen["embeddings"], serde_json::json!(["principal components", "UMAP"]));
    assert!(seen["zoomed"].as_f64().unwrap() < 0.9, "{seen}");
    // What the lasso says is what lies inside, by our own count.
    let scores = told.pca.project(told.latents.view());
    for how in ["lasso", "keyboard_lasso"] {
        let polygon: Vec<[f64; 2]> = serde_json::from_value(seen[how]["polygon"].clone()).unwrap();
        let inside = scores.rows().into_iter().filter(|r| contains(&polygon, f64::from(r[0]), f64::from(r[1]))).count();
        let said = seen[how]["particles"].as_u64().unwrap() as usize;
        // Coordinates travel in 16 bits: a particle on the line may fall on either side.
        assert!(said > 20 && said.abs_diff(inside) <= 1, "{how}: {said} said, {inside} counted");
        assert_eq!(seen[how]["embedding"], "pca");
        let drawn_on = serde_json::json!({ "job": "External/job007", "epoch": 12, "particles": told.latents.nrows(), "fingerprint": "0123456789abcdef" });
        assert_eq!(seen[how]["drawn_on"], drawn_on);
    }
    assert_eq!(seen["keyboard_shown"], seen["keyboard_lasso"]["particles"]);
    assert_eq!(seen["lasso_command"], "opus-dsd select --job External/job007 --region selection.json --o External/job007-region/");
    assert_eq!((&seen["panned"], &seen["whole"]), (&true.into(), &true.into()), "arrows move, 0 shows all: {seen}");
    let command = "opus-dsd select --job External/job007 --clusters 3 --o External/job007-state3/";
    assert_eq!(seen["started_at"], "RELION", "a job in External/ is RELION's");
    let places = seen["places"].as_array().unwrap();
    assert!(places.iter().all(|place| place[0] == "true"), "{places:?}");
    assert!(places[1][1].as_str().unwrap().starts_with("RELION: 3D auto-refine: Input images External/job007/cluster003_particles.star"));
    assert_eq!((&places[2][1], &places[3][1]), (&"Scipion: relion - 3D auto-refine.".into(), &"CCP-EM Pipeliner: relion.refine3d.".into()));
    assert_eq!(seen["copied"], serde_json::json!([command, "again"]), "by the clipboard, and where that is refused the old way");
    assert_eq!(seen["copy_said"], serde_json::json!(["Copied", "Copied"]));
    assert_eq!(seen["copy_refused"], "The browser does not allow copying; mark the text instead");
    assert_eq!(seen["focus_returns"], true, "the focus stays where it was");
    for fault in ["unreached", "unseen", "unnamed"] {
        assert_eq!(seen[fault], serde_json::json!([]), "{fault} by the keyboard");
    }
    assert!(seen["tabbable"].as_u64().unwrap() >= 12, "{seen}");
}

fn contains(polygon: &[[f64; 2]], x: f64, y: f64) -> bool {
    let mut inside = false;
    for (i, a) in polygon.iter().enumerate() {
        let b = polygon[(i + polygon.len() - 1) % polygon.len()];
        if (a[1] > y) != (b[1] > y) && x < (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0] {
            inside = !inside;
        }
    }
    inside
}

/// What a short page shows.
const SHORT: &str = r##"
setTimeout(() => {
  const seen = {}, canvas = byName("scatter");
  seen.ready = document.body.dataset.ready;
  seen.verdict = byName("verdict").textContent;
  seen.good = byName("verdict").classList.contains("good");
  seen.parts = [...document.querySelectorAll("main > section")].map((s) => s.id);
  seen.nav = [...document.querySelectorAll("nav a")].map((a) => a.textContent);
  seen.crowd = byName("crowd").textContent;
  seen.legend = [...byName("legend").children].map((e) => e.textContent);
  seen.lasso = byName("lasso").getClientRects().length;
  seen.colours = [...byName("colour").options].map((o) => o.textContent);
  const data = canvas.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, canvas.width, canvas.height).data;
  const grey = [150, 155, 162];
  let beneath = 0;
  for (let i = 0; i < data.length; i += 4) if (grey.every((v, k) => data[i + k] === v)) beneath++;
  seen.beneath = beneath;
  seen.cards = [...document.querySelectorAll("#state-cards article")].map((c) => `${c.querySelector("h3").textContent}: ${c.querySelector("p").textContent}`);
  const slider = document.querySelector("#way-cards input");
  if (slider) {
    const label = () => slider.nextElementSibling.textContent;
    seen.way = [label()];
    slider.value = 3;
    slider.dispatchEvent(new Event("input"));
    seen.way.push(label());
  }
  const e = embedding();
  const box = canvas.getBoundingClientRect(), [px, py] = toPixel(e.xs[0], e.ys[0]);
  canvas.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + (px * box.width) / canvas.width, clientY: box.top + (py * box.height) / canvas.height, pointerId: 1, bubbles: true }));
  seen.hover = byName("hover").textContent;
  const left = Object.assign(document.createElement("pre"), { id: "seen" });
  left.textContent = JSON.stringify(seen);
  document.body.append(left);
  function byName(id) { return document.getElementById(id); }
}, 300);
"##;

#[test]
fn short_pages_show_what_they_have_and_nothing_else() {
    let Some(browser) = found() else { return };
    let texts = |seen: &Value| serde_json::from_value::<Vec<String>>(seen.clone()).unwrap();
    for (subject, name, parts) in [
        (Subject::Maps, "html-maps", vec!["summary", "particles", "states", "ways", "settings"]),
        (Subject::Encoded, "html-encoded", vec!["summary", "particles", "latents", "settings"]),
        (Subject::Latents, "html-latents", vec!["summary", "particles", "latents", "settings"]),
    ] {
        let told = brief(subject);
        let seen = driven_by(&browser, &told, name, SHORT);
        assert_eq!((&seen["ready"], &seen["good"]), (&"yes".into(), &true.into()), "{subject:?}: {seen}");
        assert_eq!(texts(&seen["parts"]), parts, "{subject:?}");
        assert_eq!(seen["verdict"], "12 of 400 particles (3%) lie farther from every cluster.");
        let (nav, legend) = (texts(&seen["nav"]), texts(&seen["legend"]));
        assert!(nav.len() == parts.len() && nav.iter().all(|name| !name.is_empty()), "{nav:?}");
        let hover = seen["hover"].as_str().unwrap();
        match subject {
            Subject::Maps => {
                assert!(nav.contains(&"Maps".to_owned()) && texts(&seen["colours"]) == ["nearest map"], "{seen}");
                assert_eq!(seen["lasso"], 0, "regions are drawn on the trained job's own report");
                let cards = texts(&seen["cards"]);
                assert_eq!(cards.len(), 6);
                let first = format!("Map 1: nearest to {} particles", told.clusters.sizes[0]);
                assert!(cards[0].starts_with(&first) && cards[0].ends_with("vol_000.mrc; decoded at particle 1"), "{cards:?}");
                assert_eq!(texts(&seen["way"]), ["map 1 of 6: vol_000.mrc", "map 4 of 6: vol_003.mrc"]);
                assert!(hover.starts_with("Particle ") && hover.contains(", map "), "{hover}");
            }
            Subject::Encoded => {
                assert_eq!(seen["lasso"], 0);
                assert!(seen["beneath"].as_u64().unwrap() > 1000, "the trained ones lie beneath: {seen}");
                assert_eq!(legend.last().unwrap(), "grey: 400 particles that the model was trained on");
                assert!(hover.contains(", state "), "{hover}");
            }
            Subject::Latents => {
                assert_eq!(seen["lasso"], 1, "a region can be chosen before there are clusters");
                assert_eq!(legend, ["not divided yet \u{b7} 400"]);
                assert!(hover.ends_with(", not divided yet"), "{hover}");
            }
            Subject::States => unreachable!(),
        }
    }
}

/// Strokes of all curves, and what they are drawn on.
const STROKES: &str = r##"
setTimeout(() => {
  const style = getComputedStyle(document.documentElement);
  const marks = [...document.querySelectorAll("polyline")].map((p) => getComputedStyle(p).stroke);
  const swatches = [...document.querySelectorAll("figcaption i, button.curve i, .card h3 i, #legend i")].map((i) => getComputedStyle(i).backgroundColor);
  const left = Object.assign(document.createElement("pre"), { id: "seen" });
  left.textContent = JSON.stringify({ marks: [...marks, ...swatches], behind: ["--paper", "--panel"].map((n) => style.getPropertyValue(n).trim()) });
  document.body.append(left);
}, 300);
"##;

#[test]
fn curves_are_seen_on_light_and_on_dark() {
    let Some(browser) = found() else { return };
    let folder = folder("html-contrast");
    let page = folder.join("report.html");
    write_html(&story(600, 4, 12), &page).unwrap();
    for (scheme, dark) in [("1", false), ("0", true)] {
        let seen = drive(&browser, &page, STROKES, &[&format!("--blink-settings=preferredColorScheme={scheme}")]);
        let behind: Vec<String> = serde_json::from_value(seen["behind"].clone()).unwrap();
        assert_eq!(behind[0] != "#ffffff", dark, "{behind:?}");
        let marks: Vec<String> = serde_json::from_value(seen["marks"].clone()).unwrap();
        assert!(marks.len() > 50, "{}", marks.len());
        for mark in &marks {
            for paper in &behind {
                let (a, b) = (luminance(mark), luminance(paper));
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(contrast >= 3.0, "{mark} on {paper}: {contrast:.2}");
            }
        }
    }
}

/// Relative luminance (WCAG 2.1) of `rgb(…)` or `#…`.
fn luminance(colour: &str) -> f64 {
    let channels: Vec<f64> = match colour.strip_prefix('#') {
        Some(hex) => (0..3).map(|i| f64::from(u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())).collect(),
        None => colour.trim_start_matches("rgb(").trim_end_matches(')').split(", ").map(|v| v.parse().unwrap()).collect(),
    };
    let linear = |v: f64| if v / 255.0 <= 0.04045 { v / 255.0 / 12.92 } else { ((v / 255.0 + 0.055) / 1.055).powf(2.4) };
    channels.iter().zip([0.2126, 0.7152, 0.0722]).map(|(v, weight)| weight * linear(*v)).sum()
}

#[test]
fn a_million_particles_fit_and_open_fast() {
    let Some(browser) = found() else { return };
    let told = million();
    let folder = folder("html-million");
    let page = folder.join("report.html");
    write_html(&told, &page).unwrap();
    let megabytes = std::fs::metadata(&page).unwrap().len() as f64 / 1e6;
    assert!(megabytes < 25.0, "{megabytes} MB");
    // The best of a few: a busy machine must not fail the test.
    let taken = (0..3).map(|_| drawn_after(&browser, &page)).min_by(f64::total_cmp).unwrap();
    println!("report of 1,000,000 particles: {megabytes:.1} MB, drawn {taken:.0} ms after it began to load");
    assert!(taken < 5000.0, "{taken} ms");
}

/// Milliseconds from the page's begin to its being drawn.
fn drawn_after(browser: &Path, page: &Path) -> f64 {
    let done = open(browser, page, &["--virtual-time-budget=1000", "--dump-dom"]);
    let dom = String::from_utf8_lossy(&done.stdout);
    assert!(dom.contains("data-ready=\"yes\""), "drawn");
    assert!(dom.contains("has no room for the colours tilt angle. An analysis with <code>--colour-by</code>"), "what is left out is said");
    assert_eq!(console(&done), Vec::<String>::new());
    dom.split("data-milliseconds=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
}

/// A small story told of many particles.
fn million() -> Story {
    const MANY: usize = 1_000_000;
    let small = story(1000, 2, 4);
    let rows: Vec<usize> = (0..MANY).map(|i| i % 1000).collect();
    let mut told = small.clone();
    told.latents = small.latents.select(ndarray::Axis(0), &rows);
    told.clusters.labels = rows.iter().map(|&r| small.clusters.labels[r]).collect();
    told.view_classes = rows.iter().map(|&r| small.view_classes[r]).collect();
    told.embeddings[0].points = small.embeddings[0].points.select(ndarray::Axis(0), &rows);
    told.groupings[0].of = rows.iter().map(|&r| small.groupings[0].of[r]).collect();
    told.columns[0].values = rows.iter().map(|&r| small.columns[0].values[r]).collect();
    told.columns.push(Column { name: "tilt angle".into(), ..told.columns[0].clone() });
    told
}

#[test]
fn text_is_never_markup() {
    let mut told = story(200, 2, 2);
    told.title = "External/<b>job</b>".into();
    told.warnings = vec!["</script><script>alert(1)</script>".into()];
    let folder = folder("html-text");
    let page = folder.join("report.html");
    write_html(&told, &page).unwrap();
    let text = std::fs::read_to_string(&page).unwrap();
    assert_eq!(text.matches("</script>").count(), 2, "only our own scripts end");
    assert!(!text.contains("<title>External/<b>"));
    assert!(!text.contains("http://") || text.matches("http://").count() == text.matches("http://www.w3.org/2000/svg").count());
    assert!(!text.contains("https://"));
}

#[test]
fn pictures_of_the_page_for_people() {
    let Some(browser) = found() else { return };
    let folder = folder("html-pictures");
    let page = folder.join("report.html");
    write_html(&story(3000, 6, 6), &page).unwrap();
    for (name, more) in [("light.png", &[][..]), ("dark.png", &["--blink-settings=preferredColorScheme=0"][..])] {
        let picture = folder.join(name);
        let mut arguments =
            vec!["--virtual-time-budget=3000".to_owned(), format!("--screenshot={}", picture.display()), "--window-size=1280,2400".into()];
        arguments.extend(more.iter().map(ToString::to_string));
        open(&browser, &page, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(std::fs::metadata(&picture).unwrap().len() > 50_000, "{name}");
    }
}
