//! What the latents say: principal components, clusters, and how well both agree with a known truth.
//!
//! Pure Rust on `ndarray`; knows no host, no files and no tensors. Everything is repeatable: sums over particles are taken in fixed blocks in a
//! fixed order, whatever the number of threads, and random choices come from a seed.

mod blocks;
pub mod clusters;
pub mod graph;
pub mod leakage;
pub mod neighbours;
pub mod pca;
pub mod score;
pub mod umap;

pub use clusters::{Clusters, kmeans};
pub use graph::NeighbourGraph;
pub use leakage::{Leakage, leakage};
pub use pca::{Pca, pca};
pub use umap::umap;
