//! reconstruction
