//! The engine: phases, steps, events, the journal, the view and the progress board. It knows nothing of Postgres.

pub mod crash;
pub mod event;
pub mod finding;
pub mod phase;
pub mod report;
