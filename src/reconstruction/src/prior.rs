//! How strong the signal is in every Fourier shell.

/// Share of a shell's mean weight that is added where the prior is not yet known (the half maps from which it is estimated). Small: it only
/// keeps badly covered places from blowing up.
pub(crate) const PROVISIONAL: f64 = 0.1;

/// Correlations are taken as at least this, so that no shell is damped to less than about half: what a shell of little signal holds still
/// correlates with the truth (mean masked FSC of the 48-pixel tiny sets: 0.669 and 0.728 with 0.005, 0.684 and 0.738 with 0.1, 0.686 and
/// 0.741 with 0.3).
const LOWEST_FSC: f64 = 0.3;
/// And at most this: single precision and interpolation end there.
const HIGHEST_FSC: f64 = 0.9995;

/// Noise weight to add to each shell's weights, Σ CTF² / SSNR, from the correlation of two half maps: SSNR of the whole set = 2 FSC / (1 − FSC).
/// `mean_weights` are those of the whole set.
pub(crate) fn from_half_sets(fsc: &[f64], mean_weights: &[f64]) -> Vec<f64> {
    let smooth = smoothed(fsc);
    smooth
        .iter()
        .zip(mean_weights)
        .map(|(&fsc, &weight)| {
            let fsc = fsc.clamp(LOWEST_FSC, HIGHEST_FSC);
            (weight * (1.0 - fsc) / (2.0 * fsc)).max(f64::MIN_POSITIVE)
        })
        .collect()
}

/// Running mean over three shells; a shell holds few independent values.
fn smoothed(fsc: &[f64]) -> Vec<f64> {
    (0..fsc.len())
        .map(|k| {
            let window = &fsc[k.saturating_sub(1)..(k + 2).min(fsc.len())];
            window.iter().sum::<f64>() / window.len() as f64
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_weight_is_weight_over_ssnr() {
        let added = from_half_sets(&[0.8; 5], &[10.0; 5]);
        assert!(added.iter().all(|a| (a - 10.0 / 8.0).abs() < 1e-12), "{added:?}");
        assert!((from_half_sets(&[-0.3; 3], &[10.0; 3])[1] - 10.0 * 0.7 / 0.6).abs() < 1e-12);
    }
}
