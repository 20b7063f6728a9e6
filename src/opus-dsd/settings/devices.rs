//! Which devices a job runs on: what was said of them, and what there is.

use super::said::TrainSaid;
use contract::{Device, Kind, Problem, Result};

/// What the engine calls the processor.
const CPU: &str = "cpu";
/// Name of a GPU that a job is planned for from a machine without one.
const ELSEWHERE: &str = "not on this machine";
/// What `--gpu-memory` counts in.
pub(super) const GIGABYTE: f64 = 1e9;

/// The device that is asked for, or the first of them; see [`choose_devices`].
///
/// # Errors
/// It is not there.
pub(crate) fn choose_device(said: (Option<&str>, Option<&str>, Option<usize>), devices: &[Device]) -> Result<Device> {
    choose_devices(said, devices).map(|mut chosen| chosen.swap_remove(0))
}

/// The devices that are asked for (by `--device`, `--gpu` or `--num-gpus`, in this order), each once, else the first there is. Lists are
/// written with commas, colons (as RELION's) or blanks (as Scipion's).
///
/// # Errors
/// One is not there.
pub(crate) fn choose_devices(said: (Option<&str>, Option<&str>, Option<usize>), devices: &[Device]) -> Result<Vec<Device>> {
    let missing = |option: &str, what: String| {
        let there: Vec<_> = devices.iter().map(|d| format!("`{}` ({})", d.id, d.name)).collect();
        Problem::new(Kind::Device, what).at(option).hint(format!("choose among {}", there.join(", ")))
    };
    let (option, wanted) = match said {
        (Some(d), ..) => ("`--device`", d.to_ascii_lowercase()),
        (None, Some(g), _) => ("`--gpu`", g.to_ascii_lowercase()),
        (None, None, Some(0)) => ("`--num-gpus`", "cpu".into()),
        (None, None, Some(number)) => {
            let gpus: Vec<Device> = devices.iter().filter(|d| d.id != CPU).take(number).cloned().collect();
            let fewer = || missing("`--num-gpus`", format!("{number} are asked for, {} are here", gpus.len()));
            return if gpus.len() == number { Ok(gpus) } else { Err(fewer()) };
        }
        (None, None, None) => {
            let first = devices.first().cloned().ok_or_else(|| Problem::new(Kind::Device, "nothing to run on"))?;
            return Ok(vec![first]);
        }
    };
    let mut chosen: Vec<Device> = Vec::new();
    for id in ids(&wanted) {
        let device = devices.iter().find(|d| d.id == id).ok_or_else(|| missing(option, format!("`{id}` is not here")))?;
        if !chosen.contains(device) {
            chosen.push(device.clone());
        }
    }
    if chosen.len() > 1 && chosen.iter().any(|device| device.id == CPU) {
        return Err(missing(option, "the CPU does not train together with GPUs".into()));
    }
    if chosen.is_empty() { Err(missing(option, format!("`{wanted}` names no device"))) } else { Ok(chosen) }
}

/// The engine's names of the devices in a list (lower case).
fn ids(wanted: &str) -> Vec<String> {
    let id = |word: &str| match word {
        CPU | "none" => CPU.to_owned(),
        "cuda" | "gpu" => "cuda:0".into(),
        number => format!("cuda:{number}"),
    };
    wanted.replace("cuda:", "").split([',', ':', ' ']).filter(|word| !word.is_empty()).map(id).collect()
}

