//! Waiting for what Neon does on a project.
//!
//! The documentation calls finished, skipped and cancelled the ends, and says that a failed operation may be tried again by Neon. So an operation
//! that failed counts as failed only when no later time for another try is given, and when it says so twice in a row.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Deserialize;

use super::client::{Call, Client};
use super::error::ApiError;
use super::types::{Operation, OperationStatus};

/// What an operation's state means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Waiting,
    Done,
    Failed,
}

/// An operation that is waited for.
#[derive(Debug)]
struct Watched {
    last: Operation,
    failed_polls: u32,
}

impl Watched {
    fn new(operation: Operation) -> Self {
        Watched { last: operation, failed_polls: 0 }
    }

    /// Takes what the operation says now.
    fn judge(&mut self, now: Operation, clock: Timestamp) -> Verdict {
        let verdict = match now.status {
            OperationStatus::Finished | OperationStatus::Skipped => Verdict::Done,
            OperationStatus::Cancelled => Verdict::Failed,
            OperationStatus::Failed | OperationStatus::Error if now.retry_at.is_none_or(|at| at <= clock) => {
                self.failed_polls += 1;
                if self.failed_polls >= 2 { Verdict::Failed } else { Verdict::Waiting }
            }
            _ => {
                self.failed_polls = 0;
                Verdict::Waiting
            }
        };
        self.last = now;
        verdict
    }
}

impl Client {
    /// An operation as it is now.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn operation(&self, project: &str, id: &str) -> Result<Operation, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            operation: Operation,
        }
        let path = ["projects", project, "operations", id];
        let answer: Answer = self.call(Call::get("asking about an operation", &path)).await?;
        Ok(answer.operation)
    }

    /// A project's latest operations.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn operations(&self, project: &str) -> Result<Vec<Operation>, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            operations: Vec<Operation>,
        }
        let path = ["projects", project, "operations"];
        let answer: Answer = self.call(Call::get("listing operations", &path).query("limit", "100")).await?;
        Ok(answer.operations)
    }

    /// Waits until the operations are done, and tells of each state that is new.
    ///
    /// # Errors
    /// An operation that failed; operations that take longer than the client's limit; any failure of a call; a wish to stop.
    pub async fn wait_for(
        &self,
        operations: Vec<Operation>,
        on_operation: &mut (dyn FnMut(&Operation) + Send),
    ) -> Result<(), ApiError> {
        let begun = Instant::now();
        let mut pending = Vec::new();
        for operation in operations {
            on_operation(&operation);
            let mut watched = Watched::new(operation.clone());
            if watched.judge(operation, Timestamp::now()) != Verdict::Done {
                pending.push(watched);
            }
        }
        while !pending.is_empty() {
            let limit = self.pace().operations;
            let left = limit.saturating_sub(begun.elapsed());
            if left == Duration::ZERO {
                return Err(late(&pending, limit));
            }
            self.pause(self.pace().poll.min(left)).await?;
            let mut still = Vec::new();
            for mut watched in pending {
                let now = self.operation(&watched.last.project_id, &watched.last.id).await?;
                if now.status != watched.last.status {
                    on_operation(&now);
                }
                match watched.judge(now, Timestamp::now()) {
                    Verdict::Done => (),
                    Verdict::Waiting => still.push(watched),
                    Verdict::Failed => return Err(failed(watched.last)),
                }
            }
            pending = still;
        }
        Ok(())
    }
}

fn late(pending: &[Watched], limit: Duration) -> ApiError {
    ApiError::OperationsLate {
        project: pending.first().map(|watched| watched.last.project_id.clone()).unwrap_or_default(),
        actions: pending.iter().map(|watched| watched.last.action.clone()).collect(),
        limit,
    }
}

fn failed(operation: Operation) -> ApiError {
    ApiError::OperationFailed {
        project: operation.project_id,
        action: operation.action,
        status: operation.status.to_string(),
        detail: operation.error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(status: OperationStatus, retry_at: Option<Timestamp>) -> Operation {
        Operation {
            id: "o".to_owned(),
            project_id: "p".to_owned(),
            action: "create_compute".to_owned(),
            status,
            failures_count: 0,
            error: None,
            retry_at,
        }
    }

    fn verdicts(states: &[(OperationStatus, Option<i64>)]) -> Vec<Verdict> {
        let clock = Timestamp::UNIX_EPOCH;
        let mut watched = Watched::new(operation(OperationStatus::Scheduling, None));
        let at = |seconds: i64| Timestamp::from_second(seconds).ok();
        states.iter().map(|(status, retry)| watched.judge(operation(*status, retry.and_then(at)), clock)).collect()
    }

    #[test]
    fn the_ends_are_those_of_the_documentation() {
        use OperationStatus::*;
        for status in [Finished, Skipped] {
            assert_eq!(verdicts(&[(status, None)]), [Verdict::Done]);
        }
        assert_eq!(verdicts(&[(Cancelled, None)]), [Verdict::Failed]);
        for status in [Scheduling, Running, Cancelling, Unknown] {
            assert_eq!(verdicts(&[(status, None); 3]), [Verdict::Waiting; 3]);
        }
    }

    #[test]
    fn a_failure_counts_when_it_lasts_and_nobody_tries_again() {
        use OperationStatus::*;
        assert_eq!(verdicts(&[(Failed, None), (Failed, None)]), [Verdict::Waiting, Verdict::Failed]);
        assert_eq!(verdicts(&[(Error, Some(-5)), (Failed, Some(-5))]), [Verdict::Waiting, Verdict::Failed]);
        assert_eq!(verdicts(&[(Failed, Some(60)); 3]), [Verdict::Waiting; 3]);
        let recovered = verdicts(&[(Failed, None), (Running, None), (Failed, None), (Running, None), (Finished, None)]);
        assert_eq!(recovered.last(), Some(&Verdict::Done));
        assert!(!recovered.contains(&Verdict::Failed));
    }
}
