//! RELION driven without a window.

#![allow(dead_code, reason = "each test program uses a part")]

use crate::job::Project;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A RELION project with a simulated set in `sim/`.
pub(crate) struct Relion {
    project: Project,
}

impl Relion {
    /// A new project; `None` where RELION is not installed and this is not CI.
    pub(crate) fn project() -> Option<Self> {
        if Command::new("relion_pipeliner").arg("--help").output().is_err() {
            crate::skip::skipped_outside_ci("RELION (relion_pipeliner) is not installed");
            return None;
        }
        crate::job::engine();
        let project = Project::new();
        let empty = "\n# version 30001\n\ndata_pipeline_general\n\n_rlnPipeLineJobCounter                       1\n \n";
        std::fs::write(project.path("default_pipeline.star"), empty).unwrap();
        // RELION takes image names from the project's folder on.
        let star = std::fs::read_to_string(project.path("sim/particles.star")).unwrap();
        std::fs::write(project.path("particles.star"), star.replace("@particles.mrcs", "@sim/particles.mrcs")).unwrap();
        Some(Self { project })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.project.path(name)
    }

    /// A file's text; empty where there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.path(".")).env("OMP_NUM_THREADS", "1");
        command
    }

    /// Runs a RELION program that must succeed.
    pub(crate) fn tool(&self, program: &str, arguments: &[&str]) -> String {
        let done = self.command(program, arguments).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{program} {arguments:?}: {text}");
        text
    }

    /// Runs this program in the project's folder, which must succeed; what it says.
    pub(crate) fn front(&self, arguments: &[&str]) -> String {
        self.tool(crate::job::program(), arguments)
    }

    /// Runs this program in the project's folder, which must refuse; what it says.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let done = self.command(crate::job::program(), arguments).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {text}");
        text
    }

    /// The same project in another folder.
    pub(crate) fn moved(self) -> Self {
        Self { project: self.project.moved() }
    }

    /// Adds a job of a type; its folder, with the closing slash.
    pub(crate) fn add(&self, kind: &str, options: &str) -> String {
        self.tool("relion_pipeliner", &["--addJob", kind, "--addJobOptions", options]);
        let counter = value_after(&self.text("default_pipeline.star"), "_rlnPipeLineJobCounter");
        format!("{kind}/job{:03}/", counter.parse::<usize>().unwrap() - 1)
    }

    /// Brings the particles in.
    pub(crate) fn import(&self) {
        let job = self.add("Import", "do_raw == No;do_other == Yes;fn_in_other == particles.star;node_type == Particles STAR file (.star)");
        self.run(&job);
        assert_eq!(self.status(&job), "2", "{}", self.text(&format!("{job}run.err")));
    }

    /// An External job of ours.
    pub(crate) fn external(&self, particles: &str, parameters: &[(&str, &str)], more: &str) -> String {
        self.external_of(crate::job::program(), particles, parameters, more)
    }

    pub(crate) fn external_of(&self, program: &str, particles: &str, parameters: &[(&str, &str)], more: &str) -> String {
        let mut options = format!("fn_exe == {program};in_part == {particles};in_mask == sim/mask.mrc;nr_threads == 1");
        for (i, (label, value)) in parameters.iter().enumerate() {
            options.push_str(&format!(";param{}_label == {label}", i + 1));
            if !value.is_empty() {
                options.push_str(&format!(";param{}_value == {value}", i + 1));
            }
        }
        if !more.is_empty() {
            options.push_str(&format!(";{more}"));
        }
        self.add("External", &options)
    }

    /// Runs a job to its end.
    pub(crate) fn run(&self, job: &str) {
        self.tool("relion_pipeliner", &["--RunJobs", job, "--sec_wait_after", "1"]);
        self.check();
    }

    /// Starts a job and returns while it runs.
    pub(crate) fn start(&self, job: &str) -> Child {
        self.command("relion_pipeliner", &["--RunJobs", job, "--sec_wait_after", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Lets RELION look which jobs are done.
    pub(crate) fn check(&self) {
        self.tool("relion_pipeliner", &["--check_job_completion"]);
    }

    /// A job's status: 2 succeeded, 3 failed, 4 aborted.
    pub(crate) fn status(&self, job: &str) -> String {
        self.row(job).map(|cells| cells[3].clone()).unwrap_or_default()
    }

    pub(crate) fn has_node(&self, name: &str) -> bool {
        self.row(name).is_some()
    }

    /// A node's type.
    pub(crate) fn node_type(&self, name: &str) -> String {
        self.row(name).map(|cells| cells[1].clone()).unwrap_or_default()
    }

    /// The first row of the pipeline's tables that begins with a word.
    pub(crate) fn row(&self, first: &str) -> Option<Vec<String>> {
        let text = self.text("default_pipeline.star");
        text.lines()
            .map(|l| l.split_whitespace().map(String::from).collect::<Vec<_>>())
            .find(|cells| cells.first().is_some_and(|c| c == first))
    }
}

/// What follows a label of a STAR file's pairs.
pub(crate) fn value_after(text: &str, label: &str) -> String {
    text.lines().find_map(|l| l.trim().strip_prefix(label)).unwrap_or_default().trim().to_owned()
}