/// The devices to plan a job with that may run elsewhere: those that are here, and where no GPU is, the ones that are asked for, each with the
/// memory that `--gpu-memory` says.
///
/// # Errors
/// GPUs are asked for where none is, and nobody says how much memory they have.
pub(crate) fn planned_devices(said: &TrainSaid, devices: &[Device]) -> Result<Vec<Device>> {
    let asked = match (&said.device, &said.gpu, said.num_gpus) {
        (Some(list), ..) | (None, Some(list), _) => ids(&list.to_ascii_lowercase()),
        (None, None, number) => (0..number.unwrap_or(0)).map(|index| format!("cuda:{index}")).collect(),
    };
    let numbered = |id: &&String| id.strip_prefix("cuda:").is_some_and(|number| number.parse::<u32>().is_ok());
    let gpus: Vec<&String> = asked.iter().filter(numbered).collect();
    let ([host], [id, ..]) = (devices, gpus.as_slice()) else { return Ok(devices.to_vec()) };
    let Some(gigabytes) = said.gpu_memory else {
        return Err(Problem::new(Kind::Device, "no GPU is here")
            .at(format!("`{id}`"))
            .hint("to plan a job for another machine, say how much memory each of its GPUs has, as `--gpu-memory 24` (in gigabytes)"));
    };
    let elsewhere = |id: &&String| {
        let mut gpu = host.clone();
        (gpu.id, gpu.name, gpu.memory_bytes) = (id.to_string(), ELSEWHERE.into(), (gigabytes * GIGABYTE) as u64);
        gpu
    };
    Ok(gpus.iter().map(elsewhere).chain(devices.iter().cloned()).collect())
}

/// Whether a device of [`planned_devices`] is not on this machine.
pub(crate) fn is_elsewhere(device: &Device) -> bool {
    device.name == ELSEWHERE
}

/// The device of a process that a cluster's launcher started as the `local`-th of its machine: the `local`-th of those that are asked for, or
/// of all GPUs there are; a queue system may also show each process only its own.
///
/// # Errors
/// One that is asked for is not there.
pub(crate) fn launched_device(said: &TrainSaid, local: usize, devices: &[Device]) -> Result<Device> {
    let asked = (said.device.as_deref(), said.gpu.as_deref(), said.num_gpus);
    let gpus: Vec<Device> = devices.iter().filter(|d| d.id != CPU).cloned().collect();
    let among = if asked == (None, None, None) && !gpus.is_empty() { gpus } else { choose_devices(asked, devices)? };
    Ok(among[local % among.len()].clone())
}

