//! Files of PyTorch are read, and nothing in any of them is run, repeated or taken from elsewhere.

use super::{TorchFile, contents};
use crate::legacy::{StorageName, Value, View};
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/legacy").join(name)
}

/// Shape and values of a tensor in a file.
fn tensor(file: &TorchFile, name: &str) -> (Vec<usize>, Vec<f64>) {
    let Some(Value::Tensor(view)) = file.value().get(name) else { panic!("no tensor {name}") };
    let array = file.array(view).unwrap();
    (array.shape.clone(), array.to_f64().unwrap())
}

#[test]
fn both_formats_are_read() {
    for name in ["torch.pkl", "torch_old.pkl"] {
        let file = TorchFile::open(&fixture(name)).unwrap();
        let read = |name| tensor(&file, name);
        assert_eq!(read("mu"), (vec![4, 3], vec![0., 1., 2., 6., 7., 8., 12., 13., 14., 18., 19., 20.]));
        assert_eq!(read("part"), (vec![3, 2], vec![8., 9., 14., 15., 20., 21.]));
        let (shape, turned) = read("turned");
        assert_eq!((shape, &turned[..5]), (vec![6, 4], &[0., 6., 12., 18., 1.][..]));
        assert_eq!(read("learned"), (vec![2], vec![0.5, 0.5]));
        assert_eq!(read("double"), (vec![], vec![2.25]));
        assert_eq!(read("half"), (vec![2], vec![1.5, -2.0]));
        assert_eq!(read("whole"), (vec![2], vec![1.0, -(2f64.powi(40))]));
        assert_eq!(read("yes"), (vec![2], vec![1.0, 0.0]));
        assert_eq!(read("nothing"), (vec![0, 3], vec![]));
        let layers = file.value().get("inner").and_then(|inner| inner.get("layers")).unwrap();
        assert!(matches!(layers.get("weight"), Some(Value::Tensor(_))), "{layers:?}");
        assert!(matches!(file.value().get("nn"), Some(Value::List(items)) if items.len() == 4));
    }
}

/// A file in a zip archive as PyTorch lays it out, `method` 0 for stored; sizes as claimed.
fn zip(entries: &[(&str, &[u8])], method: u8, claimed: impl Fn(usize) -> u32) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let at = file.len() as u32;
        let sizes = [(data.len() as u32).to_le_bytes(), claimed(data.len()).to_le_bytes()].concat();
        let common = [&[0, 0, 0, 0, method, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &sizes, &(name.len() as u16).to_le_bytes(), &[0, 0]].concat();
        file.extend([b"PK\x03\x04", &common[..], name.as_bytes(), data].concat());
        directory.extend([b"PK\x01\x02", &[0, 0][..], &common, &[0; 10], &at.to_le_bytes(), name.as_bytes()].concat());
    }
    let (start, count) = (file.len() as u32, (entries.len() as u16).to_le_bytes());
    let length = (directory.len() as u32).to_le_bytes();
    file.extend(directory);
    file.extend([b"PK\x05\x06\0\0\0\0", &count[..], &count, &length, &start.to_le_bytes(), &[0, 0]].concat());
    file
}

fn stored(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    zip(&[("archive/data.pkl", pickle), ("archive/data/0", storage), ("archive/version", b"3\n")], 0, |n| n as u32)
}

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn number(n: i32) -> Vec<u8> {
    [b"J", &n.to_le_bytes()[..]].concat()
}

fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(", &items.concat()[..], b"t"].concat()
}

fn numbers(items: &[i32]) -> Vec<u8> {
    tuple(&items.iter().map(|n| number(*n)).collect::<Vec<_>>())
}

fn storage(kind: &str, class: &str, count: i32) -> Vec<u8> {
    [&tuple(&[text(kind), global("torch", class), text("0"), text("cpu"), number(count)])[..], b"Q"].concat()
}

/// `{"mu": tensor}` of a storage of `count` floats.
fn of_tensor(storage: &[u8], offset: i32, shape: &[i32], strides: &[i32]) -> Vec<u8> {
    let arguments = tuple(&[storage.to_vec(), number(offset), numbers(shape), numbers(strides), b"\x89".to_vec()]);
    let call = [&global("torch._utils", "_rebuild_tensor_v2")[..], &arguments, b"R"].concat();
    [b"\x80\x02}", &text("mu")[..], &call, b"s."].concat()
}

fn refusal(bytes: &[u8]) -> String {
    contents(bytes).map(|(value, _)| panic!("{value:?} was read")).unwrap_or_else(|problem| problem.to_string())
}

