//! What is read, what is refused, and what is said then.

use starfile::{Builder, SetColumn, StarFile, quoted};

fn refusal(text: &str) -> String {
    StarFile::parse(text).expect_err("a text that breaks the dialect").to_string()
}

#[test]
fn errors_name_the_line() {
    for (text, message) in [
        ("data_\nloop_\n_a #1\n_b #2\n1 2\n1 2 3\n", "line 6: the row has 3 cells, the loop names 2 columns"),
        ("data_\nloop_\n_a #1\n_b #2\n1\n", "line 5: the row has 1 cells, the loop names 2 columns"),
        ("data_\nloop_\n_a #1\n_a #2\n", "line 4: label `_a` stands twice in the block, first on line 3"),
        ("data_\nloop_\n_a\n1\n\n2\n", "line 6: a row follows a blank line, where the table has ended"),
        ("data_\nloop_\n_a\n'1\n", "line 4: a quote is not closed on its line"),
        ("data_\nloop_\n1 2\n", "line 3: a `loop_` without labels"),
        ("data_\nloop_\n", "line 1: a `loop_` without labels"),
        ("data_\n1 2\n", "line 2: a row without a `loop_` and labels above it"),
        ("data_\n_a 1\nloop_\n_b\n", "line 3: a block holds more than one table"),
        ("data_\n_a 1 2\n", "line 2: `_a` has 2 values where one belongs"),
        ("data_\n_a\n;text\n;\n", "line 3: text over several lines (between semicolons) is not read"),
        ("data_\n_ 1\n", "line 2: a label without a name"),
        ("hello world\n", "line 1: `hello world` stands before the first `data_` line: not a STAR file"),
        ("_a 1\n", "line 1: `_a 1` stands before the first `data_` line: not a STAR file"),
        ("\n# nothing\n", "line 1: no `data_` line: not a STAR file, or an empty one"),
        ("", "line 1: no `data_` line: not a STAR file, or an empty one"),
        ("data_\nloop_\n_a\n\0\n", "line 4: not a text file in UTF-8"),
    ] {
        assert_eq!(refusal(text), message, "{text:?}");
    }
}

#[test]
fn what_is_missing_is_told_with_what_is_there() {
    let file = StarFile::parse("data_optics\nloop_\n_rlnVoltage\nfast\n2.5\n\ndata_particles\n_a 1\n").expect("STAR");
    assert_eq!(
        file.block("particle").expect_err("none").to_string(),
        "no block `data_particle`; there are `data_optics`, `data_particles`"
    );
    let optics = file.block("optics").expect("there");
    assert_eq!(
        optics.column("rlnImageSize").expect_err("none").to_string(),
        "line 1: no label `_rlnImageSize` in `data_optics`; there are `_rlnVoltage`"
    );
    let voltage = optics.column("_rlnVoltage").expect("with or without underscore");
    assert_eq!(voltage.number(0).expect_err("text").to_string(), "line 4: `_rlnVoltage` is `fast`, not a number");
    assert_eq!(voltage.integer(1).expect_err("fraction").to_string(), "line 5: `_rlnVoltage` is `2.5`, not a whole number");
    let twice = StarFile::parse("data_a\n\ndata_a\n").expect("STAR");
    assert_eq!(twice.block("a").expect_err("two").to_string(), "line 3: a second block `data_a`");
}

#[test]
fn a_file_that_is_no_text_is_refused_with_its_line() {
    let path = std::env::temp_dir().join(format!("starfile-latin1-{}.star", std::process::id()));
    std::fs::write(&path, b"data_\nloop_\n_a\n\xe9\n").expect("a writable folder");
    let error = StarFile::read(&path).expect_err("Latin-1");
    std::fs::remove_file(&path).expect("it was written");
    assert_eq!(error.line(), Some(4));
    assert_eq!(error.culprit(), format!("{}, line 4", path.display()));
}

