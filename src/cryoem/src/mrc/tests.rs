use super::*;
use ::mrc::Header;
use std::fs;

/// A file of given header changes and value bytes.
fn file(folder: &Path, name: &str, change: impl Fn(&mut Header), extended: usize, values: &[u8]) -> PathBuf {
    let mut header = Header::new();
    (header.nx, header.ny, header.nz) = (2, 2, 2);
    (header.mx, header.my, header.mz) = (2, 2, 2);
    (header.xlen, header.ylen, header.zlen) = (3.0, 3.0, 3.0);
    header.nsymbt = extended as i32;
    change(&mut header);
    let mut bytes = [0; 1024];
    header.encode_to_bytes(&mut bytes);
    let path = folder.join(name);
    fs::write(&path, [&bytes[..], &vec![0xAB; extended], values].concat()).unwrap();
    path
}

const EXPECTED: [f32; 8] = [0.0, 1.0, -2.0, 3.0, 100.0, 5.0, 6.0, 7.5];

fn values(path: &Path) -> Vec<f32> {
    read_volume(path).unwrap().data.into_raw_vec_and_offset().0
}

#[test]
fn modes_and_byte_orders() {
    let folder = tempfile::tempdir().unwrap();
    let singles: Vec<u8> = EXPECTED.iter().flat_map(|v| v.to_le_bytes()).collect();
    let path = file(folder.path(), "single.mrc", |_| {}, 0, &singles);
    assert_eq!(values(&path), EXPECTED);
    assert!((read_volume(&path).unwrap().apix - 1.5).abs() < 1e-9);

    let path = file(folder.path(), "extended.mrc", |_| {}, 160, &singles);
    assert_eq!(values(&path), EXPECTED);

    let big: Vec<u8> = EXPECTED.iter().flat_map(|v| v.to_be_bytes()).collect();
    let path = file(folder.path(), "big.mrc", |h| h.set_file_endian(::mrc::FileEndian::BigEndian), 12, &big);
    assert_eq!(values(&path), EXPECTED);

    let halves: Vec<u8> = EXPECTED.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
    let path = file(folder.path(), "half.mrc", |h| h.mode = 12, 0, &halves);
    assert_eq!(values(&path), EXPECTED);

    let whole = EXPECTED.map(f32::trunc);
    let path = file(folder.path(), "i8.mrc", |h| h.mode = 0, 0, &whole.map(|v| (v as i8).cast_unsigned()));
    assert_eq!(values(&path), whole);
    let shorts: Vec<u8> = whole.iter().flat_map(|v| (*v as i16).to_be_bytes()).collect();
    let change = |h: &mut Header| {
        h.mode = 1;
        h.set_file_endian(::mrc::FileEndian::BigEndian);
    };
    assert_eq!(values(&file(folder.path(), "i16.mrc", change, 0, &shorts)), whole);
    let unsigned: Vec<u8> = whole.iter().flat_map(|v| (v.abs() as u16 + 40000).to_le_bytes()).collect();
    assert_eq!(values(&file(folder.path(), "u16.mrc", |h| h.mode = 6, 0, &unsigned)), whole.map(|v| v.abs() + 40000.0));
}

#[test]
fn a_map_s_place_is_its_origin_or_its_start() {
    let folder = tempfile::tempdir().unwrap();
    let singles: Vec<u8> = EXPECTED.iter().flat_map(|v| v.to_le_bytes()).collect();
    let start = |h: &mut Header| (h.nxstart, h.nystart, h.nzstart) = (-10, 0, 4);
    let path = file(folder.path(), "start.mrc", start, 0, &singles);
    assert_eq!(read_origin(&path).unwrap(), [-15.0, 0.0, 6.0]);
    let turned = |h: &mut Header| {
        start(h);
        (h.mapc, h.mapr, h.maps) = (3, 2, 1);
    };
    assert_eq!(read_origin(&file(folder.path(), "turned.mrc", turned, 0, &singles)).unwrap(), [6.0, 0.0, -15.0]);
    let given = |h: &mut Header| {
        start(h);
        h.origin = [1.0, -2.5, 0.0];
    };
    assert_eq!(read_origin(&file(folder.path(), "origin.mrc", given, 0, &singles)).unwrap(), [1.0, -2.5, 0.0]);
    let again = folder.path().join("again.mrc");
    write_volume_at(&again, &read_volume(&path).unwrap(), [3.0, 4.5, -1.0]).unwrap();
    assert_eq!(read_origin(&again).unwrap(), [3.0, 4.5, -1.0]);
    assert_eq!(read_volume(&again).unwrap(), read_volume(&path).unwrap());
}

#[test]
fn headers_without_stamp_cell_or_axes_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let bare = |h: &mut Header| {
        (h.map, h.machst) = ([0; 4], [0; 4]);
        (h.mx, h.my, h.mz, h.mapc, h.mapr, h.maps) = (0, 0, 0, 0, 0, 0);
        (h.xlen, h.ylen, h.zlen) = (0.0, 0.0, 0.0);
        h.nlabl = 77;
    };
    let singles: Vec<u8> = EXPECTED.iter().flat_map(|v| v.to_le_bytes()).collect();
    let path = file(folder.path(), "bare.mrcs", bare, 0, &singles);
    assert_eq!(values(&path), EXPECTED);
    assert_eq!(StackReader::open(&path).unwrap().apix(), None);
    assert!(read_volume(&path).unwrap().apix.abs() < f64::EPSILON);

    // Big-endian without a stamp: sizes and mode make sense in one order only.
    let singles: Vec<u8> = EXPECTED.iter().flat_map(|v| v.to_be_bytes()).collect();
    let path = file(folder.path(), "bare-big.mrcs", |h| h.set_file_endian(::mrc::FileEndian::BigEndian), 0, &singles);
    let mut bytes = fs::read(&path).unwrap();
    bytes[208..216].fill(0);
    fs::write(&path, bytes).unwrap();
    assert_eq!(values(&path), EXPECTED);
}

