//! Golden files of the original: finding them, reading them, comparing with them, and the weights that they were made with.

use safetensors::{Dtype, SafeTensors};
use std::collections::HashMap;
use std::path::PathBuf;
use tch::nn::VarStore;
use tch::{Kind, Tensor};

/// A golden file.
pub(crate) struct Case {
    /// File stem.
    pub(crate) name: String,
    tensors: HashMap<String, Tensor>,
    metadata: HashMap<String, String>,
}

/// The folder named by `GOLDEN_DIR`, by default the project's own copy.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("GOLDEN_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/golden"), PathBuf::from)
}

/// All cases whose name starts so; a test without a case is a failure.
pub(crate) fn cases(prefix: &str) -> Vec<Case> {
    let folder = folder();
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .filter(|path| path.file_stem().unwrap().to_str().unwrap().starts_with(prefix))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no golden case `{prefix}*` in {}", folder.display());
    paths.iter().map(|path| Case::read(path)).collect()
}

impl Case {
    fn read(path: &std::path::Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = |name: &str| {
            let view = file.tensor(name).unwrap();
            let kind = match view.dtype() {
                Dtype::F32 => Kind::Float,
                Dtype::F64 => Kind::Double,
                Dtype::F16 => Kind::Half,
                Dtype::I64 => Kind::Int64,
                Dtype::U8 => Kind::Uint8,
                other => panic!("{name}: unexpected type {other:?}"),
            };
            let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
            Tensor::from_data_size(view.data(), &shape, kind)
        };
        Self {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            tensors: file.names().into_iter().map(|name| (name.to_string(), tensor(name))).collect(),
            metadata: header.metadata().clone().unwrap_or_default(),
        }
    }

    /// A tensor, half precision widened.
    pub(crate) fn tensor(&self, name: &str) -> Tensor {
        let tensor = self.tensors.get(name).unwrap_or_else(|| panic!("{} has no `{name}`", self.name));
        if tensor.kind() == Kind::Half { tensor.to_kind(Kind::Float) } else { tensor.shallow_clone() }
    }

    /// Whether a tensor is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> f64 {
        self.tensor(name).to_kind(Kind::Double).reshape([-1]).double_value(&[0])
    }

    /// A list of whole numbers.
    pub(crate) fn integers(&self, name: &str) -> Vec<i64> {
        Vec::<i64>::try_from(self.tensor(name).to_kind(Kind::Int64).reshape([-1])).unwrap()
    }

    /// A list of numbers.
    pub(crate) fn numbers(&self, name: &str) -> Vec<f64> {
        Vec::<f64>::try_from(self.tensor(name).to_kind(Kind::Double).reshape([-1])).unwrap()
    }

    /// A number of the file's metadata.
    pub(crate) fn meta(&self, name: &str) -> f64 {
        self.metadata[name].parse().unwrap()
    }

    /// A flag of the file's metadata.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.metadata[name] == "True"
    }

    /// A list of the file's metadata.
    pub(crate) fn meta_list(&self, name: &str) -> Vec<i64> {
        self.metadata[name].trim_matches(['[', ']']).split(',').map(|n| n.trim().parse().unwrap()).collect()
    }

    /// Compares with the named tensor (or, where only that is stored, its summary) by relative L2 norm.
    pub(crate) fn check(&self, name: &str, got: &Tensor, tolerance: f64) {
        let got = got.detach().to_kind(Kind::Double);
        if self.has(name) {
            let want = self.tensor(name).to_kind(Kind::Double);
            assert_eq!(got.numel(), want.numel(), "{} `{name}`: {:?} against {:?}", self.name, got.size(), want.size());
            self.compare(name, &got.reshape(want.size()), &want, tolerance);
            return;
        }
        assert_eq!(got.numel() as i64, self.integers(&format!("{name}.shape")).iter().product::<i64>(), "{} `{name}`: size", self.name);
        let flat = got.reshape([-1]);
        let values = flat.index_select(0, &self.tensor(&format!("{name}.pos")));
        self.compare(name, &values, &self.tensor(&format!("{name}.val")).to_kind(Kind::Double), tolerance);
        let stats = self.numbers(&format!("{name}.stats"));
        let norm = flat.norm().double_value(&[]);
        assert!((norm - stats[2]).abs() <= tolerance * stats[2], "{} `{name}`: norm {norm} against {}", self.name, stats[2]);
        let mean = flat.mean(Kind::Double).double_value(&[]);
        assert!(
            (mean - stats[0]).abs() <= tolerance * (stats[0].abs() + stats[1]),
            "{} `{name}`: mean {mean} against {}",
            self.name,
            stats[0]
        );
    }

    fn compare(&self, name: &str, got: &Tensor, want: &Tensor, tolerance: f64) {
        let error = (got - want).norm().double_value(&[]) / want.norm().double_value(&[]).max(f64::MIN_POSITIVE);
        println!("{:14} {name:44} relative error {error:.1e} (allowed {tolerance:.0e})", self.name);
        assert!(error <= tolerance, "{} `{name}`: relative error {error:.2e} above {tolerance:.0e}", self.name);
    }

    /// Compares two numbers.
    pub(crate) fn check_number(&self, name: &str, got: f64, want: f64, tolerance: f64) {
        let error = (got - want).abs() / want.abs().max(f64::MIN_POSITIVE);
        assert!(error <= tolerance, "{} `{name}`: {got} against {want}, relative error {error:.2e}", self.name);
    }
}

/// Fills a network (`encoder` or `decoder`) with the weights that the golden numbers were made with; see the golden files' README.
pub(crate) fn fill(store: &VarStore, network: &str) {
    let text = std::fs::read_to_string(folder().join("params.json")).unwrap();
    let params: serde_json::Value = serde_json::from_str(&text).unwrap();
    let salt = params[format!("{network}_salt")].as_u64().unwrap();
    let mut variables = store.variables();
    for entry in params[network].as_array().unwrap() {
        let (index, scale) = (entry["i"].as_u64().unwrap(), entry["scale"].as_f64().unwrap() as f32);
        let name = entry["name"].as_str().unwrap();
        let mut variable = variables.remove(name).unwrap_or_else(|| panic!("the {network} has no parameter `{name}`"));
        let shape: Vec<i64> = entry["shape"].as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect();
        assert_eq!(variable.size(), shape, "`{name}`");
        let start = (salt << 56) | (index << 40);
        let values: Vec<f32> = (0..variable.numel() as u64).map(|k| unit(start.wrapping_add(k)) * scale).collect();
        tch::no_grad(|| variable.copy_(&Tensor::from_slice(&values).view(shape.as_slice())));
    }
    assert!(variables.is_empty(), "the {network} has parameters that the original has not: {:?}", variables.keys());
}

fn unit(x: u64) -> f32 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let z = z ^ (z >> 31);
    ((z >> 40) as f64 * 2f64.powi(-23) - 1.0) as f32
}

#[test]
fn weights_are_those_of_the_readme() {
    let at = |salt: u64, i: u64, k: u64| unit(((salt << 56) | (i << 40)) + k);
    assert_eq!(at(1, 0, 0), 0.577_563_4);
    assert_eq!(at(1, 1, 3), 0.596_437_8);
    assert_eq!(at(2, 17, 2), -0.212_932_47);
}
