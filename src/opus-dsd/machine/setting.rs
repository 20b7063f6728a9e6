//! Where a job ran, for its record: machine, user, queue system, and what of the environment can change a result or explain a failure.

use super::{identity, memory};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

/// Variables that are recorded where they are set.
const VARIABLES: [&str; 12] = [
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "LD_LIBRARY_PATH",
    "OPUS_DSD_ENGINE",
    "TMPDIR",
    "LOADEDMODULES",
    "APPTAINER_CONTAINER",
    "SINGULARITY_CONTAINER",
    "PBS_JOBID",
    "LSB_JOBID",
    "JOB_ID",
    "SLURMD_NODENAME",
];
/// Of SLURM's many variables those that name the job and what it was given.
const SLURM: [&str; 9] = [
    "SLURM_JOB_ID",
    "SLURM_JOB_NAME",
    "SLURM_JOB_PARTITION",
    "SLURM_CLUSTER_NAME",
    "SLURM_JOB_NODELIST",
    "SLURM_CPUS_PER_TASK",
    "SLURM_MEM_PER_NODE",
    "SLURM_JOB_GPUS",
    "SLURM_RESTART_COUNT",
];

/// Where a job ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Setting {
    pub(crate) host_name: String,
    pub(crate) user: Option<String>,
    pub(crate) system: String,
    pub(crate) processor: String,
    /// Cores that the process may use.
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    /// What the control group allows, where it is limited.
    pub(crate) memory_allowed_bytes: Option<u64>,
    pub(crate) nvidia_driver: Option<String>,
    /// Paths of the command line are relative to it.
    pub(crate) working_folder: PathBuf,
    pub(crate) environment: BTreeMap<String, String>,
    /// When this was written, Unix seconds.
    pub(crate) time: f64,
}

impl Setting {
    /// Of this process.
    pub(crate) fn now() -> Self {
        let memory = memory::read();
        let variable = |name: &&str| Some(((*name).to_owned(), std::env::var(name).ok()?));
        Self {
            host_name: identity::host_name(),
            user: std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).ok(),
            system: identity::system(),
            processor: identity::processor(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory.total,
            memory_allowed_bytes: memory.allowed,
            nvidia_driver: super::nvidia::driver(),
            working_folder: std::env::current_dir().unwrap_or_default(),
            environment: VARIABLES.iter().chain(&SLURM).filter_map(variable).collect(),
            time: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_names_its_machine() {
        let setting = Setting::now();
        assert!(setting.cores > 0 && setting.memory_bytes > 0 && setting.working_folder.is_absolute());
        assert!(setting.system.contains("kernel "));
    }
}
