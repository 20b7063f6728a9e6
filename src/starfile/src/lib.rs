//! starfile
