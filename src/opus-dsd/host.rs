//! Hosts: they translate, they decide nothing.

pub(crate) mod jsonrpc;
pub(crate) mod relion;