#[test]
fn line_ends_marks_comments_and_odd_labels_are_read() {
    let text =
        "\u{feff}# head\r\ndata_x\r\n\r\nloop_\r\n_a #1 [unit]\r\n_b#2\r\n# between\r\n 1 '5'-3'x y' # last\r\n# inside\r\n#2 \"\"\r\n\r\n";
    let file = StarFile::parse(text).expect("STAR");
    let block = file.block("x").expect("there");
    assert_eq!(block.labels().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(block.rows(), 1, "a line that begins with # is a comment");
    assert_eq!(block.column("b").expect("there").text(0), "5'-3'x y");
    let mut out = Vec::new();
    let value = |_: usize| "two words".to_owned();
    file.write_subset(&mut out, 0, &[0], &[SetColumn { label: "c", value: &value }]).expect("a vector takes everything");
    let out = String::from_utf8(out).expect("text");
    assert_eq!(
        out,
        "# head\ndata_x\n\nloop_\n_a #1 [unit]\n_b#2\n_c #3 \n# between\n 1 '5'-3'x y' \"two words\" # last\n# inside\n#2 \"\"\n\n"
    );
}

#[test]
fn a_comment_between_rows_stays_with_the_row_below() {
    let file = StarFile::parse("data_\nloop_\n_a\n1\n# of 2\n2\n3").expect("STAR");
    let written = |rows: &[usize]| {
        let mut out = Vec::new();
        file.write_subset(&mut out, 0, rows, &[]).expect("a vector takes everything");
        String::from_utf8(out).expect("text")
    };
    assert_eq!(written(&[1, 2]), "data_\nloop_\n_a\n# of 2\n2\n3\n");
    assert_eq!(written(&[2, 0]), "data_\nloop_\n_a\n3\n1\n");
    assert_eq!(written(&[]), "data_\nloop_\n_a\n");
}

#[test]
fn pairs_are_one_row() {
    let file =
        StarFile::parse("data_job\n\n_rlnJobTypeLabel   relion.external\n_rlnEmpty  \"\"\n_rlnNothing\n_rlnJobIsContinue  1 # yes\n")
            .expect("STAR");
    let job = file.block("job").expect("there");
    assert!(!job.is_loop());
    assert_eq!(job.rows(), 1);
    assert_eq!(job.value("rlnJobTypeLabel").expect("there"), "relion.external");
    assert_eq!(job.value("rlnEmpty").expect("there"), "");
    assert_eq!(job.value("rlnNothing").expect("there"), "");
    assert_eq!(job.column("rlnJobIsContinue").expect("there").integer(0).expect("a number"), 1);
}

#[test]
fn versions_are_those_above_the_block() {
    let file =
        StarFile::parse("# version 30001\n\ndata_a\n# version 30002\nloop_\n_x\n1\n\n# version 50001\ndata_b\n\ndata_c\n").expect("STAR");
    assert_eq!(file.blocks().map(|block| starfile::Block::version(&block)).collect::<Vec<_>>(), [Some(30001), Some(50001), None]);
}

#[test]
fn what_is_built_is_read() {
    let text = Builder::new(Some(50001))
        .pairs("general", [("rlnNumber", "1"), ("rlnText", "two words"), ("rlnEmpty", "")])
        .table("rows", &["rlnName", "rlnValue"], [["_x", "say \"so\""], ["#1", "3"]])
        .finish();
    let file = StarFile::parse(text).expect("STAR");
    assert_eq!(file.block("general").expect("there").value("rlnText").expect("there"), "two words");
    let rows = file.block("rows").expect("there");
    assert_eq!(rows.version(), Some(50001));
    assert_eq!(rows.column("rlnName").expect("there").texts().collect::<Vec<_>>(), ["_x", "#1"]);
    assert_eq!(rows.column("rlnValue").expect("there").text(0), "say \"so\"");
    assert_eq!(quoted("plain"), "plain");
}
