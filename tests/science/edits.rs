//! Sets with fewer particles, or with a fault in what the STAR file or the stack says.

#![allow(dead_code, reason = "each test program uses a part")]

use crate::runs;
use std::path::{Path, PathBuf};

/// A row of the particles' table.
pub(crate) struct Row<'a> {
    labels: &'a [String],
    cells: Vec<String>,
}

impl Row<'_> {
    fn place(&self, label: &str) -> usize {
        self.labels.iter().position(|l| l == label).unwrap()
    }

    pub(crate) fn number(&self, label: &str) -> f64 {
        self.cells[self.place(label)].parse().unwrap()
    }

    pub(crate) fn set(&mut self, label: &str, value: f64) {
        let place = self.place(label);
        self.cells[place] = format!("{value:.6}");
    }
}

/// A copy of a set with its first particles, each row edited.
pub(crate) fn copy(set: &Path, name: &str, particles: usize, edit: impl Fn(&mut Row<'_>)) -> PathBuf {
    chosen(set, name, |row| row < particles, |_, row| edit(row))
}

/// A copy of a set with the chosen rows (from 0), each edited. Image stack and mask are linked; truth is cut to the same rows.
pub(crate) fn chosen(set: &Path, name: &str, choice: impl Fn(usize) -> bool, edit: impl Fn(usize, &mut Row<'_>)) -> PathBuf {
    let folder = runs::scratch(name);
    for file in ["particles.mrcs", "mask.mrc"] {
        std::os::unix::fs::symlink(set.join(file), folder.join(file)).unwrap();
    }
    let text = std::fs::read_to_string(set.join("particles.star")).unwrap();
    let (head, table) = text.split_once("\ndata_particles").unwrap();
    let mut labels = Vec::new();
    let (mut out, mut met) = (format!("{head}\ndata_particles"), 0);
    for line in table.lines() {
        if let Some(label) = line.strip_prefix('_') {
            labels.push(label.split_whitespace().next().unwrap().to_owned());
        }
        if line.contains(".mrcs") {
            let number = met;
            met += 1;
            if !choice(number) {
                continue;
            }
            let mut row = Row { labels: &labels, cells: line.split_whitespace().map(String::from).collect() };
            edit(number, &mut row);
            out.push_str(&row.cells.join(" "));
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    std::fs::write(folder.join("particles.star"), out).unwrap();
    let truth = std::fs::read_to_string(set.join("labels.csv")).unwrap();
    let rows: Vec<&str> = truth.lines().enumerate().filter(|(line, _)| *line == 0 || choice(line - 1)).map(|(_, text)| text).collect();
    std::fs::write(folder.join("labels.csv"), rows.join("\n")).unwrap();
    folder
}

/// Turns the sign of every pixel of a set's stack (32-bit numbers, no extended header).
pub(crate) fn turn_sign(set: &Path) {
    const HEADER: usize = 1024;
    let path = set.join("particles.mrcs");
    let mut bytes = std::fs::read(&path).unwrap();
    for value in bytes[HEADER..].chunks_exact_mut(4) {
        value[3] ^= 0x80;
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
}
