//! What a facility looks at: `status`, `clean`, `doctor`, exit status. Every test runs the built executables.

#[path = "support/job.rs"]
mod job;

use job::{Ended, Project, descendants, files, is_alive, signal, wait_for};
use serde_json::Value;
use std::process::Child;
use std::time::Duration;

const JOB: &str = "External/job001";
const LONG: &str = "--epochs 400";
const SHORT: &str = "--epochs 3 --clusters 2";
const PATIENCE: Duration = Duration::from_secs(120);

fn status(project: &Project, job: &str) -> Value {
    let ended = project.run(&format!("status {job} --json"));
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    serde_json::from_str(&ended.out).unwrap()
}

fn state(project: &Project, job: &str) -> String {
    status(project, job)["state"].as_str().unwrap().to_owned()
}

/// A job that trains, and has done so long enough to tell its speed. Of a folder where a job ran before, the new one.
fn training(project: &Project, job: &str) -> Child {
    job::engine();
    let guard = project.start(job, LONG);
    let record = project.path(job).join("process.json");
    wait_for("training", PATIENCE, || {
        let seen = if record.exists() { status(project, job) } else { Default::default() };
        seen["state"] == "running" && seen["pid"] == guard.id() && seen["seconds_to_go"].as_f64().is_some_and(|s| s > 0.0)
    });
    guard
}

#[test]
fn a_job_is_followed_through_its_life() {
    let project = Project::new();
    std::fs::create_dir_all(project.path(JOB)).unwrap();
    assert_eq!(state(&project, JOB), "empty");

    let mut guard = training(&project, JOB);
    let now = status(&project, JOB);
    assert_eq!((now["state"].as_str(), now["verb"].as_str(), now["stage"].as_str()), (Some("running"), Some("train"), Some("train")));
    assert_eq!((now["pid"].as_u64(), now["epochs"].as_u64()), (Some(u64::from(guard.id())), Some(400)));
    assert!(now["progress"].as_f64().unwrap() > 0.0 && now["seconds_to_go"].as_f64().unwrap() > 0.0, "{now}");
    assert!(now["exit_status"].is_null() && now["cause"].is_null());
    let text = project.run(&format!("status {JOB}")).out;
    assert!(text.starts_with("External/job001: running (stage train, epoch ") && text.contains(" to go"), "{text}");

    // Looking often does not disturb, nor does a second job that is refused.
    for _ in 0..20 {
        assert_eq!(state(&project, JOB), "running");
    }
    assert_eq!(project.train(JOB, LONG).status, Some(2));
    assert_eq!(project.run(&format!("train --o {JOB}/ --bogus 1")).status, Some(2));
    assert_eq!(state(&project, JOB), "running", "a wrong command line says nothing of the job that runs");

    signal(guard.id(), libc::SIGTERM);
    assert_eq!(guard.wait().unwrap().code(), Some(143));
    let ended = status(&project, JOB);
    assert_eq!((ended["state"].as_str(), ended["exit_status"].as_u64()), (Some("terminated"), Some(143)), "{ended}");
    assert!(ended["hint"].as_str().unwrap().contains("start the same job again"), "{ended}");

    let mut guard = training(&project, JOB);
    std::fs::write(project.path(JOB).join("RELION_JOB_ABORT_NOW"), b"").unwrap();
    assert_eq!(guard.wait().unwrap().code(), Some(130));
    let ended = status(&project, JOB);
    assert_eq!((ended["state"].as_str(), ended["exit_status"].as_u64()), (Some("aborted"), Some(130)));
}

