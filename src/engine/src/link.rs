//! What runs in the engine sees of the worker.

use contract::Event;

/// What a running command needs of its environment: a place for events, and whether it was asked to stop.
pub trait Link: Sync {
    /// Reports an event.
    fn tell(&self, event: Event);
    /// Whether the worker asked to stop.
    fn stop_asked(&self) -> bool;

    /// A line for the log.
    fn log(&self, message: String) {
        self.tell(Event::Log { message });
    }

    /// A line for the log and the report.
    fn warn(&self, message: String) {
        self.tell(Event::Warning { message });
    }
}
