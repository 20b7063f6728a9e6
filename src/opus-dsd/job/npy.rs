//! Tables of numbers as NumPy files (`.npy`, version 1, little endian): latents and cluster centres. Written as 32-bit numbers in C order.

use super::atomic;
use contract::{Problem, Result};
use ndarray::{Array2, ArrayView2, ShapeBuilder};
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
/// The data begin at a multiple of this.
const ALIGNMENT: usize = 64;

/// Reads a table `[rows, columns]` of 32-bit or 64-bit numbers, in either order of the axes; a list is a table of one row.
///
/// # Errors
/// The file cannot be read, or is no such table.
pub(crate) fn read(path: &Path) -> Result<Array2<f32>> {
    let bytes = std::fs::read(path).map_err(|e| Problem::io(path, &e))?;
    let wrong = |what: &str| {
        Problem::input(format!("not a table of floating-point numbers: {what}"))
            .at(path.display().to_string())
            .hint("let the job write it again")
    };
    let body = bytes.strip_prefix(MAGIC).ok_or_else(|| wrong("no NumPy header of version 1"))?;
    let length = body.get(..2).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]]))).ok_or_else(|| wrong("cut off"))?;
    let header = body.get(2..2 + length).and_then(|h| std::str::from_utf8(h).ok()).ok_or_else(|| wrong("cut off"))?;
    let data = &body[2 + length..];
    let numbers: Vec<f32> = if header.contains("'<f4'") {
        data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    } else if header.contains("'<f8'") {
        data.chunks_exact(8).map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32).collect()
    } else {
        return Err(wrong("another type"));
    };
    let shape =
        header.split_once("'shape':").and_then(|(_, rest)| rest.split_once('(')).and_then(|(_, rest)| rest.split_once(')')).map(|(s, _)| s);
    let sides: Vec<usize> = shape.unwrap_or_default().split(',').filter_map(|s| s.trim().parse().ok()).collect();
    let (rows, columns) = match sides[..] {
        [columns] => (1, columns),
        [rows, columns] => (rows, columns),
        _ => return Err(wrong("neither a list nor a table")),
    };
    let shape = (rows, columns).set_f(header.contains("'fortran_order': True"));
    Array2::from_shape_vec(shape, numbers).map_err(|_| wrong("another size than its header says"))
}

/// Writes a table.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(path: &Path, table: ArrayView2<'_, f32>) -> Result<()> {
    let (rows, columns) = table.dim();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let unpadded = MAGIC.len() + 2 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(ALIGNMENT) - unpadded));
    header.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(table.iter().flat_map(|v| v.to_le_bytes()));
    atomic::write(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("z.npy");
        let table = Array2::from_shape_fn((3, 5), |(i, j)| i as f32 - 0.1 * j as f32);
        write(&path, table.view()).unwrap();
        assert_eq!(read(&path).unwrap(), table);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 128 + 60);
    }

    #[test]
    fn what_numpy_writes_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("z.npy");
        let file = |descr: &str, fortran: &str, shape: &str, numbers: &[u8]| {
            let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
            [MAGIC, &(header.len() as u16).to_le_bytes(), header.as_bytes(), numbers].concat()
        };
        let single: Vec<u8> = [1f32, 2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let double: Vec<u8> = [1f64, 2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        for (bytes, rows) in [
            (file("<f8", "False", "(2, 3)", &double), vec![vec![1.0, 2.0, 3.0], vec![4.0, 5.0, 6.0]]),
            (file("<f4", "True", "(2, 3)", &single), vec![vec![1.0, 3.0, 5.0], vec![2.0, 4.0, 6.0]]),
            (file("<f8", "False", "(6,)", &double), vec![vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let found = read(&path).unwrap();
            assert_eq!(found.outer_iter().map(|row| row.to_vec()).collect::<Vec<_>>(), rows);
        }
        for bytes in
            [file("<i4", "False", "(2, 3)", &single), file(">f4", "False", "(2, 3)", &single), file("<f4", "False", "(1, 2, 3)", &single)]
        {
            std::fs::write(&path, bytes).unwrap();
            assert!(read(&path).is_err());
        }
    }

    #[test]
    fn a_cut_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("z.npy");
        write(&path, Array2::zeros((4, 4)).view()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for length in [0, 7, 9, 40, bytes.len() - 3] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(read(&path).is_err(), "{length}");
        }
    }
}
