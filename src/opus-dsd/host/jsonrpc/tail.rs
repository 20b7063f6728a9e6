//! The lines that a file grows by.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Longest line that is passed on, bytes; the rest of a longer one is left out.
const LONGEST: usize = 16 * 1024;
/// Most that is read at a time, bytes, so that a job that floods its log does not hold up the answers.
const MOST: usize = 256 * 1024;

/// A file that others append to, from where it ended at first.
pub(super) struct Tail {
    path: PathBuf,
    file: Option<File>,
    begin: u64,
    part: Vec<u8>,
}

impl Tail {
    /// Begins at the file's present end; a file that is not there yet is read from its beginning when it is.
    pub(super) fn at_end(path: &Path) -> Self {
        let begin = std::fs::metadata(path).map_or(0, |m| m.len());
        Self { path: path.to_path_buf(), file: None, begin, part: Vec::new() }
    }

    /// Lines since the last call; `true`: there may be more at once.
    pub(super) fn lines(&mut self) -> (Vec<String>, bool) {
        let mut lines = Vec::new();
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
            if let Some(file) = &mut self.file {
                // A file that is shorter than it was is another file.
                let begin = if file.metadata().is_ok_and(|m| m.len() >= self.begin) { self.begin } else { 0 };
                let _ = file.seek(SeekFrom::Start(begin));
            }
        }
        let Some(file) = &mut self.file else { return (lines, false) };
        let mut buffer = vec![0; MOST];
        // A disk that cannot be read for a moment is read at the next call.
        let read = file.read(&mut buffer).unwrap_or(0);
        for piece in buffer[..read].split_inclusive(|&b| b == b'\n') {
            let room = LONGEST.saturating_sub(self.part.len());
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            self.part.extend_from_slice(&text[..text.len().min(room)]);
            if piece.len() > text.len() {
                lines.push(self.take());
            }
        }
        (lines, read == MOST)
    }

    /// What the file ends with after its last whole line.
    pub(super) fn rest(&mut self) -> Option<String> {
        (!self.part.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.part)).trim_end_matches('\r').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use std::io::Write;

    #[test]
    fn only_what_is_new_and_whole_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.out");
        let append = |text: &str| OpenOptions::new().create(true).append(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();
        append("before\n");
        let mut tail = Tail::at_end(&path);
        assert_eq!(tail.lines().0, Vec::<String>::new());
        append("one\ntw");
        assert_eq!(tail.lines().0, ["one"]);
        append("o\nthree");
        assert_eq!(tail.lines().0, ["two"]);
        assert_eq!(tail.rest().unwrap(), "three");
        append(&format!("{}\nend\n", "x".repeat(LONGEST + 7)));
        let lines = tail.lines().0;
        assert_eq!((lines[0].len(), lines[1].as_str()), (LONGEST, "end"));
    }

    #[test]
    fn a_file_that_comes_later_is_read_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.out");
        let mut tail = Tail::at_end(&path);
        assert_eq!(tail.lines(), (vec![], false));
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(tail.lines().0, ["one"]);
    }
}