#[test]
fn the_archives_made_here_are_what_pytorch_would_read() {
    let bytes = stored(&of_tensor(&storage("storage", "FloatStorage", 4), 1, &[2], &[2]), &[0; 16]);
    let (value, storages) = contents(&bytes).unwrap();
    let Some(Value::Tensor(View { storage: StorageName::Named(name), shape, .. })) = value.get("mu") else { panic!("{value:?}") };
    assert_eq!((shape.as_slice(), storages[name].len()), (&[2][..], 16));
}

#[test]
fn nothing_that_a_pickle_asks_for_is_run() {
    let run = |callee: Vec<u8>| [&callee[..], &tuple(&[text("touch torch-was-run")]), b"R"].concat();
    let whole = |part: Vec<u8>| [b"\x80\x02}", &text("model_state_dict")[..], &part, b"s."].concat();
    let stack_global = [&text("posix")[..], &text("system"), b"\x93"].concat();
    for (part, expected) in [
        (run(global("os", "system")), "asks for `os.system`"),
        (run(global("builtins", "eval")), "asks for `builtins.eval`"),
        (run(stack_global), "asks for `posix.system`"),
        (run(global("torch._utils", "_rebuild_device_tensor_from_numpy")), "asks for `torch._utils._rebuild_device_tensor_from_numpy`"),
        (run(global("torch", "load")), "asks for `torch.load`"),
        (run(global("torch", "BFloat16Storage")), "asks for `torch.BFloat16Storage`"),
        (run(global("collections", "OrderedDict")), "calls a name in an unknown way"),
        (run(global("builtins", "bytes")), "calls a name in an unknown way"),
        (run(global("torch", "FloatStorage")), "calls a name in an unknown way"),
        ([&global("torch._utils", "_rebuild_tensor_v2")[..], &numbers(&[1, 2, 3, 4]), b"R"].concat(), "calls a name in an unknown way"),
        // A call hidden in the arguments of one that is known.
        ([&global("collections", "OrderedDict")[..], b"(", &run(global("os", "system")), b"tR"].concat(), "asks for `os.system`"),
        ([b"(", &text("id")[..], b"ios\nsystem\n"].concat(), "uses instruction 0x69"),
        ([b"(", &global("os", "system")[..], b"o"].concat(), "asks for `os.system`"),
        ([b"(", &text("x")[..], b"o"].concat(), "uses instruction 0x6f"),
        ([&global("collections", "OrderedDict")[..], b")\x81"].concat(), "uses instruction 0x81"),
        (b"\x82\x01".to_vec(), "uses instruction 0x82"),
        (b"\x84\x01\x00\x00\x00".to_vec(), "uses instruction 0x84"),
        (b"Pmodule\n".to_vec(), "uses instruction 0x50"),
        ([&number(3)[..], b"Q"].concat(), "a tuple is missing"),
        ([&tuple(&[text("storage")])[..], b"Q"].concat(), "refers to something in an unknown way"),
        (storage("module", "FloatStorage", 4), "refers to something that is no storage"),
        ([&tuple(&[text("storage"), text("x"), text("0"), text("cpu"), number(4)])[..], b"Q"].concat(), "is no storage"),
        (global("collections", "OrderedDict"), "holds a name or a type as a value"),
    ] {
        let said = refusal(&stored(&whole(part), &[0; 16]));
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!Path::new("torch-was-run").exists());
    assert!(refusal(&std::fs::read(fixture("refused_bfloat.pkl")).unwrap()).contains("asks for `torch.BFloat16Storage`"));
}

