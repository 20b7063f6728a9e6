//! What is said about tables that cannot be used.

use super::{BOX_PX, Project, archive, modern, old};
use crate::particles::{ReadOptions, read};
use std::fmt::Write;

#[test]
fn impossible_tables_are_refused_with_line_and_label() {
    let project = Project::new();
    project.stack("Extract/job001/larger.mrcs", 2 * BOX_PX);
    let image = "000005@Extract/job001/images.mrcs";
    let cases: Vec<(&str, String)> = vec![
        ("empty file", String::new()),
        ("text", "hello\n".to_owned()),
        ("wrong column count", modern().replace("000005@Extract/job001/images.mrcs 7", "000005@Extract/job001/images.mrcs")),
        ("row after a blank line", modern().replace("000005@", "\n000005@")),
        ("duplicate label", modern().replace("_rlnClassNumber", "_rlnAngleRot")),
        ("no rows", modern().lines().take_while(|line| !line.starts_with("000001@")).fold(String::new(), |text, line| text + line + "\n")),
        ("no images", modern().replace("_rlnImageName", "_rlnMicrographName")),
        ("no poses", modern().replace("_rlnAngleTilt", "_rlnOther")),
        ("no CTF", modern().replace("_rlnDefocusV", "_rlnOther")),
        ("half an origin", modern().replace("_rlnOriginYAngst", "_rlnOther")),
        ("no voltage", modern().replace("_rlnVoltage", "_rlnOther")),
        ("no pixel size", modern().replace("_rlnImagePixelSize", "_rlnOther")),
        ("no pixel size, old", old().replace("_rlnMagnification", "_rlnOther")),
        ("voltage in volts", modern().replace("300.000000 2.7", "300000 2.7")),
        ("negative pixel size", modern().replace("0.100000 2.000000", "0.100000 -2.000000")),
        ("zero magnification", old().replace("25000", "0")),
        ("contrast in percent", modern().replace("0.070000", "7")),
        ("undefined group", modern().replace(&format!("{image} 7"), &format!("{image} 8"))),
        ("group twice", modern().replace("\n3 \"the", "\n7 \"the")),
        ("no group column", modern().replace("_rlnOpticsGroup #2", "_rlnOther #2")),
        ("angle not finite", modern().replace("26.000000", "nan")),
        ("angle no number", modern().replace("26.000000", "none")),
        ("defocus absurd", modern().replace("10040.000000", "10040000")),
        ("image 0", modern().replace("000005@", "000000@")),
        ("image beyond the stack", modern().replace("000005@", "000041@")),
        ("image number no number", modern().replace("000005@", "five@")),
        ("image without number", modern().replace("000005@", "")),
        ("no such stack", modern().replace(image, "000005@Extract/job009/images.mrcs")),
        ("another box", modern().replace(image, "000005@Extract/job001/larger.mrcs")),
        ("not the stated box", modern().replace("2.000000 8 2", "2.000000 16 2")),
        ("phase-flipped", modern().replace("_rlnCtfDataAreCtfPremultiplied", "_rlnCtfDataArePhaseFlipped")),
        ("three dimensions", modern().replace("2.000000 8 2", "2.000000 8 3")),
        ("sub-tomograms", modern().replace("_rlnClassNumber", "_rlnTomoParticleName")),
    ];
    let mut text = String::new();
    for (name, table) in cases {
        writeln!(text, "{name}:\n  {}", project.refusal(project.read(&table))).expect("a string grows");
    }
    // The folders tried above the project differ from machine to machine.
    insta::with_settings!({filters => vec![(r"`PROJECT/Extract/job009/images\.mrcs`, .*?; hint", "`PROJECT/Extract/job009/images.mrcs`, …; hint"), (r"(tried .*?)PROJECT/Refine3D", "$1PROJECT/Refine3D")]}, {
        insta::assert_snapshot!(text);
    });
}

#[test]
fn impossible_inputs_besides_tables_are_refused() {
    let project = Project::new();
    let star = project.star(&modern());
    let stack = project.path("Extract/job001/images.mrcs");
    let with =
        |poses: Option<&str>, ctf: Option<&str>| ReadOptions { poses: poses.map(archive), ctf: ctf.map(archive), ..project.options() };
    project.stack("other.mrcs", 2 * BOX_PX);
    std::fs::write(project.path("two.txt"), "Extract/job001/images.mrcs\nother.mrcs\n").expect("a file");
    std::fs::write(project.path("none.txt"), "\n").expect("a file");
    let cases = [
        ("no such file", read(&project.path("absent.star"), &project.options())),
        ("a stack without poses", read(&stack, &with(None, Some("ctf_p4.pkl")))),
        ("a stack without CTF", read(&stack, &with(Some("pose_tuple3_p4.pkl"), None))),
        ("no pixel size", read(&stack, &ReadOptions { without_ctf: true, ..with(Some("pose_tuple3_p4.pkl"), None) })),
        ("too few poses", read(&star, &with(Some("refused_mirror.pkl"), None))),
        ("shifts in pixels", read(&star, &with(Some("refused_pixels.pkl"), None))),
        ("a CTF archive as poses", read(&star, &with(Some("ctf_p4.pkl"), None))),
        ("poses as a CTF archive", read(&star, &with(None, Some("pose_tuple3_p4.pkl")))),
        ("boxes differ", read(&project.path("two.txt"), &with(Some("pose_tuple3_p4.pkl"), Some("ctf_p4.pkl")))),
        ("an empty list", read(&project.path("none.txt"), &with(Some("pose_tuple3_p4.pkl"), Some("ctf_p4.pkl")))),
        ("a pickle as particles", read(&archive("ctf_p4.pkl"), &project.options())),
        ("a cryoSPARC table", read(&project.path("particles.cs"), &project.options())),
        ("a voltage out of range", read(&star, &ReadOptions { voltage_kv: Some(-1.0), ..project.options() })),
        ("a CTF and none", read(&star, &ReadOptions { without_ctf: true, ..with(None, Some("ctf_p4.pkl")) })),
    ];
    let mut text = String::new();
    for (name, result) in cases {
        writeln!(text, "{name}:\n  {}", project.refusal(result)).expect("a string grows");
    }
    insta::with_settings!({filters => vec![(r"/\S*tests/data/legacy", "LEGACY")]}, {
        insta::assert_snapshot!(text);
    });
}
