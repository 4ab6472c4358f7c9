//! Stopping a run, gently or at once.

use tokio_util::sync::CancellationToken;

use super::report::{Exit, Report};

/// The two ways of stopping. Clones share them.
#[derive(Debug, Clone)]
pub struct Cancel {
    now: CancellationToken,
    soon: CancellationToken,
}

impl Default for Cancel {
    fn default() -> Self {
        let now = CancellationToken::new();
        // Whoever is to drop everything is also to begin nothing new.
        Cancel { soon: now.child_token(), now }
    }
}

impl Cancel {
    /// Cancelled when everything is to be dropped at once.
    pub fn now(&self) -> &CancellationToken {
        &self.now
    }

    /// Cancelled when the run is to stop at its next safe point.
    pub fn soon(&self) -> &CancellationToken {
        &self.soon
    }

    /// A safe point: an error that ends the run if it is to stop.
    pub fn safe_point(&self) -> Result<(), Report> {
        if self.soon.is_cancelled() { Err(interrupted()) } else { Ok(()) }
    }
}

/// What a person is told about a run that was stopped on request.
pub fn interrupted() -> Report {
    Report::new("interrupted", Exit::Interrupted, "The run was stopped on request; what it has finished is kept.")
        .with_fix("Run the same command again: it goes on from here.")
}