/// A device an engine: the GPUs, or as many times the CPU as there are to be `ranks`.
///
/// # Errors
/// Another number of ranks than GPUs.
pub(crate) fn engines(chosen: &[Device], ranks: Option<usize>) -> Result<Vec<String>> {
    let ids: Vec<String> = chosen.iter().map(|device| device.id.clone()).collect();
    match ranks {
        Some(ranks) if ids == [CPU] => Ok(vec![CPU.into(); ranks]),
        Some(ranks) if ranks != ids.len() => Err(Problem::input(format!("{ranks} processes are asked for, and {} GPUs", ids.len()))
            .at("`--ranks`")
            .hint("leave it out: on GPUs there is one process a GPU (`--gpu 0,1`)")),
        _ => Ok(ids),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices() -> Vec<Device> {
        ["cuda:0", "cuda:1", "cpu"]
            .map(|id| Device { id: id.into(), name: id.to_uppercase(), memory_bytes: 1 << 34, free_bytes: None })
            .into()
    }

    #[test]
    fn devices_are_chosen_by_any_spelling() {
        for (said, id) in [
            (TrainSaid { gpu: Some("1".into()), ..TrainSaid::default() }, "cuda:1"),
            (TrainSaid { gpu: Some("0:1".into()), ..TrainSaid::default() }, "cuda:0"),
            (TrainSaid { device: Some("cuda:1".into()), ..TrainSaid::default() }, "cuda:1"),
            (TrainSaid { device: Some("cpu".into()), ..TrainSaid::default() }, "cpu"),
            (TrainSaid { num_gpus: Some(0), ..TrainSaid::default() }, "cpu"),
            (TrainSaid::default(), "cuda:0"),
        ] {
            assert_eq!(choose_device((said.device.as_deref(), said.gpu.as_deref(), said.num_gpus), &devices()).unwrap().id, id);
        }
        let problem = choose_device((None, Some("7"), None), &devices()).unwrap_err();
        assert_eq!(problem.kind, Kind::Device);
    }

    #[test]
    fn a_job_for_gpus_is_planned_where_none_is() {
        let login_node = &devices()[2..];
        let of = |said: &TrainSaid, here: &[Device]| {
            let devices = planned_devices(said, here)?;
            choose_devices((said.device.as_deref(), said.gpu.as_deref(), said.num_gpus), &devices)
        };
        for said in [
            TrainSaid { gpu: Some("0:1".into()), ..TrainSaid::default() },
            TrainSaid { device: Some("cuda:0,cuda:1".into()), ..TrainSaid::default() },
            TrainSaid { num_gpus: Some(2), ..TrainSaid::default() },
        ] {
            let problem = of(&said, login_node).unwrap_err();
            assert!(problem.kind == Kind::Device && problem.hint.unwrap().contains("`--gpu-memory 24`"));
            let said = TrainSaid { gpu_memory: Some(24.0), ..said };
            let found = of(&said, login_node).unwrap();
            assert_eq!(
                found.iter().map(|d| (d.id.as_str(), d.memory_bytes)).collect::<Vec<_>>(),
                [("cuda:0", 24_000_000_000), ("cuda:1", 24_000_000_000)]
            );
            assert!(found.iter().all(is_elsewhere));
            // Where there are GPUs, a job is planned with these.
            assert!(!of(&said, &devices()).unwrap().iter().any(is_elsewhere));
            assert!(of(&said, &devices()[1..]).is_err());
        }
        assert!(of(&TrainSaid { gpu: Some("all".into()), gpu_memory: Some(24.0), ..TrainSaid::default() }, login_node).is_err());
        for said in [TrainSaid::default(), TrainSaid { device: Some("CPU".into()), ..TrainSaid::default() }] {
            let said = TrainSaid { gpu_memory: Some(24.0), ..said };
            assert_eq!(of(&said, login_node).unwrap(), login_node);
        }
    }

    #[test]
    fn several_devices_are_an_engine_each() {
        let both = ["cuda:0", "cuda:1"];
        let of = |said: &TrainSaid| {
            let chosen = choose_devices((said.device.as_deref(), said.gpu.as_deref(), said.num_gpus), &devices())?;
            engines(&chosen, said.ranks)
        };
        for said in [
            TrainSaid { gpu: Some("0,1".into()), ..TrainSaid::default() },
            TrainSaid { gpu: Some("0:1:0".into()), ..TrainSaid::default() },
            TrainSaid { gpu: Some("0 1".into()), ranks: Some(2), ..TrainSaid::default() },
            TrainSaid { device: Some("cuda:0,cuda:1".into()), ..TrainSaid::default() },
            TrainSaid { num_gpus: Some(2), ..TrainSaid::default() },
        ] {
            assert_eq!(of(&said).unwrap(), both);
        }
        let on_cpu = TrainSaid { device: Some("cpu".into()), ranks: Some(3), ..TrainSaid::default() };
        assert_eq!(of(&on_cpu).unwrap(), ["cpu"; 3]);
        for wrong in [
            TrainSaid { gpu: Some("0,1".into()), ranks: Some(3), ..TrainSaid::default() },
            TrainSaid { gpu: Some("0,cpu".into()), ..TrainSaid::default() },
            TrainSaid { gpu: Some(",".into()), ..TrainSaid::default() },
            TrainSaid { num_gpus: Some(4), ..TrainSaid::default() },
        ] {
            assert!(of(&wrong).is_err());
        }
    }

    #[test]
    fn launched_processes_take_a_device_each() {
        let device = |said: &TrainSaid, local| launched_device(said, local, &devices()).unwrap().id;
        let unsaid = TrainSaid::default();
        assert_eq!([0, 1, 2].map(|local| device(&unsaid, local)), ["cuda:0", "cuda:1", "cuda:0"]);
        let said = TrainSaid { gpu: Some("1".into()), ..TrainSaid::default() };
        assert_eq!([0, 1].map(|local| device(&said, local)), ["cuda:1", "cuda:1"]);
        assert_eq!(launched_device(&unsaid, 3, &devices()[2..]).unwrap().id, "cpu");
    }
}
