//! AdamW whose whole state can be saved: the library's own optimisers cannot be asked for theirs.

use crate::native::{self, AdamWStep, AdamWTensors};
use std::collections::HashMap;
use tch::{Kind, Tensor};

/// Decay of the mean gradient.
const FIRST_DECAY: f64 = 0.9;
/// Decay of the mean squared gradient.
const SECOND_DECAY: f64 = 0.999;
/// Keeps the step finite where gradients vanish.
const EPSILON: f64 = 1e-8;

/// A parameter to be learned.
pub struct Parameter {
    /// Name, as in the weights file.
    pub name: String,
    /// The tensor that the model reads (shared storage).
    pub value: Tensor,
    /// Factor on the learning rate.
    pub rate: f64,
}

struct Slot {
    parameter: Parameter,
    first: Tensor,
    second: Tensor,
}

/// AdamW (decoupled weight decay; Loshchilov and Hutter, 2019) over named parameters.
pub struct AdamW {
    slots: Vec<Slot>,
    steps: u64,
    weight_decay: f64,
}

impl AdamW {
    /// Starts with empty moments. Parameters are kept sorted by name, so that results do not depend on the order they come in.
    #[must_use]
    pub fn new(mut parameters: Vec<Parameter>, weight_decay: f64) -> Self {
        parameters.sort_by(|a, b| a.name.cmp(&b.name));
        let slots = parameters
            .into_iter()
            .map(|parameter| {
                let first = parameter.value.detach().zeros_like();
                let second = parameter.value.detach().zeros_like();
                Slot { parameter, first, second }
            })
            .collect();
        Self { slots, steps: 0, weight_decay }
    }

    /// Steps made so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Goes on after so many steps.
    pub fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }

    /// Forgets the gradients: the next backward pass leaves its own without adding.
    pub fn zero_grad(&mut self) {
        for slot in &mut self.slots {
            native::drop_gradient(&mut slot.parameter.value);
        }
    }

    /// One step down the gradients that the parameters hold; parameters without a gradient stay. All in one pass over memory.
    pub fn step(&mut self, learning_rate: f64) {
        self.steps += 1;
        let mut rates: Vec<f64> = self.slots.iter().map(|slot| slot.parameter.rate).collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        // One count for all, where the parameters are.
        let Some(device) = self.slots.first().map(|slot| slot.parameter.value.device()) else { return };
        let steps = Tensor::full([1], self.steps as f64, (Kind::Float, device));
        for rate in rates {
            let mut tensors = AdamWTensors::default();
            for slot in self.slots.iter().filter(|slot| slot.parameter.rate.total_cmp(&rate).is_eq()) {
                let gradient = slot.parameter.value.grad();
                if !gradient.defined() {
                    continue;
                }
                tensors.steps.push(steps.shallow_clone());
                tensors.gradients.push(gradient);
                tensors.values.push(slot.parameter.value.detach());
                tensors.first.push(slot.first.shallow_clone());
                tensors.second.push(slot.second.shallow_clone());
            }
            if !tensors.values.is_empty() {
                let step = AdamWStep {
                    rate: learning_rate * rate,
                    betas: (FIRST_DECAY, SECOND_DECAY),
                    decay: self.weight_decay,
                    epsilon: EPSILON,
                };
                native::fused_adamw(tensors, step);
            }
        }
    }

    /// The moments, named `first.NAME` and `second.NAME`.
    #[must_use]
    pub fn moments(&self) -> Vec<(String, Tensor)> {
        self.slots
            .iter()
            .flat_map(|slot| {
                let name = &slot.parameter.name;
                [(format!("first.{name}"), slot.first.shallow_clone()), (format!("second.{name}"), slot.second.shallow_clone())]
            })
            .collect()
    }

    /// Takes moments and step count over.
    ///
    /// # Errors
    /// Names a moment that is missing or has another shape.
    pub fn restore(&mut self, moments: &HashMap<String, Tensor>, steps: u64) -> Result<(), String> {
        for slot in &mut self.slots {
            for (prefix, target) in [("first", &mut slot.first), ("second", &mut slot.second)] {
                let name = format!("{prefix}.{}", slot.parameter.name);
                let source = moments.get(&name).filter(|tensor| tensor.size() == target.size()).ok_or(name)?;
                target.copy_(&source.to_kind(Kind::Float));
            }
        }
        self.steps = steps;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn parameter(values: &[f32]) -> Tensor {
        Tensor::from_slice(values).set_requires_grad(true)
    }

    #[test]
    fn first_step_has_the_size_of_the_learning_rate() {
        let value = parameter(&[1.0, -2.0]);
        let mut optimiser = AdamW::new(vec![Parameter { name: "w".into(), value: value.shallow_clone(), rate: 1.0 }], 0.0);
        (&value * Tensor::from_slice(&[3.0f32, -0.5])).sum(Kind::Float).backward();
        optimiser.step(0.1);
        let moved: Vec<f32> = Vec::try_from(value.detach()).unwrap();
        assert!((moved[0] - 0.9).abs() < 1e-6 && (moved[1] + 1.9).abs() < 1e-6, "{moved:?}");
    }

    #[test]
    fn agrees_with_the_library_over_many_steps() {
        let start = Tensor::linspace(-1.0, 1.0, 7, (Kind::Float, Device::Cpu));
        let ours = start.copy().set_requires_grad(true);
        let mut optimiser = AdamW::new(vec![Parameter { name: "w".into(), value: ours.shallow_clone(), rate: 1.0 }], 0.01);
        let store = tch::nn::VarStore::new(Device::Cpu);
        let mut theirs = store.root().zeros("w", &[7]);
        tch::no_grad(|| theirs.copy_(&start));
        let mut reference =
            tch::nn::OptimizerConfig::build(tch::nn::AdamW { wd: 0.01, ..tch::nn::AdamW::default() }, &store, 0.02).unwrap();
        for step in 0..50 {
            for value in [&ours, &theirs] {
                let loss = ((value - f64::from(step) * 0.01).pow_tensor_scalar(4) + value.sin()).sum(Kind::Float);
                loss.backward();
            }
            optimiser.step(0.02);
            optimiser.zero_grad();
            reference.step();
            reference.zero_grad();
        }
        let difference = (&ours - &theirs).abs().max().double_value(&[]);
        assert!(difference < 1e-5, "{difference}");
    }

    #[test]
    fn a_restored_state_goes_on_bit_for_bit() {
        let run = |break_after: Option<usize>| {
            let value = parameter(&[0.3, -0.7, 2.0]);
            let build = || AdamW::new(vec![Parameter { name: "w".into(), value: value.shallow_clone(), rate: 1.0 }], 0.1);
            let mut optimiser = build();
            for step in 0..10 {
                if break_after == Some(step) {
                    let moments = optimiser.moments().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
                    let steps = optimiser.steps();
                    optimiser = build();
                    optimiser.restore(&moments, steps).unwrap();
                }
                optimiser.zero_grad();
                value.pow_tensor_scalar(2).sum(Kind::Float).backward();
                optimiser.step(0.05);
            }
            Vec::<f32>::try_from(value.detach()).unwrap()
        };
        assert_eq!(run(None), run(Some(4)));
    }
}
