//! Stage `encode`: the engine looks at prepared particles with a trained model.

use super::context::Context;
use super::prepare::Images;
use crate::job::engine_process::Engine;
use crate::job::stage::Fingerprint;
use contract::{Command, EncodeSpec, Event, Problem, Result};
use std::time::Duration;

/// How long to wait for an event before looking around.
const PATIENCE: Duration = Duration::from_secs(1);

/// Writes the latents that `spec` names, unless they are there on the same ground.
pub(crate) fn run(
    context: &mut Context<'_>,
    engine: &mut Engine,
    spec: EncodeSpec,
    images: &Images<'_>,
    ground: &Fingerprint,
) -> Result<()> {
    context.stage("encode", ground, |context| {
        images.ensure(context)?;
        let latents = spec.latents.clone();
        engine.send(&Command::Encode(spec))?;
        loop {
            let Some(event) = engine.next(PATIENCE)? else { continue };
            context.events.add(&event);
            match event {
                Event::Encoded { .. } => return Ok(vec![latents]),
                Event::Failed { problem } => return Err(problem),
                Event::Warning { message } => context.warn(&message),
                Event::Log { message } => context.say(&message),
                Event::Stopped => return Err(Problem::failed("encoding was stopped")),
                _ => {}
            }
        }
    })
}
