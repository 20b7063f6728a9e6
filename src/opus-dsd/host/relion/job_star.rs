//! `job.star`: what the host was told to run. Read for the host's version, the continue flag, and to run a job from this file alone.

use contract::{Problem, Result};
use cryoem::particles::star_problem;
use starfile::StarFile;
use std::path::Path;

/// Number of RELION 3's External job type.
const EXTERNAL_NUMBER: &str = "99";
/// First part of RELION 4's and 5's label of the same.
const EXTERNAL_LABEL: &str = "relion.external";
/// In the comment at the head of what the CCP-EM Pipeliner writes.
const PIPELINER_COMMENT: &str = "CCP-EM Pipeliner";
/// `# version` of RELION 3.1 and 4.0, and of 5.
const VERSION_FOUR: u32 = 30001;
const VERSION_FIVE: u32 = 50001;
/// Versions from here on belong to a RELION that this program does not know.
const VERSION_UNKNOWN: u32 = 60000;

/// Which RELION runs this job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostVersion {
    Three,
    Four,
    Five,
    /// A RELION that came after this program.
    Newer,
    /// The CCP-EM Pipeliner, which keeps RELION 5's conventions.
    Pipeliner,
    /// Started by hand.
    Unknown,
}

impl HostVersion {
    /// For people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Three => "RELION 3",
            Self::Four => "RELION 4",
            Self::Five => "RELION 5",
            Self::Newer => "a RELION newer than this program",
            Self::Pipeliner => "the CCP-EM Pipeliner",
            Self::Unknown => "none (started by hand)",
        }
    }
}

/// What `job.star` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobStar {
    pub(crate) version: HostVersion,
    pub(crate) continued: bool,
    /// Job options, in file order.
    pub(crate) options: Vec<(String, String)>,
    /// Whether it is an External job at all.
    external: bool,
}

/// The host of the job in a folder; no `job.star` means none.
///
/// # Errors
/// A `job.star` that cannot be understood.
pub(crate) fn of_folder(folder: &Path) -> Result<Option<JobStar>> {
    let path = folder.join("job.star");
    if path.exists() { read(&path).map(Some) } else { Ok(None) }
}

/// Reads a `job.star`.
///
/// # Errors
/// It cannot be read or understood.
pub(crate) fn read(path: &Path) -> Result<JobStar> {
    let wrong = |e: starfile::Error| star_problem(&e).hint("let RELION write the job again");
    let star = StarFile::read(path).map_err(|e| match e.kind {
        starfile::ErrorKind::Io(_) => {
            star_problem(&e).hint("name the job.star of an External job: `opus-dsd run External/job007/job.star`")
        }
        _ => wrong(e),
    })?;
    let head = star.block("job").map_err(wrong)?;
    let mut options = Vec::new();
    if let Some(values) = star.find("joboptions_values") {
        let (names, texts) = (values.column("rlnJobOptionVariable").map_err(wrong)?, values.column("rlnJobOptionValue").map_err(wrong)?);
        options.extend((0..values.rows()).map(|row| (names.text(row).to_owned(), texts.text(row).to_owned())));
    }
    let label = head.find("rlnJobTypeLabel").map(|c| c.text(0).to_owned());
    let number = head.find("rlnJobType").map(|c| c.text(0).to_owned());
    let version = match (&label, head.version()) {
        _ if is_of_pipeliner(star.text()) => HostVersion::Pipeliner,
        (None, _) => HostVersion::Three,
        (Some(_), Some(v)) if v >= VERSION_UNKNOWN => HostVersion::Newer,
        (Some(_), Some(v)) if v >= VERSION_FIVE => HostVersion::Five,
        (Some(_), Some(v)) if v >= VERSION_FOUR => HostVersion::Four,
        (Some(_), _) => HostVersion::Newer,
    };
    let external = label.is_some_and(|l| l.starts_with(EXTERNAL_LABEL)) || number.is_some_and(|n| n == EXTERNAL_NUMBER);
    let continued = head.find("rlnJobIsContinue").is_some_and(|c| c.text(0) == "1");
    Ok(JobStar { version, continued, options, external })
}

impl JobStar {
    /// Threads that the host gives, where it is an External job.
    pub(crate) fn threads(&self) -> Option<usize> {
        let (_, value) = self.options.iter().find(|(name, _)| self.external && name == "nr_threads")?;
        value.parse().ok()
    }

