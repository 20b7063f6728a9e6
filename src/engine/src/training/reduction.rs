//! Gradients summed over all ranks: the decoder's while the encoder's are still computed.

use crate::assembly::Assembly;
use crate::native;
use crate::world::{Pending, Ranks};
use tch::Tensor;

/// Names of the encoder's parameters begin so.
const ENCODER: &str = "encoder.";

/// One of the two halves that gradients become complete in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// All that lies behind the latents.
    Decoder,
    /// All that lies before them.
    Encoder,
}

/// Gradients on their way.
#[must_use = "gradients are summed when this is finished"]
pub struct Reduction {
    parameters: Vec<Tensor>,
    pending: Pending,
}

impl Reduction {
    /// Starts to sum the gradients of a half; `None` where there are no other ranks.
    ///
    /// Ranks run the same graph, so that the same parameters have gradients on all of them.
    pub fn begin(assembly: &Assembly, half: Half, ranks: &Ranks) -> Option<Self> {
        if ranks.is_alone() {
            return None;
        }
        let mut named: Vec<(String, Tensor)> = assembly
            .weights()
            .into_iter()
            .filter(|(name, value)| name.starts_with(ENCODER) == (half == Half::Encoder) && value.grad().defined())
            .collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let parameters: Vec<Tensor> = named.into_iter().map(|(_, value)| value).collect();
        let gradients: Vec<Tensor> = parameters.iter().map(Tensor::grad).collect();
        if gradients.is_empty() {
            return None;
        }
        Some(Self { pending: ranks.begin_sum(&gradients)?, parameters })
    }

    /// Waits, and gives the parameters the sums.
    pub fn finish(mut self, ranks: &Ranks) {
        let flat = ranks.finish(self.pending);
        let mut from = 0;
        for parameter in &mut self.parameters {
            let count = parameter.numel() as i64;
            let mut gradient = flat.narrow(0, from, count).view(parameter.size().as_slice());
            native::set_gradient(parameter, &mut gradient);
            from += count;
        }
    }
}