#[test]
fn a_job_whose_processes_are_gone_is_lost() {
    let project = Project::new();
    let mut guard = training(&project, JOB);
    let below = descendants(guard.id());
    signal(guard.id(), libc::SIGKILL);
    guard.wait().unwrap();
    let lost = status(&project, JOB);
    assert_eq!(lost["state"].as_str(), Some("lost"), "{lost}");
    assert!(lost["cause"].as_str().unwrap().contains("left no exit file") && lost["hint"].as_str().unwrap().contains("goes on"));
    wait_for("all are gone", Duration::from_secs(5), || below.iter().all(|p| !is_alive(*p)));

    // Another machine's job: this one cannot tell.
    let record = project.path(JOB).join("process.json");
    let mut elsewhere: Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    (elsewhere["host"], elsewhere["boot_id"]) = ("node17".into(), "another".into());
    std::fs::write(&record, elsewhere.to_string()).unwrap();
    assert_eq!(state(&project, JOB), "running", "a sign of life that is fresh");
    let file = std::fs::File::options().write(true).open(&record).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(3600)).unwrap();
    let unknown = status(&project, JOB);
    assert_eq!(unknown["state"].as_str(), Some("unknown"));
    assert!(unknown["why"].as_str().unwrap().contains("node17"), "{unknown}");
    let refused = project.run(&format!("clean {JOB}"));
    assert_eq!(refused.status, Some(2));
    assert!(refused.err.contains("may be running"), "{}", refused.err);
}

#[test]
fn every_class_of_end_has_its_exit_status() {
    let project = Project::new();
    std::fs::write(project.path("broken.star"), "data_\n\nloop_\n_rlnImageName #1\n1@none.mrcs extra\n").unwrap();
    let of = |line: &str| project.run(&format!("train --o {JOB}/ --j 1 {line}"));
    let parts = "--in_parts sim/particles.star --preset tiny";
    for (line, expected) in [
        (format!("{parts} --bogus 1"), 2),
        (format!("{parts} --zdim 0"), 2),
        ("--in_parts broken.star".to_owned(), 2),
        ("--in_parts none.star".into(), 3),
        (format!("{parts} --device cuda:97"), 4),
    ] {
        let ended = of(&line);
        assert_eq!(ended.status, Some(expected), "{line}: {}", ended.err);
        assert!(ended.last_error().contains("; hint: "), "{line}: {}", ended.err);
        let seen = status(&project, JOB);
        assert_eq!(seen["state"].as_str(), Some("failed"), "{line}: {seen}");
        assert!(seen["cause"].is_string() && seen["hint"].is_string(), "{line}: {seen}");
        if line.contains("cuda") {
            assert_eq!(seen["exit_status"].as_i64(), Some(4));
        }
    }
    let blocked = project.path("file");
    std::fs::write(&blocked, b"").unwrap();
    let ended = project.run("train --o file/job/ --in_parts sim/particles.star");
    assert_eq!(ended.status, Some(3), "{}", ended.err);
    assert_eq!(project.run("status nowhere").status, Some(3));
    assert_eq!(project.run("status --bogus").status, Some(2));
}

#[test]
fn a_cleaned_job_decodes_and_goes_on() {
    let project = Project::new();
    std::fs::create_dir(project.path("scratch")).unwrap();
    let more = format!("{SHORT} --scratch scratch");
    let trained = project.train(JOB, &more);
    assert_eq!(trained.status, Some(0), "{}", trained.err);
    let before = files(&project.path(JOB));
    let prepared = || std::fs::read_dir(project.path("scratch")).unwrap().count();
    assert_eq!(prepared(), 0, "a job that is done leaves its scratch");
    let again = project.train(JOB, &more);
    assert_eq!(again.status, Some(0), "{}", again.err);
    assert!(again.out.contains("prepare: done before") && !again.out.contains(": begins"), "{}", again.out);

    let planned = project.run("clean External --dry-run --json");
    let plan: Value = serde_json::from_str(&planned.out).unwrap();
    let freed = plan["jobs"][0]["freed_bytes"].as_u64().unwrap();
    assert!(freed > 0 && plan["dry_run"] == true, "{plan}");
    assert_eq!(files(&project.path(JOB)), before, "a dry run removes nothing");

    let cleaned = project.run(&format!("clean {JOB} --all-intermediates"));
    assert_eq!(cleaned.status, Some(0), "{}", cleaned.err);
    assert!(cleaned.out.contains("freed ") && cleaned.out.contains("makes the linear subspace again"), "{}", cleaned.out);
    let after = files(&project.path(JOB));
    assert_eq!(prepared(), 0);
    assert!(after.keys().all(|name| before[name] == after[name]), "what stays is as it was");
    assert!(!after.keys().any(|name| name.starts_with("subspace/") || name.starts_with("checkpoint/epoch-001/")));
    for kept in ["particles.star", "latents.npy", "cluster001.mrc", "logfile.pdf", "checkpoint/epoch-003/weights.safetensors"] {
        assert!(after.contains_key(kept), "{kept}");
    }
    let decoded = project.run(&format!("decode --o External/job002/ --in_parts {JOB}/particles.star --pc 1 --points 2 --device cpu --j 1"));
    assert_eq!(decoded.status, Some(0), "{}", decoded.err);
    let analysed = project.run(&format!("analyse --o External/job003/ --in_parts {JOB}/particles.star --clusters 2 --device cpu --j 1"));
    assert_eq!(analysed.status, Some(0), "{}", analysed.err);

    let again = project.train(JOB, &more);
    assert_eq!(again.status, Some(0), "{}", again.err);
    assert!(again.out.contains("prepare: begins") && again.out.contains("train: done before"), "{}", again.out);
    let now = files(&project.path(JOB));
    for (name, bytes) in before.iter().filter(|(name, _)| !name.starts_with("checkpoint/epoch-00")) {
        assert!(now.get(name) == Some(bytes), "{name}");
    }
    let table = project.run("status External").out;
    let rows: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows[1][..2], ["External/job001", "done"], "{table}");
    assert_eq!((rows.len(), rows[2][1], rows[3][1]), (4, "done", "done"), "{table}");
}

