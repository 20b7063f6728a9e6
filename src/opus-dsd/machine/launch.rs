//! Whether a cluster's launcher (srun, mpirun, torchrun) started this process as one of several, told from the environment that it sets.

use contract::{Problem, Result};

/// This process among those that one launch started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    /// Which one, from 0.
    pub(crate) rank: usize,
    /// How many.
    pub(crate) size: usize,
    /// Which one of this machine.
    pub(crate) local: usize,
    /// How many run on this machine; all of them where the launcher does not say.
    pub(crate) here: usize,
    /// Who started them.
    pub(crate) by: &'static str,
    /// Tells this launch from others, as far as the launcher does.
    pub(crate) key: String,
    /// Where rank 0 runs, where the launcher says it.
    pub(crate) first_host: Option<String>,
}

/// Gives an environment variable's value.
type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Variables of a launcher.
struct Launcher {
    by: &'static str,
    rank: &'static str,
    size: &'static str,
    local: &'static str,
    /// How many on this machine.
    here: &'static str,
    /// Whether what it sets is meant for this process.
    applies: fn(&Lookup<'_>) -> bool,
    /// Names of the launch.
    keys: &'static [&'static str],
}

/// Which machine of a SLURM step this is, from 0.
const NODE: &str = "SLURM_NODEID";

/// Inner launchers first: mpirun and torchrun may themselves be started by srun, one a machine.
const LAUNCHERS: [Launcher; 4] = [
    Launcher {
        by: "torchrun",
        rank: "RANK",
        size: "WORLD_SIZE",
        local: "LOCAL_RANK",
        here: "LOCAL_WORLD_SIZE",
        applies: |of| of("MASTER_ADDR").is_some() && of("LOCAL_RANK").is_some(),
        keys: &["TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_PORT"],
    },
    Launcher {
        by: "mpirun",
        rank: "OMPI_COMM_WORLD_RANK",
        size: "OMPI_COMM_WORLD_SIZE",
        local: "OMPI_COMM_WORLD_LOCAL_RANK",
        here: "OMPI_COMM_WORLD_LOCAL_SIZE",
        applies: |_| true,
        keys: &["PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid"],
    },
    Launcher {
        by: "srun",
        rank: "SLURM_PROCID",
        // Of the step, not of the job: in a batch script SLURM_NTASKS may be 4 though one process runs.
        size: "SLURM_STEP_NUM_TASKS",
        local: "SLURM_LOCALID",
        // Of every machine of the step: `4(x2),1`.
        here: "SLURM_STEP_TASKS_PER_NODE",
        applies: |of| of("SLURM_STEP_ID").is_some(),
        keys: &["SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT"],
    },
    Launcher {
        by: "mpiexec",
        rank: "PMI_RANK",
        size: "PMI_SIZE",
        local: "MPI_LOCALRANKID",
        here: "MPI_LOCALNRANKS",
        applies: |of| of("MPI_LOCALRANKID").is_some(),
        keys: &[],
    },
];

impl Launch {
    /// Of this process; `None`: it stands for itself.
    ///
    /// # Errors
    /// Variables that contradict each other.
    pub(crate) fn of_this_process() -> Result<Option<Self>> {
        Self::of(&|name| std::env::var(name).ok())
    }

    fn of(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        for launcher in &LAUNCHERS {
            let (Some(rank), Some(size)) = (variable(launcher.rank), variable(launcher.size)) else { continue };
            if !(launcher.applies)(variable) {
                continue;
            }
            let number = |name: &str, text: &str| {
                text.trim().parse::<usize>().map_err(|_| {
                    Problem::input(format!("`{text}` is no number of a process"))
                        .at(name.to_owned())
                        .hint("unset it, or give `--ranks 1` to train without other processes")
                })
            };
            let (rank, size) = (number(launcher.rank, &rank)?, number(launcher.size, &size)?);
            if size < 2 {
                continue;
            }
            if rank >= size {
                return Err(Problem::input(format!("process {rank} of {size} cannot be"))
                    .at(launcher.rank)
                    .hint("give `--ranks 1` to train without other processes"));
            }
            let local = variable(launcher.local).map_or(Ok(rank), |text| number(launcher.local, &text))?;
            let machine = variable(NODE).map_or(Ok(0), |text| number(NODE, &text))?;
            let here = match variable(launcher.here) {
                None => size,
                Some(text) => of_machine(&text, machine).filter(|here| (1..=size).contains(here)).ok_or_else(|| {
                    Problem::input(format!("`{text}` is no number of processes on this machine"))
                        .at(launcher.here)
                        .hint("unset it, or give `--ranks 1` to train without other processes")
                })?,
            };
            let key: Vec<String> = launcher.keys.iter().filter_map(|name| variable(name)).collect();
            let first_host = variable("MASTER_ADDR");
            return Ok(Some(Self { rank, size, local, here, by: launcher.by, key: key.join("."), first_host }));
        }
        Ok(None)
    }
}

