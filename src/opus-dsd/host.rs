//! Hosts: they translate, they decide nothing.

pub(crate) mod relion;
