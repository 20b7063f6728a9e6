//! Which devices a job runs on: what was said of them, and what there is.

use super::said::TrainSaid;
use contract::{Device, Kind, Problem, Result};

/// What the engine calls the processor.
const CPU: &str = "cpu";

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
    for word in wanted.replace("cuda:", "").split([',', ':', ' ']).filter(|word| !word.is_empty()) {
        let id = match word {
            CPU | "none" => CPU.to_owned(),
            "cuda" | "gpu" => "cuda:0".into(),
            number => format!("cuda:{number}"),
        };
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
