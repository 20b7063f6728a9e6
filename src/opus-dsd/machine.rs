//! Facts about the machine that this process is on, for records, predictions and `doctor`.

pub(crate) mod cores;
pub(crate) mod disk;
mod group;
pub(crate) mod identity;
pub(crate) mod launch;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod nvidia;
pub(crate) mod programs;
pub(crate) mod setting;