#[test]
fn tensors_outside_of_their_storages_are_refused() {
    let floats = |count| storage("storage", "FloatStorage", count);
    for (pickle, expected) in [
        (of_tensor(&floats(4), 0, &[5], &[1]), "does not lie in its storage of 4"),
        (of_tensor(&floats(4), 1, &[4], &[1]), "does not lie in its storage"),
        (of_tensor(&floats(4), 4, &[1], &[1]), "does not lie in its storage"),
        (of_tensor(&floats(4), 0, &[2], &[4]), "does not lie in its storage"),
        (of_tensor(&floats(4), 0, &[2, 2], &[1]), "does not lie in its storage"),
        // 2^60 elements in four by standing still.
        (of_tensor(&floats(4), 0, &[1 << 30, 1 << 30], &[0, 0]), "does not lie in its storage"),
        (of_tensor(&floats(4), 0, &[i32::MAX; 4], &[i32::MAX; 4]), "does not lie in its storage"),
        (of_tensor(&floats(4), -1, &[1], &[1]), "a tensor's offset is negative"),
        (of_tensor(&floats(4), 0, &[-2], &[1]), "a tensor's axis is negative"),
        (of_tensor(&floats(4), 0, &[2], &[-1]), "a tensor's stride is negative"),
        (of_tensor(&floats(-4), 0, &[2], &[1]), "a storage's length is negative"),
        (of_tensor(&floats(5), 0, &[2], &[1]), "storage `0` has 16 bytes, its tensor speaks of 5 elements"),
        (of_tensor(&storage("storage", "DoubleStorage", 4), 0, &[2], &[1]), "storage `0` has 16 bytes"),
    ] {
        let said = refusal(&stored(&pickle, &[0; 16]));
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let alone = zip(&[("archive/data.pkl", &of_tensor(&floats(4), 0, &[2], &[1]))], 0, |n| n as u32);
    assert!(refusal(&alone).contains("storage `0` is missing"));
}

#[test]
fn archives_that_pytorch_does_not_write_are_refused() {
    let pickle = of_tensor(&storage("storage", "FloatStorage", 4), 0, &[2], &[1]);
    let entries = [("archive/data.pkl", pickle.as_slice()), ("archive/data/0", &[0; 16])];
    let plain = |n: usize| n as u32;
    for (bytes, expected) in [
        (zip(&entries, 8, plain), "is compressed or encrypted"),
        (zip(&entries, 0, |n| 1000 * n as u32), "and claims"),
        (zip(&[entries[0], entries[1], entries[1]], 0, plain), "is in it twice"),
        (zip(&entries[1..], 0, plain), "no `data.pkl` in one folder"),
        (zip(&[entries[0], ("other/data.pkl", &pickle)], 0, plain), "no `data.pkl` in one folder"),
        (zip(&[entries[0], entries[1], ("archive/byteorder", b"big")], 0, plain), "little-endian"),
        (b"PK\x03\x04".to_vec(), "it ends too early"),
        (b"plain text".to_vec(), "no file that `torch.save` wrote"),
        (Vec::new(), "no file that `torch.save` wrote"),
    ] {
        let said = refusal(&bytes);
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn a_storage_in_a_storage_in_a_storage_is_refused() {
    let old = std::fs::read(fixture("torch_old.pkl")).unwrap();
    // A plain pickle may hold a file of PyTorch for a number; that file may not hold another one.
    let inner = |bytes: &[u8]| {
        let bytes = [b"B", &(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
        [&global("torch.storage", "_load_from_bytes")[..], &tuple(&[bytes]), b"R."].concat()
    };
    let said = crate::legacy::parse(&inner(&old)).unwrap_err().to_string();
    assert!(said.contains("a storage is missing"), "{said}");
    let magic = &old[..15];
    let header = &old[..old.iter().position(|b| *b == b'}').unwrap()];
    assert_eq!(&header[..15], magic);
    let nested = [magic, b"\x80\x02M\xe9\x03.", b"\x80\x02}", &text("little_endian"), b"\x88s.", b"\x80\x02", &inner(&old)].concat();
    let said = crate::legacy::parse(&inner(&nested)).unwrap_err().to_string();
    assert!(said.contains("calls a name in an unknown way"), "{said}");
    // A plain pickle refers to nothing outside of it.
    let said = crate::legacy::parse(&[&storage("storage", "FloatStorage", 4)[..], b"."].concat()).unwrap_err().to_string();
    assert!(said.contains("refers to what lies outside it"), "{said}");
}

#[test]
fn damage_of_any_kind_is_an_error_and_never_a_panic() {
    for name in ["torch.pkl", "torch_old.pkl"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        for length in (0..bytes.len()).step_by(7) {
            assert!(contents(&bytes[..length]).is_err(), "{name} cut after {length}");
        }
        let mut damaged = bytes.clone();
        for place in 0..bytes.len() {
            for turn in [0x01, 0x10, 0x80] {
                damaged[place] ^= turn;
                if let Ok((value, storages)) = contents(&damaged)
                    && let Some(Value::Tensor(view)) = value.get("mu")
                    && let StorageName::Named(name) = &view.storage
                    && let Some(range) = storages.get(name)
                {
                    let _ = view.gather(&damaged[range.clone()]);
                }
                damaged[place] = bytes[place];
            }
        }
    }
}
