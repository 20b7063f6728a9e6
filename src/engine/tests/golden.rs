//! The product's own kernels, with the original's numerics set back, against golden numbers of the original.
//!
//! Index: `images` (CTF, Fourier transforms) · `networks` (encoder, decoder and projection, decoded volumes) · `loss` (terms, loss and
//! gradients) · `course` (latent bank, class batches, schedules) · `adopted` (a whole model as a checkpoint). Helpers: `settings` (sizes,
//! masks and networks of a case), `rendering` (its projection). Conventions and tolerances: `tests/data/golden/README.md`.

#[path = "golden/adopted.rs"]
mod adopted;
#[path = "golden/course.rs"]
mod course;
#[path = "support/golden.rs"]
mod golden;
#[path = "golden/images.rs"]
mod images;
#[path = "golden/loss.rs"]
mod loss;
#[path = "support/model.rs"]
mod model;
#[path = "golden/networks.rs"]
mod networks;
#[path = "golden/rendering.rs"]
mod rendering;
#[path = "golden/settings.rs"]
mod settings;

use contract::Numerics;
use opus_dsd_engine::torch::init_torch;
use tch::Device;

const CPU: Device = Device::Cpu;

/// The original throughout.
const ORIGINAL: Numerics = Numerics {
    rotate_about_half_pixel: true,
    exclude_given_pose: true,
    ctf_unturned: true,
    mask_target_only: true,
    snr_unclamped: true,
    maps_unmasked: false,
};

fn start() {
    init_torch().unwrap();
    tch::set_num_threads(1);
}
