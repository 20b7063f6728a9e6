//! RELION's PostProcess takes our half maps, and says of them what we say.

use crate::sets;
use cryoem::mrc::{read_volume, write_volume};
use cryoem::particles::{self, ReadOptions};
use cryoem::prepare::{ImageStream, PrepareOptions};
use cryoem::volume::resolution::{HALF_MAPS, half_map_fsc};
use cryoem::volume::{fourier_shell_correlation, sharpen};
use reconstruction::{Options, back_project_halves, half_sets};
use starfile::StarFile;

#[test]
fn post_process_reads_the_half_maps_and_finds_the_same_resolution() {
    for (name, resolution_shells) in [("adk-path-tiny", 1), ("compose-4-tiny", 1)] {
        let Some(set) = sets::relion_readable(name) else { return };
        let particles = particles::read(&set.star(), &ReadOptions::default()).unwrap();
        let images = ImageStream::open(&particles, &PrepareOptions::native(&particles)).unwrap();
        let all: Vec<usize> = (0..particles.len()).collect();
        let second = half_sets(&particles, 0).second;
        let mask = read_volume(&set.data.join("mask.mrc")).unwrap();
        let options = Options { mask: Some(mask.clone()), ..Options::default() };
        let halves = back_project_halves(&images, &all, None, Some(&second), &options).unwrap();
        for (i, half) in halves.unfiltered.iter().enumerate() {
            write_volume(&set.path().join(format!("state_half{}_unfil.mrc", i + 1)), half).unwrap();
        }
        write_volume(&set.path().join("mask.mrc"), &mask).unwrap();
        let apix = images.apix().to_string();
        // Where PostProcess leaves its logfile.
        std::fs::create_dir(set.path().join("post")).unwrap();
        let ours = half_map_fsc(&halves.unfiltered[0], &halves.unfiltered[1], Some(&mask), 0).unwrap();
        let resolution = ours.resolution_angstrom(HALF_MAPS).unwrap();
        set.relion(
            "relion_postprocess",
            &[
                "--autob_highres",
                &resolution.to_string(),
                "--i",
                "state_half1_unfil.mrc",
                "--mask",
                "mask.mrc",
                "--o",
                "post/map",
                "--angpix",
                &apix,
                "--auto_bfac",
                "--autob_lowres",
                "10",
            ],
        );
        let star = StarFile::read(&set.path().join("post/map.star")).unwrap();
        let general = star.block("general").unwrap();
        let number = |label: &str| general.value(label).unwrap().parse::<f64>().unwrap();

        let relions = number("rlnFinalResolution");
        let extent = images.size_px() as f64 * images.apix();
        println!("{name}: {resolution:.2} Å, RELION {relions:.2} Å; randomised from shell {:?}", ours.randomised_from);
        assert!((extent / resolution - extent / relions).abs() <= f64::from(resolution_shells) + 0.01);

        let curve = star.block("fsc").unwrap();
        for (label, own) in
            [("rlnFourierShellCorrelationUnmaskedMaps", &ours.unmasked), ("rlnFourierShellCorrelationMaskedMaps", &ours.masked)]
        {
            let column = curve.column(label).unwrap();
            let worst = (1..own.len() - 1).map(|k| (column.number(k).unwrap() - own[k]).abs()).fold(0.0, f64::max);
            println!("{label}: differs by at most {worst:.4}");
            assert!(worst < 0.02, "{name} {label}: {worst}");
        }
        // The random phases differ: only the means can be compared.
        let column = curve.column("rlnFourierShellCorrelationCorrected").unwrap();
        let difference =
            (1..ours.corrected.len() - 1).map(|k| column.number(k).unwrap() - ours.corrected[k]).sum::<f64>() / ours.corrected.len() as f64;
        assert!(difference.abs() < 0.03, "{name}: corrected curves differ by {difference} on the mean");

        let sharp = sharpen(&halves.unfiltered[0], &halves.unfiltered[1], &ours, None).unwrap();
        println!(
            "B-factor {:.1} Å² (fitted: {}), RELION {:.1}",
            sharp.b_factor_angstrom2,
            sharp.fitted,
            number("rlnBfactorUsedForSharpening")
        );
        if sharp.fitted {
            let relions = number("rlnBfactorUsedForSharpening");
            // Both fit the same shells; the random phases weight the last of them.
            assert!((sharp.b_factor_angstrom2 - relions).abs() < 0.25 * relions.abs() + 20.0);
            let theirs = read_volume(&set.path().join("post/map.mrc")).unwrap();
            let between = fourier_shell_correlation(&sharp.map, &theirs, Some(&mask)).unwrap();
            // Towards the resolution, where both are cut off, the weights of the last shells differ.
            let inner = (extent / resolution) as usize - 2;
            assert!(between[1..inner].iter().all(|c| *c > 0.97), "{between:.3?}");
        }
    }
}
