//! The course of training around its steps: the latent bank, which images form a batch, and schedules.

use super::golden::cases;
use super::start;
use contract::Schedule;
use opus_dsd_engine::model::bank::{LatentBank, far_of, near_of};
use opus_dsd_engine::model::batches::{ClassBatches, Remainder, members};
use opus_dsd_engine::model::schedules::{ORIGINAL_PERIOD_IMAGES, RunningSignal, SignalControl, bfactor, learning_rate, weight};
use tch::{Device, Tensor};

#[test]
fn latent_bank() {
    start();
    for case in cases("f_bank") {
        let both = |when: &str| Tensor::cat(&[case.tensor(&format!("bank_mu_{when}")), case.tensor(&format!("bank_multi_{when}"))], 1);
        let mut bank = LatentBank::new(&both("before"));
        let particles = case.tensor("batch_particles");
        bank.update(&particles, &case.tensor("batch_encoding"));
        assert!(bank.latents().allclose(&both("after_set"), 1e-6, 1e-6, false), "{}: update", case.name);

        let pixels = case.integers("pixel_of_particle");
        let everyone: Vec<i64> = (0..pixels.len() as i64).collect();
        let classes = members(&everyone, |particle| pixels[particle as usize] as usize, 48);
        let positions = case.integers("drawn_per_pixel_concat");
        let mut pool = Vec::new();
        let mut first = 0;
        for (class, count) in case.integers("drawn_pixels").into_iter().zip(case.integers("drawn_per_pixel_len")) {
            let drawn = &positions[first..first + count as usize];
            pool.extend(drawn.iter().map(|&position| classes[class as usize][position as usize]));
            first += count as usize;
        }
        let contrast = bank.contrast(&particles, &Tensor::from_slice(&pool), &case.tensor("drawn_uniform"));
        assert_eq!(near_of(pool.len() as i64), case.tensor("out_mus").size()[1]);
        assert_eq!(far_of(pool.len() as i64), case.tensor("out_neg_mus").size()[1]);
        case.check("out_mus", &contrast.near, 1e-6);
        case.check("out_neg_mus", &contrast.far, 1e-6);
        case.check("out_top_index", &contrast.nearest, 0.0);
    }
}

#[test]
fn class_batches() {
    start();
    for case in cases("f_sampler") {
        let batch = case.number("batch_size") as usize;
        let pixels = case.integers("pixel_of_particle");
        let members = members(&case.integers("split"), |particle| pixels[particle as usize] as usize, 48);
        let positions = case.integers("perm_concat");
        let mut first = 0;
        let permutations: Vec<Vec<usize>> = members
            .iter()
            .zip(case.integers("ns"))
            .map(|(members, count)| {
                let visited = ClassBatches::visited(members.len(), batch, Remainder::Left);
                assert_eq!(visited as i64, count, "{}", case.name);
                first += visited;
                positions[first - visited..first].iter().map(|&position| position as usize).collect()
            })
            .collect();
        let mut draws = case.integers("pixel_draws").into_iter();
        let batches = ClassBatches::new(&members, &permutations, batch).epoch(|_| draws.next().unwrap() as usize);
        assert_eq!(batches.concat(), case.integers("batches"), "{}", case.name);
    }
}

#[test]
fn schedules() {
    start();
    for case in cases("g_schedules") {
        for (images, want) in case.integers("beta_steps").into_iter().zip(case.numbers("beta")) {
            // A run of one million images, in the original's periods.
            let schedule = Schedule::Cyclic { periods: 1e6 / ORIGINAL_PERIOD_IMAGES, scale: 1.0 };
            case.check_number("beta", weight(&schedule, images as f64 / 1e6), want, 1e-12);
        }
        for (name, decay) in [("lr_train_cv", 0.96), ("lr_train_multi", 0.98)] {
            let rate = contract::LearningRate { start: case.number("lr0"), decay, cosine_to: None, warm_up_steps: 0 };
            for (epoch, want) in case.integers("epoch").into_iter().zip(case.numbers(name)) {
                case.check_number(name, learning_rate(&rate, 0.0, epoch as usize, 0), want, 1e-12);
            }
        }
        for (epoch, want) in case.integers("epoch").into_iter().zip(case.numbers("bfactor")) {
            case.check_number("bfactor", bfactor(case.number("bfactor0"), epoch as f64), want, 1e-12);
        }
        let mut control = RunningSignal::new(SignalControl::original(), Device::Cpu);
        let inputs = case.numbers("snr_in").into_iter().zip(case.numbers("l1_in"));
        for (before, (snr, magnitude)) in case.numbers("betacontrol_snrema_l1ema_before_step").chunks(3).zip(inputs) {
            case.check_number("beta control", control.factor(0.5).double_value(&[]), before[0], 1e-12);
            case.check_number("running SNR", control.read().signal_to_noise, before[1], 1e-12);
            case.check_number("running magnitude", control.read().magnitude, before[2], 1e-12);
            control = control.with(&Tensor::from_slice(&[snr, magnitude]));
        }
    }
}