    /// The field of the executable, word by word: a program and, at times, a verb.
    pub(crate) fn words_of_executable(&self) -> Vec<String> {
        self.options.iter().find(|(name, _)| name == "fn_exe").map(|(_, value)| split_words(value)).unwrap_or_default()
    }

    /// The options with which RELION would call an External job's executable, `--o` left out.
    ///
    /// # Errors
    /// It is not an External job.
    pub(crate) fn arguments(&self, path: &Path) -> Result<Vec<String>> {
        if !self.external {
            return Err(Problem::input("not an External job").at(path.display().to_string()).hint("give the job.star of an External job"));
        }
        let value = |name: &str| self.options.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty());
        let mut arguments = Vec::new();
        for (option, flag) in [
            ("in_mov", "--in_movies"),
            ("in_mic", "--in_mics"),
            ("in_part", "--in_parts"),
            ("in_coords", "--in_coords"),
            ("in_3dref", "--in_3dref"),
            ("in_mask", "--in_mask"),
        ] {
            if let Some(v) = value(option) {
                arguments.extend([flag.to_owned(), v.to_owned()]);
            }
        }
        for i in 1..=10 {
            if let Some(label) = value(&format!("param{i}_label")) {
                arguments.push(format!("--{}", label.trim_start_matches('-')));
                arguments.extend(value(&format!("param{i}_value")).map(String::from));
            }
        }
        arguments.extend(["--j".to_owned(), value("nr_threads").unwrap_or("1").to_owned()]);
        arguments.extend(split_words(value("other_args").unwrap_or_default()));
        Ok(arguments)
    }
}

/// The CCP-EM Pipeliner names itself in a comment.
fn is_of_pipeliner(text: &str) -> bool {
    text.lines().any(|line| line.starts_with('#') && line.contains(PIPELINER_COMMENT))
}

/// Splits as a shell does, for what quotes can do; nothing is expanded.
fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &str = "\ndata_joboptions_values\n\nloop_ \n_rlnJobOptionVariable #1 \n_rlnJobOptionValue #2 \nfn_exe /opt/bin/opus-dsd \nin_3dref \"\" \n\
        in_mask mask.mrc \nin_part Refine3D/job001/run_data.star \nnr_threads 2 \nother_args \"--gpu 0 --datadir 'a b'\" \nparam1_label zdim \nparam1_value 8 \n\
        param2_label plot \nparam2_value \"\" \n \n";

    fn written(head: &str) -> JobStar {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("job.star"), format!("{head}{OPTIONS}")).unwrap();
        of_folder(folder.path()).unwrap().unwrap()
    }

    #[test]
    fn versions_are_told_apart() {
        let label = "data_job\n\n_rlnJobTypeLabel relion.external\n_rlnJobIsContinue 1\n\n";
        assert_eq!(written("\n# version 30001\n\ndata_job\n\n_rlnJobType 99\n_rlnJobIsContinue 0\n\n").version, HostVersion::Three);
        assert_eq!(written(&format!("\n# version 30001\n\n{label}")).version, HostVersion::Four);
        assert_eq!(written(&format!("\n# version 50001\n\n{label}")).version, HostVersion::Five);
        assert_eq!(written(&format!("\n# version 60001\n\n{label}")).version, HostVersion::Newer);
        assert_eq!(written(&format!("\n# CCP-EM Pipeliner version 1.6.1\n\n{label}")).version, HostVersion::Pipeliner);
        assert!(written(&format!("\n# version 50001\n\n{label}")).continued);
    }

    #[test]
    fn arguments_are_those_that_relion_gives() {
        let star = written("\n# version 50001\n\ndata_job\n\n_rlnJobTypeLabel relion.external\n_rlnJobIsContinue 0\n\n");
        assert_eq!(
            star.arguments(Path::new("job.star")).unwrap().join("|"),
            "--in_parts|Refine3D/job001/run_data.star|--in_mask|mask.mrc|--zdim|8|--plot|--j|2|--gpu|0|--datadir|a b"
        );
    }

    #[test]
    fn threads_are_those_of_the_form() {
        let star = written("\n# version 50001\n\ndata_job\n\n_rlnJobTypeLabel relion.external\n_rlnJobIsContinue 0\n\n");
        assert_eq!(star.threads(), Some(2));
    }

    #[test]
    fn another_type_of_job_is_refused() {
        let star = written("\n# version 50001\n\ndata_job\n\n_rlnJobTypeLabel relion.refine3d\n_rlnJobIsContinue 0\n\n");
        assert!(star.arguments(Path::new("job.star")).is_err());
    }
}
