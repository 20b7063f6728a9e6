//! `RELION_OUTPUT_NODES.star`: which files of the job the host offers to the next one.

use super::job_star::HostVersion;
use crate::job::atomic;
use contract::Result;
use starfile::{StarFile, quoted};
use std::fmt::Write as _;
use std::path::Path;

/// The file's name in the job folder.
const FILE: &str = "RELION_OUTPUT_NODES.star";

/// What a node holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Particles,
    Map,
    HalfMap,
    Log,
}

impl Content {
    /// RELION 3's number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Particles => 3,
            Self::Map => 6,
            Self::HalfMap => 10,
            Self::Log => 13,
        }
    }

    /// Label in RELION 4 or 5.
    pub(crate) fn label(self, host: HostVersion) -> &'static str {
        match (self, host) {
            (Self::Particles, HostVersion::Four) => "ParticlesData.star.relion",
            (Self::Particles, _) => "ParticleGroupMetadata.star.relion",
            (Self::Map, _) => "DensityMap.mrc",
            (Self::HalfMap, _) => "DensityMap.mrc.halfmap",
            (Self::Log, _) => "LogFile.pdf.relion",
        }
    }
}

/// A file at the top of the job folder. Its name holds no blank and no `None` (the host rewrites such names).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) file: String,
    pub(crate) content: Content,
}

/// Writes the node file; `folder_name` is the folder as `--o` gives it, with its closing slash. Only files that exist are listed.
pub(crate) fn write(folder: &Path, folder_name: &str, nodes: &[Node], host: HostVersion) -> Result<()> {
    let there: Vec<&Node> = nodes.iter().filter(|n| folder.join(&n.file).exists()).collect();
    atomic::write(&folder.join(FILE), text(folder_name, &there, host).as_bytes())
}

/// Files that a job has registered and that are there, by their names in the folder; none where nothing is registered.
pub(crate) fn read(folder: &Path) -> Vec<String> {
    let Ok(star) = StarFile::read(&folder.join(FILE)) else { return Vec::new() };
    let Some(names) = star.find("output_nodes").and_then(|b| b.find("rlnPipeLineNodeName")) else { return Vec::new() };
    let all = names.texts().filter_map(|name| name.rsplit('/').next().map(String::from));
    all.filter(|name| folder.join(name).exists()).collect()
}

fn text(folder_name: &str, nodes: &[&Node], host: HostVersion) -> String {
    let version = if host == HostVersion::Three || host == HostVersion::Four { 30001 } else { 50001 };
    let (with_label, with_number) = match host {
        HostVersion::Three => (false, true),
        HostVersion::Four | HostVersion::Five | HostVersion::Newer | HostVersion::Pipeliner => (true, false),
        HostVersion::Unknown => (true, true),
    };
    let mut out = format!("\n# version {version}\n\ndata_output_nodes\n\nloop_ \n_rlnPipeLineNodeName #1 \n");
    let mut column = 2;
    for (wanted, label) in [(with_label, "_rlnPipeLineNodeTypeLabel"), (with_number, "_rlnPipeLineNodeType")] {
        if wanted {
            let _ = writeln!(out, "{label} #{column} ");
            column += 1;
        }
    }
    for node in nodes {
        let _ = write!(out, "{}", quoted(&format!("{folder_name}{}", node.file)));
        if with_label {
            let _ = write!(out, " {}", node.content.label(host));
        }
        if with_number {
            let _ = write!(out, " {}", node.content.number());
        }
        out.push_str(" \n");
    }
    out.push_str(" \n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(host: HostVersion) -> String {
        let nodes = [
            Node { file: "particles.star".into(), content: Content::Particles },
            Node { file: "cluster001.mrc".into(), content: Content::Map },
            Node { file: "logfile.pdf".into(), content: Content::Log },
        ];
        text("External/job002/", &nodes.iter().collect::<Vec<_>>(), host)
    }

    #[test]
    fn names_with_blanks_are_one_cell() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("particles.star"), "").unwrap();
        let nodes = [Node { file: "particles.star".into(), content: Content::Particles }];
        write(folder.path(), "my runs/job 002/", &nodes, HostVersion::Unknown).unwrap();
        assert_eq!(read(folder.path()), ["particles.star"]);
    }

    #[test]
    fn each_host_gets_its_own_words() {
        assert!(
            table(HostVersion::Three)
                .contains("_rlnPipeLineNodeType #2 \nExternal/job002/particles.star 3 \nExternal/job002/cluster001.mrc 6 \n")
        );
        assert!(table(HostVersion::Four).contains("particles.star ParticlesData.star.relion \n"));
        assert!(table(HostVersion::Five).contains("particles.star ParticleGroupMetadata.star.relion \n"));
        assert!(table(HostVersion::Unknown).contains("logfile.pdf LogFile.pdf.relion 13 \n"));
        assert_eq!(table(HostVersion::Newer), table(HostVersion::Five));
    }

    #[test]
    fn only_files_that_exist_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.mrc"), b"").unwrap();
        let nodes = ["a.mrc", "b.mrc"].map(|f| Node { file: f.into(), content: Content::Map });
        write(folder.path(), "External/job001/", &nodes, HostVersion::Five).unwrap();
        let written = std::fs::read_to_string(folder.path().join("RELION_OUTPUT_NODES.star")).unwrap();
        assert!(written.contains("job001/a.mrc") && !written.contains("b.mrc"));
        assert_eq!(read(folder.path()), ["a.mrc"]);
    }
}
