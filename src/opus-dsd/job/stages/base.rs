//! Stage `base`: the consensus map that the decoder adds to, and the mask, both on the render grid.

use super::context::Context;
use super::prepare::{GridMask, Images};
use super::read::Input;
use super::train::Ground;
use crate::job::stage::Fingerprint;
use crate::settings::decided::Decided;
use contract::{BaseVolume, Problem, Result};
use cryoem::mrc::write_volume;
use cryoem::prepare::PreparedSet;
use reconstruction::{Options, back_project};

/// The map, and the mask, as the engine reads them.
pub(crate) const BASE: &str = "base.mrc";
pub(crate) const MASK: &str = "mask.mrc";

pub(crate) fn run(context: &mut Context<'_>, input: &Input, decided: &Decided, images: &Images<'_>, mask: GridMask) -> Result<Ground> {
    let set = &images.prepared;
    let (base_path, mask_path) = (context.path(BASE), context.path(MASK));
    let has_base = decided.train.base != BaseVolume::None;
    let reference = input.reference.as_ref().filter(|_| decided.base_from_reference);
    let fingerprint = Fingerprint::new("base")
        .and(&set.fingerprint)
        .and(&input.mask.as_ref().map(|m| &m.fingerprint))
        .and(&input.reference.as_ref().map(|r| &r.fingerprint))
        .and(&(has_base, reference.is_some()));
    context.stage("base", &fingerprint, |context| {
        context.say(&format!("mask: {}", mask.whence));
        write_volume(&mask_path, &mask.volume)?;
        let mut outputs = vec![mask_path.clone()];
        if has_base {
            let volume = match reference {
                Some(given) => given.volume.resampled(set.size_px, set.apix).map_err(|p| p.at(given.path.display().to_string()))?,
                None => {
                    images.ensure(context)?;
                    let all: Vec<usize> = (0..set.particles).collect();
                    back_project(&PreparedSet::open(set)?, &all, None, &Options { mask: Some(mask.volume), ..Options::default() })?
                }
            };
            if volume.statistics().std <= 0.0 {
                return Err(Problem::input("the base volume is empty")
                    .at("base")
                    .hint("look at the images and the mask, or train without it: `--base none`"));
            }
            write_volume(&base_path, &volume)?;
            outputs.push(base_path.clone());
        }
        Ok(outputs)
    })?;
    Ok(Ground {
        prepared: images.description.clone(),
        base: has_base.then(|| context.path(BASE)),
        mask: context.path(MASK),
        apix: set.apix,
        fingerprint,
    })
}
