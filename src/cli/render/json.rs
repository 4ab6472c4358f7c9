//! JSON lines: the contract is `docs/guide/json.md`.

use serde::Serialize;

use crate::engine::event::Event;
use crate::engine::progress::Progress;

/// An event in one line.
pub fn event_line(event: &Event) -> Result<String, serde_json::Error> {
    serde_json::to_string(event)
}

/// The progress in one line. It has no index: the latest replaces all earlier ones.
pub fn progress_line(progress: &Progress) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Tagged<'a> {
        event: &'static str,
        #[serde(flatten)]
        progress: &'a Progress,
    }
    serde_json::to_string(&Tagged { event: "progress", progress })
}
