//! The stages of jobs, in order: read, check, prepare, base, subspace, train, embed, cluster, decode, series, halves, differences, report, publish.

pub(crate) mod base;
pub(crate) mod check;
pub(crate) mod cluster;
pub(crate) mod compare;
pub(crate) mod context;
pub(crate) mod decode;
pub(crate) mod differences;
pub(crate) mod embed;
pub(crate) mod encode;
pub(crate) mod maps;
pub(crate) mod next;
pub(crate) mod prepare;
pub(crate) mod publish;
pub(crate) mod read;
pub(crate) mod reconstruct;
pub(crate) mod report;
pub(crate) mod series;
pub(crate) mod subspace;
pub(crate) mod train;
