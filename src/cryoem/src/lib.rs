//! cryoem
