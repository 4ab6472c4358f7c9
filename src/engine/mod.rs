//! The engine: phases, steps, events, the journal, the view and the progress board. It knows nothing of Postgres.

pub mod cancel;
pub mod checkup;
pub mod crash;
pub mod event;
pub mod finding;
pub mod journal;
pub mod lock;
pub mod phase;
pub mod progress;
pub mod recording;
pub mod report;
pub mod retry;
pub mod state;
pub mod step;
pub mod view;