#[test]
fn a_running_job_is_never_cleaned() {
    let project = Project::new();
    let mut guard = training(&project, JOB);
    let named = project.run(&format!("clean {JOB}"));
    assert_eq!(named.status, Some(2));
    assert!(named.err.contains("a job is running in this folder"), "{}", named.err);
    let below = project.run("clean External");
    assert_eq!(below.status, Some(0), "among others it is passed over: {}", below.err);
    assert!(project.path(JOB).join("prepared/images.f16").exists());
    signal(guard.id(), libc::SIGTERM);
    assert_eq!(guard.wait().unwrap().code(), Some(143));
    assert_eq!(project.run(&format!("clean {JOB}")).status, Some(0));
    assert!(!project.path(JOB).join("prepared").exists());
}

#[test]
fn the_doctor_finds_what_is_missing() {
    let project = Project::new();
    job::engine();
    let well = project.run("doctor --json");
    assert_eq!(well.status, Some(0), "{}", well.out);
    let report: Value = serde_json::from_str(&well.out).unwrap();
    assert_eq!((report["healthy"].as_bool(), report["torch"].as_str()), (Some(true), Some("2.11.0")), "{report}");
    assert!(report["devices"].as_array().unwrap().iter().any(|d| d["id"] == "cpu"));
    assert!(report["libtorch"].as_str().unwrap().ends_with("libtorch_cpu.so"));

    let finding = |report: &Value, name: &str| -> Value {
        report["findings"].as_array().unwrap().iter().find(|f| f["name"] == name).unwrap_or_else(|| panic!("{name}: {report}")).clone()
    };
    for (engine, words) in [("/no/such/engine", "no such file"), ("/bin/true", "ended unexpectedly")] {
        let output = project.command("doctor --json --scratch /no/such/folder").env("OPUS_DSD_ENGINE", engine).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = finding(&report, "engine");
        assert!(found["level"] == "wrong" && found["what"].as_str().unwrap().contains(words), "{found}");
        assert!(found["hint"].is_string() && finding(&report, "scratch")["level"] == "wrong");
    }
    let text = project.run("doctor").out;
    assert!(text.lines().all(|l| !l.starts_with("wrong")) && text.contains("jobs run here") || text.contains("all well"), "{text}");
}

