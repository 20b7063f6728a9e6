//! A job's life: the guard that the host starts, the worker that runs the stages, the engine's process, and what they leave in the folder.

pub(crate) mod atomic;
pub(crate) mod checkpoints;
pub(crate) mod clean;
pub(crate) mod console;
pub(crate) mod courses;
pub(crate) mod engine_process;
pub(crate) mod events;
pub(crate) mod forecast;
pub(crate) mod guard;
pub(crate) mod lock;
pub(crate) mod monitor;
pub(crate) mod npy;
pub(crate) mod order;
pub(crate) mod presence;
pub(crate) mod process;
pub(crate) mod progress;
pub(crate) mod results;
pub(crate) mod settings_file;
pub(crate) mod stage;
pub(crate) mod stages;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod trained;
pub(crate) mod way;
pub(crate) mod wishes;
pub(crate) mod worker;