#[test]
fn axes_are_put_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let change = |h: &mut Header| {
        (h.nx, h.ny, h.nz) = (2, 3, 1);
        (h.mapc, h.mapr, h.maps) = (3, 1, 2);
        (h.mx, h.my, h.mz) = (3, 1, 2);
        (h.xlen, h.ylen, h.zlen) = (6.0, 2.0, 4.0);
    };
    let bytes: Vec<u8> = (0..6).flat_map(|v| (v as f32).to_le_bytes()).collect();
    let v = read_volume(&file(folder.path(), "turned.mrc", change, 0, &bytes)).unwrap();
    // Columns run along z, rows along x, sections along y.
    assert_eq!(v.data.dim(), (2, 1, 3));
    assert_eq!(v.data.iter().copied().collect::<Vec<_>>(), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    assert!((v.apix - 2.0).abs() < 1e-9);
}

#[test]
fn refusals_name_the_file_and_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &Path, words: &[&str]| {
        let text = read_volume(path).unwrap_err().to_string();
        assert!(text.contains(path.to_str().unwrap()), "{text}");
        words.iter().for_each(|w| assert!(text.contains(w), "{w} is missing in: {text}"));
    };
    refused(&file(folder.path(), "cut.mrc", |_| {}, 16, &[0; 31]), &["truncated", "1072 bytes expected", "1071 found"]);
    refused(&file(folder.path(), "complex.mrc", |h| h.mode = 4, 0, &[0; 64]), &["mode 4"]);
    refused(&file(folder.path(), "size.mrc", |h| h.nx = -3, 0, &[]), &["-3 × 2 × 2"]);
    refused(&file(folder.path(), "extended.mrc", |h| h.nsymbt = -1, 0, &[0; 32]), &["extended header of -1"]);
    refused(&file(folder.path(), "lying.mrc", |h| (h.nx, h.ny, h.nz) = (1 << 20, 1 << 20, 1 << 20), 0, &[0; 32]), &["truncated"]);
    refused(&file(folder.path(), "slanted.mrc", |h| h.zlen = 4.0, 0, &[0; 32]), &["no cubes", "2.0000 Å"]);
    let short = folder.path().join("short.mrc");
    fs::write(&short, [1; 100]).unwrap();
    refused(&short, &["1024 bytes expected", "100 found"]);
    fs::write(&short, []).unwrap();
    refused(&short, &["0 found"]);
    refused(&folder.path().join("missing.mrc"), &["No such file"]);
    refused(folder.path(), &["not a file"]);
}

#[test]
fn suffixes_of_the_image_library_are_removed() {
    assert_eq!(plain_path(Path::new("a/b.mrc:mrcs")), Path::new("a/b.mrc"));
    assert_eq!(plain_path(Path::new("a/b.mrcs")), Path::new("a/b.mrcs"));
    assert_eq!(plain_path(Path::new("a:b/c.st:mrc")), Path::new("a:b/c.st"));
}

#[test]
fn volumes_come_back_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.mrc");
    let data = Array3::from_shape_fn((4, 4, 4), |(z, y, x)| (z * 100 + y * 10 + x) as f32 + 0.25);
    let volume = Volume { data, apix: 1.37 };
    write_volume(&path, &volume).unwrap();
    let back = read_volume(&path).unwrap();
    assert_eq!(back.data, volume.data);
    assert!((back.apix - 1.37).abs() < 1e-6);
    let header = Header::decode_from_bytes(fs::read(&path).unwrap().first_chunk().unwrap());
    header.validate_detailed().unwrap();
    let s = volume.statistics();
    assert_eq!((header.dmin, header.dmax), (s.min, s.max));
    assert!((f64::from(header.dmean) - s.mean).abs() < 1e-4 && (f64::from(header.rms) - s.std).abs() < 1e-4);
    assert_eq!((header.ispg, header.mz, header.nzstart), (1, 4, 0));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    assert!(write_volume(&path, &Volume::zeros(4, 0.0)).is_err());
    assert!(write_volume(&folder.path().join("none/v.mrc"), &volume).unwrap_err().to_string().contains("none/v.mrc"));
}

#[test]
fn stacks_come_back_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let images: Vec<f32> = (0..3 * 16).map(|v| v as f32).collect();
    for values in [Values::Single, Values::Half] {
        let path = folder.path().join("s.mrcs");
        write_stack(&path, &images, 4, 2.5, values).unwrap();
        let stack = StackReader::open(&folder.path().join("s.mrcs:mrcs")).unwrap();
        assert_eq!((stack.len(), stack.box_px().unwrap(), stack.apix()), (3, 4, Some(2.5)));
        let mut out = vec![0.0; 16];
        stack.read_into(2, &mut out).unwrap();
        assert_eq!(out, images[32..]);
        let text = stack.read_into(3, &mut out).unwrap_err().to_string();
        assert!(text.contains("has 3 images, image 4 was asked for"), "{text}");
        let header = Header::decode_from_bytes(fs::read(&path).unwrap().first_chunk().unwrap());
        header.validate_detailed().unwrap();
        assert_eq!((header.ispg, header.mz), (0, 1));
    }
    let mut writer = StackWriter::create(&folder.path().join("t.mrcs"), 2, 4, 1.0, Values::Single).unwrap();
    writer.push(&images[..16]).unwrap();
    assert!(writer.push(&images[..15]).is_err());
    assert!(writer.finish().is_err());
    assert!(!folder.path().join("t.mrcs").exists());
}
