//! Decisions for some machines and launches.

use super::*;

/// Preset full at its own template, in batches of so many images.
pub(in crate::settings) fn full_settings(batch: usize) -> TrainSettings {
    let said = TrainSaid { preset: Some(Preset::Full), batch: Some(batch), ..TrainSaid::default() };
    let facts = DataFacts { box_px: 192, ..facts() };
    let (grid, book) = grid(&said, &facts, &devices(), None).unwrap();
    decide(&said, &facts, grid, book, 114).train
}

fn facts() -> DataFacts {
    DataFacts { particles: 1000, box_px: 48, apix: 2.3, reference: None, mask: Some((64, 2.0)), origin_angstrom: [0.0; 3] }
}

fn devices() -> Vec<Device> {
    ["cuda:0", "cuda:1", "cpu"].map(|id| Device { id: id.into(), name: id.to_uppercase(), memory_bytes: 1 << 34, free_bytes: None }).into()
}

fn decided(said: &TrainSaid, devices: &[Device]) -> Decided {
    decided_of(said, devices, None)
}

fn decided_of(said: &TrainSaid, devices: &[Device], launch: Option<&Launch>) -> Decided {
    let (grid, book) = grid(said, &facts(), devices, launch).unwrap();
    decide(said, &facts(), grid, book, 28)
}

#[test]
fn every_value_has_its_reason() {
    let d = decided(&TrainSaid { zdim: Some(5), ..TrainSaid::default() }, &devices()[2..]);
    assert_eq!((d.grid.preset, d.grid.size_px, d.clusters), (Preset::Tiny, 32, None));
    assert_eq!((d.map_box_px, d.map_apix), (64, 2.0));
    let zdim = d.reasons.iter().find(|r| r.name == "zdim").unwrap();
    assert_eq!((zdim.value.as_str(), zdim.reason.as_str()), ("5", "as said"));
    assert!(d.reasons.iter().all(|r| !r.reason.is_empty()));
}

#[test]
fn processes_without_images_are_named() {
    let of = |ranks, batch| {
        let said = TrainSaid { device: Some("cpu".into()), ranks: Some(ranks), batch: Some(batch), ..TrainSaid::default() };
        decided(&said, &devices()).idle_ranks()
    };
    assert_eq!(of(16, 16), None);
    let warning = of(40, 16).unwrap();
    assert!(warning.starts_with("24 of the 40 processes have no image of a batch of 16") && warning.contains("`--ranks`"), "{warning}");
    let launch = Launch { rank: 0, size: 20, local: 0, here: 2, by: "srun", key: String::new(), first_host: None };
    let warning = decided_of(&TrainSaid::default(), &devices(), Some(&launch)).idle_ranks().unwrap();
    assert!(warning.contains("start fewer of them, or raise `--batch`"), "{warning}");
}

#[test]
fn without_a_base_it_trains_as_the_original() {
    let d = decided(&TrainSaid { base: Some(Base::None), ..TrainSaid::default() }, &devices()[2..]);
    assert_eq!((d.train.base, d.train.warm_start, d.train.encoder_input), (BaseVolume::None, None, EncoderInput::Image));
}

#[test]
fn launched_processes_are_planned_like_those_of_one_job() {
    let on_cpu = TrainSaid { device: Some("cpu".into()), ..TrainSaid::default() };
    // Two of four here.
    let launch = Launch { rank: 0, size: 4, local: 0, here: 2, by: "srun", key: String::new(), first_host: None };
    let launched = decided_of(&on_cpu, &devices(), Some(&launch));
    let own = decided(&TrainSaid { ranks: Some(4), ..on_cpu.clone() }, &devices());
    assert_eq!((own.train.batch, own.train.micro_batch), (BATCH, BATCH / 4));
    assert_eq!((launched.train.batch, launched.train.micro_batch), (BATCH, BATCH / 4));
    let reason = |decided: &Decided, name: &str| decided.reasons.iter().find(|r| r.name == name).unwrap().reason.clone();
    assert_eq!(reason(&launched, "ranks"), "started by srun, 2 of them on this machine");
    assert!(reason(&launched, "memory of a step").contains("each of 2 processes"), "{}", reason(&launched, "memory of a step"));
    assert!(reason(&own, "memory of a step").contains("each of 4 processes"));
    let cores = Cores::read();
    assert_eq!(launched.grid.threads_an_engine(), cores.each_of(2));
    assert_eq!(launched.grid.threads_that_train(), 4 * cores.each_of(2));
    // The others stand by once training has ended.
    assert_eq!(launched.grid.threads_after_training(), cores.of_all());
    assert_eq!(reason(&launched, "j").contains("for maps"), cores.of_all() > cores.each_of(2));
    assert_eq!(own.grid.threads_after_training(), cores.alone());
    assert_eq!(own.grid.threads_that_train(), cores.alone());
    // What is said is of each launched process, and of all that the job starts.
    let said = TrainSaid { threads: Some(8), ..on_cpu };
    let grid = decided_of(&said, &devices(), Some(&launch)).grid;
    assert_eq!((grid.threads_an_engine(), grid.threads_after_training()), (8, 8));
    let mut later = grid;
    later.set_one_engine(devices()[2].clone(), 3);
    assert_eq!((later.ranks(), later.threads_after_training()), (1, 3), "an analysis is not launched, though the training was");
    assert_eq!(decided(&TrainSaid { ranks: Some(4), ..said }, &devices()).grid.threads_an_engine(), 2);
    // On GPUs each has its own memory.
    let second = Launch { local: 1, ..launch };
    let on_gpu = decided_of(&TrainSaid::default(), &devices(), Some(&second));
    assert_eq!((on_gpu.grid.device.id.as_str(), on_gpu.grid.ranks(), on_gpu.grid.ranks_here()), ("cuda:1", 4, 2));
    assert!(!reason(&on_gpu, "memory of a step").contains("each of"));
}

#[test]
fn a_step_fits_into_what_is_free_of_every_gpu() {
    let mut devices = devices();
    devices[1].free_bytes = Some(1 << 32);
    let room = |said: &TrainSaid, launch: Option<&Launch>| {
        let decided = decided_of(said, &devices, launch);
        decided.reasons.into_iter().find(|r| r.name == "memory of a step").unwrap().reason
    };
    let gpus = |gpu: &str| TrainSaid { gpu: Some(gpu.into()), ..TrainSaid::default() };
    let (whole, part) =
        ("14.6 GB at most: 85% of the 17.2 GB that cuda:0 has", "4.1 GB at most: 95% of the 4.3 GB that are free of cuda:1's 17.2 GB");
    assert_eq!([room(&gpus("0"), None), room(&gpus("1"), None), room(&gpus("0,1"), None)], [whole, part, part]);
    let launch = Launch { rank: 0, size: 2, local: 0, here: 2, by: "srun", key: String::new(), first_host: None };
    assert_eq!(room(&TrainSaid::default(), Some(&launch)), part);
    let said = TrainSaid { gpu_memory: Some(12.0), ..gpus("1") };
    assert_eq!(room(&said, None), "as said");
}
