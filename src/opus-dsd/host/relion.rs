//! RELION 3.1, 4 and 5 as host of an External job: its `job.star`, its exit and abort files, its nodes, its note; and its projects, where
//! this program installs itself, with their Schemes.
//!
//! RELION never looks at the exit status, only at files in the job folder; it sends no signal on abort; and a continued job is the same
//! command line again. Everything here follows from these three.

pub(crate) mod exit_files;
pub(crate) mod install;
pub(crate) mod job_star;
pub(crate) mod nodes;
pub(crate) mod note;
pub(crate) mod project;
pub(crate) mod scheme;
