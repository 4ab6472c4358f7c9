//! Whether a server is in the state that `target_session_attrs` asks for.

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Session;
use super::exchange::take_message;
use crate::pg::conninfo::{Endpoint, TargetSession};
use crate::pg::dial::DialError;

/// Looks at what the server reported; servers before PostgreSQL 14 report neither setting and are asked.
pub(super) async fn check(session: &mut Session, endpoint: &Endpoint, wanted: TargetSession) -> Result<(), DialError> {
    let (name, question, expected, what) = match wanted {
        TargetSession::Any | TargetSession::PreferStandby => return Ok(()),
        TargetSession::ReadWrite => {
            ("default_transaction_read_only", READ_ONLY, false, "read-write, but its sessions are read-only")
        }
        TargetSession::ReadOnly => ("default_transaction_read_only", READ_ONLY, true, "read-only, but its sessions are read-write"),
        TargetSession::Primary => ("in_hot_standby", STANDBY, false, "primary, but the server is a standby"),
        TargetSession::Standby => ("in_hot_standby", STANDBY, true, "standby, but the server is a primary"),
    };
    let standby = session.parameters.get("in_hot_standby").map(|value| value == "on");
    let reported = match (session.parameters.get(name), standby) {
        // A standby's sessions are read-only whatever its default says.
        (Some(_), Some(true)) if name == "default_transaction_read_only" => Some(true),
        (Some(value), _) => Some(value == "on"),
        (None, _) => None,
    };
    let state = match reported {
        Some(state) => state,
        None => ask(session, question).await.ok_or_else(|| {
            DialError::new(
                "wrong-server-state",
                format!("The server at {endpoint} did not say whether it is a standby, so target_session_attrs cannot be kept."),
            )
        })?,
    };
    if state == expected {
        return Ok(());
    }
    let message = format!(
        "The server at {endpoint} was not used: target_session_attrs wants {what}. Name another server, or use target_session_attrs=any."
    );
    Err(DialError::new("wrong-server-state", message))
}

const READ_ONLY: &str = "select pg_catalog.current_setting('transaction_read_only') = 'on' or pg_catalog.pg_is_in_recovery()";
const STANDBY: &str = "select pg_catalog.pg_is_in_recovery()";

/// The answer to a question with one boolean. The login's own limit covers the wait.
async fn ask(session: &mut Session, question: &str) -> Option<bool> {
    let mut query = BytesMut::new();
    frontend::query(question, &mut query).ok()?;
    session.stream.write_all(&query).await.ok()?;
    session.stream.flush().await.ok()?;
    let mut answer = None;
    loop {
        match take_message(&mut session.buffer).ok()? {
            Some((b'D', body)) => answer = body.last().map(|byte| *byte == b't'),
            Some((b'Z', _)) => return answer,
            Some((b'E', _)) => answer = None,
            Some(_) => {}
            None => {
                if session.stream.read_buf(&mut session.buffer).await.ok()? == 0 {
                    return None;
                }
            }
        }
    }
}
