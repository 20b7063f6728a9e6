//! What the report tells of the states: their maps, what their particles support, how they differ.

use super::super::cluster::Findings;
use super::super::context::Context;
use super::super::decode;
use super::super::maps::{density, mask_like};
use contract::{MapForm, Result, StateHalves};
use cryoem::mrc::read_volume;
use cryoem::volume::Volume;
use report::{Difference, Differences, Evidence, Part, PartMotion, State, Variability};
use std::path::Path;

/// One entry a cluster, in order.
pub(super) fn of(context: &Context<'_>, form: &MapForm, found: &Findings, solvent: &Path) -> Result<Vec<State>> {
    let now = context.results.now();
    let mask = if now.halves.is_empty() { None } else { Some(mask_like(&read_volume(solvent)?, form)?) };
    let one = |(c, path): (usize, &std::path::PathBuf)| {
        let class = found.clusters.class_number(c);
        let told = now.differences.iter().flat_map(|c| &c.states).find(|s| s.class == class);
        let difference =
            told.map(|told| Ok(Difference { map: density(&context.path(&told.map), form)?.data, of_consensus: told.of_consensus }));
        let halves = now.halves.iter().find(|h| h.class == class).zip(mask.as_ref());
        Ok(State {
            class,
            particles: found.clusters.sizes[c],
            map: density(path, form)?.data,
            file: decode::map_file(class),
            note: None,
            difference: difference.transpose()?,
            evidence: halves.map(|(halves, mask)| evidence(context, form, halves, mask)).transpose()?,
        })
    };
    decode::map_paths(context, found).iter().enumerate().map(one).collect()
}

/// A state's back-projection on the grid of the decoded maps; outside the mask there is noise alone, which is not shown.
fn evidence(context: &Context<'_>, form: &MapForm, halves: &StateHalves, mask: &Volume) -> Result<Evidence> {
    let like = |file: &str| density(&context.path(file), form)?.resampled(form.box_px, form.apix);
    let extent_angstrom = halves.box_px as f64 * halves.apix;
    let curve = |values: &[f64]| values.iter().enumerate().map(|(shell, v)| (shell as f64 / extent_angstrom, *v)).collect();
    let local = cryoem::mask::on_grid(
        &read_volume(&context.path(&halves.local_resolution))?,
        cryoem::mask::CubeGrid { box_px: form.box_px, apix: form.apix },
    )?;
    Ok(Evidence {
        map: like(&halves.map)?.data * &mask.data,
        file: halves.map.clone(),
        local_angstrom: local.data,
        effective_particles: halves.effective_particles,
        resolution_angstrom: halves.resolution_angstrom,
        resolution_half_angstrom: halves.resolution_half_angstrom,
        decoded_agrees_angstrom: halves.decoded_agrees_angstrom,
        local_median_angstrom: halves.local_resolution_median_angstrom,
        b_factor_angstrom2: halves.b_factor_angstrom2,
        fsc: curve(&halves.fsc),
        decoded_fsc: curve(&halves.decoded_fsc),
    })
}

/// How the states differ.
pub(super) fn differences(context: &Context<'_>, form: &MapForm) -> Result<Option<Differences>> {
    let Some(told) = &context.results.now().differences else { return Ok(None) };
    let part = told.region.as_ref().map(|region| Part {
        mask: region.mask.clone(),
        occupancy: region
            .occupancy
            .iter()
            .map(|state| (state.class, state.levels.iter().map(|level| (level.of_core, level.of_region)).collect()))
            .collect(),
        motions: region
            .motions
            .iter()
            .map(|m| PartMotion {
                from: m.from,
                to: m.to,
                angle_deg: m.angle_deg,
                shift_angstrom: m.shift_angstrom.iter().map(|v| v * v).sum::<f64>().sqrt(),
                correlation_before: m.correlation_before,
                correlation_after: m.correlation_after,
            })
            .collect(),
    });
    let variability = told.variability.as_ref().map(|v| {
        let (mean, deviation) = (density(&context.path(&v.mean), form)?, read_volume(&context.path(&v.deviation))?);
        Ok(Variability { maps: v.maps, mean: mean.data, deviation: deviation.data })
    });
    Ok(Some(Differences { detail_angstrom: told.detail_angstrom, part, variability: variability.transpose()? }))
}