#[test]
fn a_dry_run_decides_everything_and_writes_nothing() {
    let project = Project::new();
    job::engine();
    let more = "--epochs 2 --clusters 2 --keep-every 1";
    let planned = project.train(JOB, &format!("{more} --dry-run"));
    assert_eq!(planned.status, Some(0), "{}", planned.err);
    assert!(!project.path("External").exists(), "nothing is written");
    for words in [
        "zdim ",
        "as said",
        "folder       External/job001/: new",
        "prepared images ",
        "of one core for 2 epochs of 96 images, ",
        " an epoch",
    ] {
        assert!(planned.out.contains(words), "{words}: {}", planned.out);
    }
    let wrong = project.train(JOB, "--dry-run yes --device cuda:97");
    assert_eq!(wrong.status, Some(4), "{}", wrong.err);
    let unknown = project.train(JOB, "--dry_run --zdmi 3");
    assert_eq!(unknown.status, Some(2), "{}", unknown.err);
    assert!(!project.path("External").exists(), "nor is an exit file");

    // The prediction holds: the prepared set to the bytes of its headers, the checkpoints to a tenth.
    assert_eq!(project.train(JOB, more).status, Some(0));
    let bytes_below = |name: &str| -> u64 {
        files(&project.path(JOB)).iter().filter(|(path, _)| path.starts_with(name)).map(|(_, bytes)| bytes.len() as u64).sum()
    };
    let number = |out: &str, after: &str| -> f64 {
        let rest = &out[out.find(after).unwrap() + after.len()..];
        let mut words = rest.split_whitespace();
        let number: f64 = words.next().unwrap().parse().unwrap();
        let unit = words.next().unwrap().trim_end_matches(',');
        number * [("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9)].iter().find(|(name, _)| *name == unit).unwrap().1
    };
    let predicted = |after: &str| number(&planned.out, after);
    let prepared = bytes_below("prepared/") as f64;
    assert!((predicted("prepared images ") - prepared).abs() < 2000.0, "{prepared}: {}", planned.out);
    let checkpoint = bytes_below("checkpoint/epoch-002/") as f64;
    assert!((predicted("checkpoints about 3 × ") / checkpoint - 1.0).abs() < 0.1, "{checkpoint}: {}", planned.out);
    // Each of several engines has the library in memory, and its share of the batch.
    let two = project.train(JOB, &format!("{more} --ranks 2 --dry-run"));
    assert_eq!(two.status, Some(0), "{}", two.err);
    let host = [&planned.out, &two.out].map(|out| number(out, "memory       about "));
    assert!(host[1] > 1.5 * host[0] && host[1] < 2.0 * host[0], "{host:?}: {}", two.out);
    assert_eq!(project.train(JOB, &format!("{more} --dry-run")).status, Some(0));
    assert!(project.train(JOB, &format!("{more} --dry-run")).out.contains("holds a job that is done"));
}

/// An engine that only says hello: it has two GPUs of 80 GB, of the first of which so much is free.
fn engine_with_gpus(project: &Project, free_bytes: u64) -> std::path::PathBuf {
    let report: Value = serde_json::from_str(&project.run("doctor --json").out).unwrap();
    let gpu = |id: &str, free: u64| serde_json::json!({"id": id, "name": "GPU", "memory_bytes": 80_000_000_000u64, "free_bytes": free});
    let hello = serde_json::json!({
        "event": "hello", "version": report["version"], "build_id": report["build_id"], "torch": report["torch"],
        "devices": [gpu("cuda:0", free_bytes), gpu("cuda:1", 79_000_000_000)],
    });
    let path = project.path("engine-with-gpus");
    let until_told = "head -n 1 <&\"$OPUS_DSD_COMMANDS_FD\" >/dev/null";
    std::fs::write(&path, format!("#!/bin/sh\necho '{hello}' >&\"$OPUS_DSD_EVENTS_FD\"\n{until_told}\n")).unwrap();
    job::make_executable(&path);
    path
}

#[test]
fn a_gpu_that_others_use_is_planned_with_what_they_leave_free() {
    job::engine();
    let project = Project::new();
    let planned = |free_bytes: u64, more: &str| {
        let line =
            format!("train --o {JOB}/ --in_parts sim/particles.star --in_mask sim/mask.mrc --preset full --templateres 192 --batch 48");
        let mut command = project.command(&format!("{line} --dry-run {more}"));
        job::Ended::of(command.env("OPUS_DSD_ENGINE", engine_with_gpus(&project, free_bytes)).output().unwrap())
    };
    let micro_batch = |ended: &job::Ended| -> usize {
        let line =
            ended.out.lines().find(|line| line.starts_with("  micro-batch ")).unwrap_or_else(|| panic!("{}{}", ended.out, ended.err));
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let [taken, own] = ["--gpu 0", "--gpu 1"].map(|gpu| planned(6_000_000_000, gpu));
    assert_eq!((taken.status, own.status), (Some(0), Some(0)), "{}{}", taken.err, own.err);
    assert!(taken.out.contains("95% of the 6.0 GB that are free of cuda:0's 80.0 GB"), "{}", taken.out);
    assert!(taken.out.contains("of cuda:0 (6.0 GB of 80.0 GB free)"), "{}", taken.out);
    assert!(own.out.contains("of cuda:1 (80.0 GB)") && own.out.contains("85% of the 80.0 GB that cuda:1 has"), "{}", own.out);
    assert!(micro_batch(&own) == 48 && (1..48).contains(&micro_batch(&taken)), "{}", taken.out);
    // The same split for all that train together.
    let both = planned(6_000_000_000, "--gpu 1,0");
    assert!(both.out.contains("of each of cuda:1, cuda:0 (6.0 GB of 80.0 GB free on cuda:0)"), "{}", both.out);
    assert!((1..24).contains(&micro_batch(&both)), "{}", both.out);
    // What is said is kept; whether it is there is another matter.
    let said = planned(6_000_000_000, "--gpu 0 --gpu-memory 3");
    assert!(said.out.contains("3.0 GB at most") && micro_batch(&said) < micro_batch(&taken), "{}", said.out);
    for (free_bytes, more) in [(6_000_000_000, "--gpu 0 --gpu-memory 20"), (100_000_000, "--gpu 0")] {
        let ended = planned(free_bytes, more);
        assert_eq!(ended.status, Some(4), "{}", ended.out);
        assert!(
            ended.err.contains("error: cuda:0: about ") && ended.err.contains(" of 80.0 GB are free; hint: choose another GPU"),
            "{}",
            ended.err
        );
    }
    let doctor = project.command("doctor").env("OPUS_DSD_ENGINE", engine_with_gpus(&project, 6_000_000_000)).output().unwrap();
    let text = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(text.contains("GPU, 80.0 GB of memory, 6.0 GB free\n") && text.contains("GPU, 80.0 GB of memory\n"), "{text}");
}

#[test]
fn a_job_for_gpus_is_planned_on_a_machine_without_one() {
    let project = Project::new();
    job::engine();
    let plan = |more: &str| {
        let line = format!("train --o {JOB}/ --in_parts sim/particles.star --in_mask sim/mask.mrc --dry-run {more}");
        Ended::of(project.command(&line).env("CUDA_VISIBLE_DEVICES", "").output().unwrap())
    };
    for more in ["--gpu 0", "--device cuda", "--num-gpus 2"] {
        let refused = plan(more);
        assert_eq!(refused.status, Some(4), "{more}: {}", refused.err);
        let words = refused.last_error();
        assert!(words.contains("no GPU is here") && words.contains("`--gpu-memory 24`"), "{more}: {words}");
        let planned = plan(&format!("{more} --gpu-memory 24"));
        assert_eq!(planned.status, Some(0), "{more}: {}", planned.err);
        assert!(planned.out.contains("cuda:0 (not on this machine)") && planned.out.contains("(24.0 GB)"), "{more}: {}", planned.out);
    }
    let small = plan("--gpu 0 --gpu-memory 0.001");
    assert_eq!(small.status, Some(4), "{}", small.err);
    assert!(small.last_error().contains("it has 1.0 MB"), "{}", small.err);
}

#[test]
fn processes_without_images_are_told() {
    let project = Project::new();
    job::engine();
    let told = |more: &str| {
        let ended = project.train(JOB, &format!("--dry-run --batch 2 {more}"));
        assert_eq!(ended.status, Some(0), "{}", ended.err);
        ended.out.contains("warning: 1 of the 3 processes have no image of a batch of 2: ")
    };
    assert!(told("--ranks 3") && !told("--ranks 2"));
}

#[test]
fn options_come_from_a_file_and_the_command_line_counts_more() {
    let project = Project::new();
    let write = |text: &str| std::fs::write(project.path("options.json"), text).unwrap();
    write(r#"{"in_parts": "sim/particles.star", "in-mask": "sim/mask.mrc", "zdim": 3, "num_epochs": 9, "plot": false, "seed": null}"#);
    let line = "--preset tiny --device cpu --j 1 --clusters 2";
    let planned = project.run(&format!("train --o {JOB}/ --params options.json --epochs 2 {line} --dry-run"));
    assert_eq!(planned.status, Some(0), "{}", planned.err);
    let value = |name: &str| -> String {
        let found = planned.out.lines().map(|l| l.split_whitespace().collect::<Vec<_>>()).find(|w| w.first() == Some(&name));
        found.unwrap_or_else(|| panic!("{name}: {}", planned.out))[1].to_owned()
    };
    assert_eq!((value("zdim"), value("epochs")), ("3".into(), "2".into()));
    assert!(planned.out.contains("from options.json: "), "{}", planned.out);

    for (text, culprit, hint) in [
        (r#"{"zdmi": 3}"#, "options.json, `zdmi`: unknown option", "did you mean `zdim`?"),
        (r#"{"zdim": 0}"#, "options.json, `zdim`: 0 is out of range", "from 1 to"),
        (r#"{"zdim": "many"}"#, "options.json, `zdim`: `many` is not understood", "lists all options"),
        (r#"{"o": "x"}"#, "options.json, `o`: the job folder", "on the command line"),
        ("{", "options.json: not JSON", "write it as"),
    ] {
        write(text);
        let ended = project.run(&format!("train --o {JOB}/ --in_parts sim/particles.star --params options.json"));
        assert_eq!(ended.status, Some(2), "{text}");
        assert!(ended.last_error().contains(culprit) && ended.last_error().contains(hint), "{text}: {}", ended.err);
    }
}

/// The record of a job says where it ran.
#[test]
fn provenance_names_machine_and_queue_job() {
    let project = Project::new();
    job::engine();
    let line = job::train_line(JOB, "--epochs 1 --clusters 2");
    let ended = project.command(&line).env("SLURM_JOB_ID", "4711").env("SECRET_TOKEN", "hidden").output().unwrap();
    assert!(ended.status.success());
    let text = std::fs::read_to_string(project.path(JOB).join("settings.json")).unwrap();
    let settings: Value = serde_json::from_str(&text).unwrap();
    let setting = &settings["setting"];
    assert_eq!(setting["environment"]["SLURM_JOB_ID"], "4711", "{setting}");
    assert!(!text.contains("hidden"));
    for field in ["host_name", "system", "processor", "working_folder"] {
        assert!(setting[field].as_str().is_some_and(|v| !v.is_empty()), "{field}: {setting}");
    }
    assert!(settings["input"]["fingerprint"].is_string() && settings["build_id"].is_string() && settings["command"].is_array());
}

/// The JSON forms, by the names and kinds of their fields: docs/reference/status.md describes them.
#[test]
fn json_forms_keep_their_shape() {
    let project = Project::new();
    job::engine();
    assert_eq!(project.train(JOB, "--epochs 1 --clusters 2").status, Some(0));
    let json = |line: &str| -> Value { serde_json::from_str(&project.run(line).out).unwrap() };
    let all =
        [format!("status {JOB} --json"), "status External --json".into(), format!("clean {JOB} --dry-run --json"), "doctor --json".into()]
            .map(|line| format!("$ opus-dsd {line}\n{}", shape(&json(&line), 0)));
    insta::assert_snapshot!("json_shapes", all.join("\n"));
}

fn shape(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            let line = |(name, v): (&String, &Value)| match name.as_str() {
                // There or not, by the machine.
                "driver" | "cuda" | "hint" => format!("{indent}{name}: optional"),
                _ => format!("{indent}{name}: {}", shape(v, depth + 1).trim_start_matches(' ')),
            };
            fields.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Value::Array(items) => items.first().map_or("[]".into(), |v| format!("[\n{}]", shape(v, depth))),
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => "text".into(),
    }
}
