//! Settings: what was said (all optional), what is decided (nothing optional), and the rules between them.

mod checks;
pub(crate) mod decided;
pub(crate) mod defaults;
pub(crate) mod devices;
pub(crate) mod form;
pub(crate) mod grid;
pub(crate) mod imported;
pub(crate) mod plan;
pub(crate) mod rules;
pub(crate) mod said;
pub(crate) mod values;
