//! What the latents say: principal components, clusters, and how well both agree with a known truth.
//!
//! Pure Rust on `ndarray`; knows no host, no files and no tensors. Everything is repeatable: sums over particles are taken in fixed blocks in a
//! fixed order, whatever the number of threads, and random choices come from a seed.

mod blocks;
pub mod clusters;
pub mod compare;
pub mod density;
pub mod graph;
pub mod leakage;
pub mod mixture;
pub mod neighbours;
pub mod path;
pub mod pca;
pub mod score;
pub mod select;
pub mod umap;

pub use clusters::{Choice, Clusters, choose, kmeans};
pub use density::Density;
pub use graph::NeighbourGraph;
pub use leakage::{Encoded, Leakage, Nuisances, encoded, leakage, told};
pub use mixture::{Mixture, mixture};
pub use path::{Path, path};
pub use pca::{Pca, pca};
pub use umap::umap;
