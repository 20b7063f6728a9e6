//! What all stages share: the job, where lines and events go, the ledger.

use crate::host::relion::job_star::HostVersion;
use crate::job::console::Console;
use crate::job::events::{EventLog, OwnEvent};
use crate::job::order::Job;
use crate::job::progress::duration;
use crate::job::results::ResultsFile;
use crate::job::stage::{Fingerprint, Ledger};
use crate::job::stop::Stop;
use contract::{Problem, Result};
use std::path::{Path, PathBuf};
use std::time::Instant;

pub(crate) struct Context<'a> {
    pub(crate) job: &'a Job,
    pub(crate) console: &'a mut Console,
    pub(crate) stop: &'a Stop,
    pub(crate) events: EventLog,
    pub(crate) ledger: Ledger,
    pub(crate) results: ResultsFile,
    pub(crate) host: HostVersion,
    /// For the report, each once.
    pub(crate) warnings: Vec<String>,
}

impl<'a> Context<'a> {
    pub(crate) fn open(job: &'a Job, console: &'a mut Console, stop: &'a Stop, host: HostVersion) -> Result<Self> {
        let (events, ledger) = (EventLog::open(&job.folder)?, Ledger::open(&job.folder)?);
        let results = ResultsFile::open(&job.folder, job.order.verb())?;
        Ok(Self { job, console, stop, events, ledger, results, host, warnings: Vec::new() })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.job.folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.job.folder.join(name)
    }

    pub(crate) fn say(&mut self, line: &str) {
        self.console.say(line);
    }

    /// Says it on stderr, and keeps it for the report.
    pub(crate) fn warn(&mut self, line: &str) {
        self.console.warn(line);
        if !self.warnings.iter().any(|w| w == line) {
            self.warnings.push(line.to_owned());
        }
    }

    /// Warns of what a stage of this or of another job warned of when it was done.
    pub(crate) fn warn_as_before(&mut self, job_folder: &Path, stage: &str) {
        Ledger::warnings(job_folder, stage).iter().for_each(|line| self.warn(line));
    }

    /// Says that a stage is not run again, and what it warned of when it was.
    pub(crate) fn done_before(&mut self, name: &str) {
        self.say(&format!("{name}: done before"));
        self.events.add(&OwnEvent::Fresh { name });
        self.warn_as_before(&self.job.folder.clone(), name);
    }

    /// Runs a stage unless its outputs are there on the same ground; then what it warned of is said again. `work` returns what it wrote.
    pub(crate) fn stage(&mut self, name: &str, ground: &Fingerprint, work: impl FnOnce(&mut Self) -> Result<Vec<PathBuf>>) -> Result<()> {
        let ground = ground.text();
        if self.ledger.is_fresh(name, &ground) {
            self.done_before(name);
            return Ok(());
        }
        self.results.reopen()?;
        self.say(&format!("{name}: begins"));
        self.events.add(&OwnEvent::Stage { name });
        let (began, known) = (Instant::now(), self.warnings.len());
        let outputs = work(self)?;
        self.ledger.done(name, &ground, &outputs, &self.warnings[known..])?;
        let seconds = began.elapsed().as_secs_f64();
        self.events.add(&OwnEvent::Done { name, seconds });
        self.say(&format!("{name}: done in {}", duration(seconds)));
        Ok(())
    }

    /// A folder of the job, made where it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn make_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.path(name);
        std::fs::create_dir_all(&folder).map_err(|e| Problem::io(&folder, &e))?;
        Ok(folder)
    }

    /// Removes what an earlier run of a stage left in a folder of the job and this one has not made.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub(crate) fn remove_earlier(&self, stage: &str, folder: &Path, made: &[PathBuf]) -> Result<()> {
        let earlier = Ledger::outputs(self.folder(), stage).into_iter().filter(|file| file.starts_with(folder) && !made.contains(file));
        for file in earlier.filter(|file| file.exists()) {
            std::fs::remove_file(&file).map_err(|e| Problem::io(&file, &e))?;
        }
        Ok(())
    }
}
