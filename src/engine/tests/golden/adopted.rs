//! A model of the original as a checkpoint: it encodes as the original did, and its maps are the original's.

use super::golden::cases;
use super::model;
use super::settings::{Sizes, decoder, encoder, encoder_mask, rotations, shifted};
use super::{CPU, ORIGINAL, start};
use contract::{AdoptSpec, BaseVolume, EncoderInput, MapForm, TrainSettings};
use opus_dsd_engine::adopt::adopt;
use opus_dsd_engine::assembly::Assembly;
use opus_dsd_engine::data::Batch;
use opus_dsd_engine::decode::map_of;
use opus_dsd_engine::model::volume::centre_crop;
use opus_dsd_engine::scene::from_volume;
use opus_dsd_engine::training::checkpoint::{Checkpoint, write_npy, write_tensors};
use std::collections::HashMap;
use tch::{Kind, Tensor};

const APIX: f64 = 3.0;

fn settings(sizes: &Sizes) -> TrainSettings {
    TrainSettings {
        numerics: ORIGINAL,
        base: BaseVolume::None,
        warm_start: None,
        encoder_input: EncoderInput::Image,
        bfactor: 4.0,
        logstd_bounds: (-20.0, 20.0),
        ..model::settings(sizes.layout())
    }
}

/// A cube in the centre of a larger one of zeros.
fn embedded(cube: &Tensor, side: i64) -> Tensor {
    let (own, whole) = (cube.size()[0], Tensor::zeros([side; 3], (Kind::Float, CPU)));
    centre_crop(&whole, own).copy_(cube);
    whole
}

/// The checkpoint of the golden weights with these masks, made in `folder` and read again.
fn adopted(folder: &std::path::Path, sizes: &Sizes, decoder_mask: &Tensor, encoder_mask: &Tensor) -> Assembly {
    let spec = AdoptSpec {
        weights: folder.join("w.safetensors"),
        fixed: folder.join("f.safetensors"),
        latents: folder.join("z.npy"),
        epoch: 7,
        size_px: sizes.render as usize,
        apix: APIX,
        settings: settings(sizes),
        checkpoints: folder.join("checkpoint"),
    };
    let mut weights: HashMap<String, Tensor> = HashMap::new();
    for (part, store) in [("encoder", encoder(sizes).store), ("decoder", decoder(sizes).store)] {
        weights.extend(store.variables().into_iter().map(|(name, tensor)| (format!("{part}.{name}"), tensor)));
    }
    write_tensors(&spec.weights, &weights).unwrap();
    let fixed = HashMap::from([
        ("mask".to_owned(), embedded(decoder_mask, sizes.render)),
        ("encoder_mask".into(), encoder_mask.shallow_clone()),
        ("image_scale".into(), Tensor::from_slice(&[1.0])),
    ]);
    write_tensors(&spec.fixed, &fixed).unwrap();
    write_npy(&spec.latents, &Tensor::zeros([5, 4], (Kind::Float, CPU))).unwrap();
    weights.remove("encoder.mu.bias");
    let mut broken = spec.clone();
    broken.weights = folder.join("broken.safetensors");
    write_tensors(&broken.weights, &weights).unwrap();
    let problem = adopt(&broken).unwrap_err().to_string();
    assert!(problem.contains("`encoder.mu.bias` is missing"), "{problem}");
    let checkpoint = Checkpoint::load(&adopt(&spec).unwrap()).unwrap();
    assert!(checkpoint.bank.is_none() && checkpoint.moments.is_empty() && checkpoint.position.score.is_none());
    assert_eq!((checkpoint.position.epoch, checkpoint.data.particles), (7, 5));
    Assembly::of_checkpoint(&checkpoint, CPU).unwrap()
}

#[test]
fn an_adopted_model_encodes_and_decodes_as_the_original() {
    start();
    let case = cases("d_encoder").into_iter().find(|case| case.flag("has_mask")).unwrap();
    let sizes = Sizes::of(&case);
    let masks = (sizes.decoder_mask(&case.tensor("mask_volume_f16")), encoder_mask(&case, &sizes));
    let folder = tempfile::tempdir().unwrap();
    let assembly = adopted(folder.path(), &sizes, &masks.0, &masks.1);

    let images = shifted(&case, &sizes);
    let count = images.size()[0];
    let numbers = |width: i64| Tensor::zeros([count, width], (Kind::Float, CPU));
    let batch = Batch {
        particles: (0..count as usize).collect(),
        index: Tensor::arange(count, (Kind::Int64, CPU)),
        images,
        rotations: rotations(&case),
        ctf: numbers(9),
        apix: Tensor::full([count], APIX, (Kind::Float, CPU)),
        apix_range: (APIX as f32, APIX as f32),
        ctf_known: numbers(1).view([-1]),
        premultiplied: numbers(1).view([-1]),
    };
    let means = tch::no_grad(|| assembly.encode(&assembly.scene.cubes(&batch), None).0);
    case.check("eval_z_mu", &means, 1e-4);

    for case in cases("h_evalvol").into_iter().filter(|case| case.flag("masked_and_resampled")) {
        let side = case.integers("volume.shape")[0];
        // The header's voxel size is the one that was asked for; the grid's is that of the rendered region's steps.
        let apix = case.number("train_apix") * (sizes.crop - 1) as f64 / (side - 1) as f64;
        let form = MapForm { flip: case.number("flip") == 1.0, ..MapForm::plain(side as usize, apix) };
        let map = map_of(&assembly, &case.tensor("z").view([1, -1]), &form).unwrap();
        case.check("volume", &from_volume(&map), 1e-4);
    }
}
