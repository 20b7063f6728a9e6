//! The files that a job hands on, by verb.

use crate::host::relion::job_star::HostVersion;
use crate::host::relion::nodes::Content;
use crate::job::courses::{checking, selecting};
use crate::job::results::RESULTS;
use crate::job::stages::{cluster, embed, publish, report};
use serde_json::{Value, json};

/// An output as hosts see it: its id, its place in the job folder (`*` stands for a number), what it is.
struct Output {
    id: &'static str,
    path: String,
    kind: &'static str,
    label: &'static str,
    node: Option<Content>,
    /// CCP-EM Pipeliner's node type and keywords.
    ccpem: Option<(&'static str, &'static [&'static str])>,
}

const PARTICLES: Option<(&str, &[&str])> = Some(("ParticleGroupMetadata", &["relion", "opusdsd"]));
const MAP: Option<(&str, &[&str])> = Some(("DensityMap", &["opusdsd"]));

fn output(id: &'static str, path: impl Into<String>, kind: &'static str, label: &'static str) -> Output {
    Output { id, path: path.into(), kind, label, node: None, ccpem: None }
}

/// What a verb hands on.
pub(super) fn of(verb: &str) -> Value {
    let all = match verb {
        "decode" => vec![
            Output { node: Some(Content::Map), ccpem: MAP, ..output("volumes", "vol_*.mrc", "volume", "Volumes") },
            Output { node: Some(Content::Map), ccpem: MAP, ..output("component", "pc*/vol_*.mrc", "volume", "Volumes along a component") },
            Output {
                node: Some(Content::Map),
                ccpem: MAP,
                ..output("way", "path/vol_*.mrc", "volume", "Volumes along a way between states")
            },
            report(),
            page(),
            output("results", RESULTS, "results", "Results for machines"),
        ],
        "select" => vec![
            Output {
                node: Some(Content::Particles),
                ccpem: PARTICLES,
                ..output("outputParticles", selecting::PARTICLES, "particles", "Chosen particles")
            },
            Output {
                node: Some(Content::Particles),
                ccpem: PARTICLES,
                ..output("rest", "*.star", "particles", "All others, under the name that was asked for")
            },
            output("latents", selecting::LATENTS, "latents", "Latents, row i = particle i"),
            output("results", RESULTS, "results", "Results for machines"),
        ],
        "check" => vec![
            output("numbers", checking::NUMBERS, "results", "What was found, for machines"),
            output("results", RESULTS, "results", "Results for machines"),
        ],
        "import" => vec![
            Output {
                node: Some(Content::Particles),
                ccpem: PARTICLES,
                ..output("outputParticles", cluster::PARTICLES, "particles", "The particles that it was trained on")
            },
            output("latents", cluster::LATENTS, "latents", "Latents, row i = particle i"),
            output("model", "checkpoint/epoch-*", "model", "Weights"),
            report(),
            page(),
            output("results", RESULTS, "results", "Results for machines"),
        ],
        verb => {
            let particles = |id, path: String, label| Output {
                node: Some(Content::Particles),
                ccpem: PARTICLES,
                ..output(id, path, "particles", label)
            };
            let mut all = vec![
                particles("outputParticles", cluster::PARTICLES.into(), "All particles, with their cluster as class"),
                particles("selected", cluster::SELECTED.into(), "Particles of clusters that are not small"),
                particles("largest", cluster::LARGEST.into(), "Particles of the largest cluster"),
                particles("clusters", "cluster*_particles.star".into(), "Particles of a cluster"),
                output("latents", cluster::LATENTS, "latents", "Latents, row i = particle i"),
                Output {
                    ccpem: Some(("ProcessData", &["opusdsd", "latents"])),
                    ..output("latentTable", cluster::LATENTS_STAR, "table", "Latents as a table")
                },
                output("summary", publish::SUMMARY, "table", "Figures for Schemes"),
                output("results", RESULTS, "results", "Results for machines"),
            ];
            if verb != "encode" {
                all.extend(drawn());
            }
            all.extend([report(), page()]);
            if verb == "train" {
                all.push(Output { node: Some(Content::Map), ..output("preview", "preview.mrc", "volume", "Mean volume while it trains") });
                all.push(output("model", "checkpoint/epoch-*", "model", "Weights"));
            }
            if verb == "analyse" {
                all.push(Output { ccpem: MAP, ..output("series", "pc*/vol_*.mrc", "volume", "Volumes along a component") });
                all.push(Output { ccpem: MAP, ..output("ways", "path*/vol_*.mrc", "volume", "Volumes along a way between states") });
                all.push(Output {
                    node: Some(Content::HalfMap),
                    ccpem: Some(("DensityMap", &["opusdsd", "halfmap"])),
                    ..output("halfMaps", "halves/cluster*_half1_unfil.mrc", "volume", "First half map of a cluster")
                });
                let halves = output("sharpened", "halves/cluster*_map.mrc", "volume", "Sharpened map of a cluster from its particles");
                all.push(Output { node: Some(Content::Map), ccpem: MAP, ..halves });
                all.push(Output {
                    ccpem: MAP,
                    ..output("differences", "differences/cluster*.mrc", "volume", "A cluster's map less the consensus")
                });
                all.push(Output {
                    ccpem: MAP,
                    ..output("variability", "variability/deviation.mrc", "volume", "Standard deviation of every voxel")
                });
            }
            all
        }
    };
    all.into_iter().map(render).collect()
}

/// States, and what shows them.
fn drawn() -> [Output; 2] {
    [
        Output { node: Some(Content::Map), ccpem: MAP, ..output("volumes", "cluster*.mrc", "volume", "Map of a cluster") },
        output("umap", embed::UMAP, "latents", "UMAP of the latents, row i = particle i"),
    ]
}

/// The report on paper.
fn report() -> Output {
    Output { node: Some(Content::Log), ccpem: Some(("LogFile", &["opusdsd"])), ..output("report", report::LOGFILE, "log", "Report") }
}

/// The report in a browser.
fn page() -> Output {
    output("html", report::REPORT, "report", "Report to look and choose in")
}

fn render(output: Output) -> Value {
    let Output { id, path, kind, label, node, ccpem } = output;
    let mut value = json!({ "id": id, "path": path, "kind": kind, "label": label });
    if let Some(node) = node {
        value["relion"] = json!({
            "label5": node.label(HostVersion::Five),
            "label4": node.label(HostVersion::Four),
            "number3": node.number(),
        });
    }
    if let Some((kind, keywords)) = ccpem {
        value["ccpem"] = json!({ "type": kind, "keywords": keywords });
    }
    value
}