/// The number of a machine's processes in a list such as `4(x2),1`: two machines with four, one with one. A plain number is that of all machines.
fn of_machine(list: &str, machine: usize) -> Option<usize> {
    let mut first = 0;
    for part in list.trim().split(',') {
        let (number, machines) = match part.split_once("(x") {
            Some((number, times)) => (number, times.strip_suffix(')')?.parse().ok()?),
            None => (part, 1),
        };
        first += machines;
        if machine < first || !list.contains([',', '(']) {
            return number.parse().ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(variables: &str) -> Result<Option<Launch>> {
        let pairs: Vec<(String, String)> =
            variables.split_whitespace().filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.into(), v.into())).collect();
        Launch::of(&|name| pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()))
    }

    #[test]
    fn launchers_are_known_by_their_variables() {
        let cases = [
            (
                "SLURM_STEP_ID=0 SLURM_JOB_ID=71 SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=3 SLURM_LOCALID=1 SLURM_NTASKS=4",
                (3, 4, 1, "srun", "71.0"),
            ),
            (
                "OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_LOCAL_RANK=0 PMIX_NAMESPACE=prterun-a-7@1",
                (1, 2, 0, "mpirun", "prterun-a-7@1"),
            ),
            ("PMI_RANK=0 PMI_SIZE=2 MPI_LOCALRANKID=0", (0, 2, 0, "mpiexec", "")),
            ("RANK=5 WORLD_SIZE=8 LOCAL_RANK=1 MASTER_ADDR=n1 MASTER_PORT=29500", (5, 8, 1, "torchrun", "29500")),
        ];
        for (variables, (rank, size, local, by, key)) in cases {
            let found = launch(variables).unwrap().unwrap();
            assert_eq!((found.rank, found.size, found.local, found.by, found.key.as_str()), (rank, size, local, by, key), "{variables}");
        }
    }

    #[test]
    fn processes_of_this_machine_are_counted() {
        let srun = "SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=9 SLURM_PROCID=8 SLURM_LOCALID=0";
        for (variables, here) in [
            (srun.to_owned(), 9),
            (format!("{srun} SLURM_NODEID=0 SLURM_STEP_TASKS_PER_NODE=4(x2),1"), 4),
            (format!("{srun} SLURM_NODEID=1 SLURM_STEP_TASKS_PER_NODE=4(x2),1"), 4),
            (format!("{srun} SLURM_NODEID=2 SLURM_STEP_TASKS_PER_NODE=4(x2),1"), 1),
            (format!("{srun} SLURM_NODEID=2 SLURM_STEP_TASKS_PER_NODE=3(x3)"), 3),
            ("OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=8 OMPI_COMM_WORLD_LOCAL_SIZE=4 SLURM_NODEID=1".into(), 4),
            ("RANK=5 WORLD_SIZE=8 LOCAL_RANK=1 LOCAL_WORLD_SIZE=2 MASTER_ADDR=n1".into(), 2),
            ("PMI_RANK=0 PMI_SIZE=2 MPI_LOCALRANKID=0 MPI_LOCALNRANKS=1".into(), 1),
        ] {
            assert_eq!(launch(&variables).unwrap().unwrap().here, here, "{variables}");
        }
        for wrong in ["many", "4(x2", "10", "0", "4(x2),1"] {
            let variables = format!("{srun} SLURM_NODEID=3 SLURM_STEP_TASKS_PER_NODE={wrong}");
            assert_eq!(launch(&variables).unwrap_err().culprit.as_deref(), Some("SLURM_STEP_TASKS_PER_NODE"), "{wrong}");
        }
    }

    #[test]
    fn a_process_alone_is_not_taken_for_one_of_several() {
        for alone in [
            "",
            // A batch script of a job with four tasks, without srun.
            "SLURM_JOB_ID=71 SLURM_NTASKS=4 SLURM_PROCID=0 SLURM_LOCALID=0",
            // A step of one task inside it.
            "SLURM_JOB_ID=71 SLURM_NTASKS=4 SLURM_STEP_ID=2 SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0 SLURM_LOCALID=0",
            "OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=1",
            // Left over in a shell.
            "RANK=3 WORLD_SIZE=8",
            "PMI_RANK=1 PMI_SIZE=4",
        ] {
            assert_eq!(launch(alone).unwrap(), None, "{alone}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in ["OMPI_COMM_WORLD_RANK=x OMPI_COMM_WORLD_SIZE=2", "OMPI_COMM_WORLD_RANK=2 OMPI_COMM_WORLD_SIZE=2"] {
            let problem = launch(wrong).unwrap_err();
            assert!(problem.culprit.unwrap().starts_with("OMPI") && problem.hint.unwrap().contains("--ranks 1"));
        }
    }
}
