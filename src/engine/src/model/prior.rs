//! The structural-disentanglement prior: latents of one view class are pulled to near latents of other classes, pushed from far ones,
//! and kept apart within the batch.

use tch::{Kind, Tensor};

/// Keeps logarithms and quotients of squared distances finite.
const EPSILON: f64 = 1e-3;
/// Neighbours in the batch that a latent is tied to.
const NEIGHBOURS: i64 = 2;

/// The prior's terms, scalars.
#[derive(Debug)]
pub struct Prior {
    /// Pull to near latents of other classes.
    pub attraction: Tensor,
    /// Push from far latents of other classes (times three in the total).
    pub repulsion: Tensor,
    /// Push among the batch.
    pub spread: Tensor,
    /// Pull to the nearest of the batch.
    pub neighbours: Tensor,
}

impl Prior {
    /// Of a batch: means `mu` and samples `z` `[b, d]`, near and far latents of the bank `[b, n, d]` and `[b, 4n, d]`.
    #[must_use]
    pub fn new(mu: &Tensor, z: &Tensor, near: &Tensor, far: &Tensor) -> Self {
        let from = |bank: &Tensor| (mu.unsqueeze(1) - bank).square().sum_dim_intlist([2i64].as_slice(), false, Kind::Float) + EPSILON;
        Self {
            attraction: from(near).log1p().mean(Kind::Float),
            repulsion: from(far).reciprocal().log1p().mean(Kind::Float),
            spread: spread(mu),
            neighbours: neighbours(mu, z),
        }
    }

    /// Attraction + 3 repulsion + spread + neighbours.
    pub fn total(&self) -> Tensor {
        &self.attraction + &self.repulsion * 3.0 + &self.spread + &self.neighbours
    }
}

/// Squared distances between the rows of `[b, d]`, `[b, b]`.
fn squared_distances(x: &Tensor) -> Tensor {
    (x.unsqueeze(1) - x.unsqueeze(0)).square().sum_dim_intlist([2i64].as_slice(), false, Kind::Float)
}

/// Mean over all pairs of log(1 + 1/d) · min(d, 1), the second factor without gradient, d = |μa − μb|² + ε.
fn spread(mu: &Tensor) -> Tensor {
    let d = squared_distances(mu) + EPSILON;
    let others: Tensor = 1.0 - Tensor::eye(mu.size()[0], (Kind::Float, mu.device()));
    (d.reciprocal().log1p() * d.detach().clamp_max(1.0) * others).mean(Kind::Float)
}

/// Means `[b, n, d]` of each latent's nearest in the batch, nearest by sampled latent; without gradient to the choice.
pub fn nearest_in_batch(mu: &Tensor, z: &Tensor) -> Tensor {
    let batch = mu.size()[0];
    let wanted = NEIGHBOURS.min(batch - 1);
    let (_, order) = squared_distances(&z.detach()).topk(wanted + 1, 1, false, true);
    let nearest = order.narrow(1, 1, wanted).reshape([-1]); // the first is the latent itself
    mu.index_select(0, &nearest).view([batch, wanted, -1])
}

/// Mean log(1 + |μ − μ'|²) over the nearest in the batch; 0 in a batch of one.
fn neighbours(mu: &Tensor, z: &Tensor) -> Tensor {
    if mu.size()[0] < 2 {
        return mu.sum(Kind::Float) * 0.0;
    }
    let near = nearest_in_batch(mu, z);
    (mu.unsqueeze(1) - near).square().sum_dim_intlist([2i64].as_slice(), false, Kind::Float).log1p().mean(Kind::Float)
}

/// Mean squared departure of the batch's covariance (over b) from the identity: a figure for the log.
pub fn cross_correlation(mu: &Tensor) -> Tensor {
    let size = mu.size();
    let centred = mu - mu.mean_dim([0i64].as_slice(), true, Kind::Float);
    let covariance = centred.transpose(0, 1).matmul(&centred) / size[0] as f64;
    (covariance - Tensor::eye(size[1], (Kind::Float, mu.device()))).square().mean(Kind::Float)
}
