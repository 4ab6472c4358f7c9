//! What a person is told when Neon's API fails: what happened, why, and what to do.

use crate::engine::report::{Exit, Report};
use crate::migration::error::capitalised;
use crate::neon::error::{ApiError, Refusal, Way};
use crate::pg::names::human_line;

const AGAIN: &str = "Run the same command again.";

/// The report of an error.
pub fn of(error: &ApiError) -> Report {
    match error {
        ApiError::Refused(refusal) => refused(refusal),
        ApiError::Unreachable { doing, way, detail } => unreachable(doing, *way, detail),
        ApiError::Lost { request_id, detail, .. } if error.may_have_created() => lost_creation(detail, request_id),
        ApiError::Lost { doing, way, detail, request_id } => unreachable(doing, *way, detail).with_cause(id(request_id)),
        ApiError::NotUnderstood { doing, status, detail, request_id } => {
            Report::new("neon-answer", Exit::NeonApi, format!("Neon's answer was not understood while {doing}."))
                .with_cause(format!("It has the status {status}, and {detail}."))
                .with_cause(id(request_id))
                .with_fix("Check that --api-url is the address of Neon's API. If it is, this program may be too old.")
        }
        ApiError::Ambiguous { name, ids } => ambiguous(name, ids),
        ApiError::OperationFailed { project, action, status, detail } => {
            let message = format!("Neon could not finish the project {project}: {action} ended as {status}.");
            let mut report = Report::new("neon-operation-failed", Exit::NeonApi, message);
            report.causes.extend(detail.as_deref().map(said));
            report.with_fix("Delete the project in Neon's console and run the same command again; if it fails again, Neon's support can say why.")
        }
        ApiError::OperationsLate { project, actions, limit } => operations_late(project, actions, limit.as_secs()),
        ApiError::Address { url, why } => Report::new(
            "neon-api-url",
            Exit::Usage,
            format!("The address {} of Neon's API cannot be used: {why}.", human_line(url)),
        )
        .with_fix("Leave --api-url and NEON_API_URL out, or give an address that begins with https://."),
        ApiError::Key => Report::new("neon-key-refused", Exit::Usage, "The API key holds characters that no key has.")
            .with_fix("Copy it again from Neon's console; it is one line of letters, digits and underscores."),
        ApiError::Setup { detail } => Report::new("neon-tls", Exit::NeonApi, "The connection to Neon's API could not be prepared.")
            .with_cause(sentence(detail))
            .with_fix("Install the system's certificate authorities (on Debian: the package ca-certificates)."),
        ApiError::Cancelled => {
            Report::new("interrupted", Exit::Interrupted, "Stopped on request; nothing was created.").with_fix(AGAIN)
        }
    }
}

fn lost_creation(detail: &str, request_id: &str) -> Report {
    let message = "It is not known whether the project was created: Neon's answer did not arrive or could not be read, and its list of projects does not tell.";
    let fix = "Look at the projects in Neon's console first: if the new one is there, use it or delete it. Then run the same command again.";
    Report::new("neon-lost-answer", Exit::NeonApi, message).with_cause(sentence(detail)).with_cause(id(request_id)).with_fix(fix)
}

fn ambiguous(name: &str, ids: &[String]) -> Report {
    let name = human_line(name);
    let message = format!("Neon's answer was lost, and several new projects are named {name}: it is not known which one is ours.");
    Report::new("neon-ambiguous", Exit::NeonApi, message)
        .with_cause(format!("They are {}.", ids.join(", ")))
        .with_fix("Look at them in Neon's console and delete those that nobody needs. Another --name avoids the confusion.")
}

fn operations_late(project: &str, actions: &[String], limit_s: u64) -> Report {
    let message = format!("Neon has not finished the project {project} within {limit_s} s.");
    let fix = "Look at the project in Neon's console: it may be ready in a moment, and its connection string is there. A second run would create a second project.";
    Report::new("neon-operations-late", Exit::NeonApi, message)
        .with_cause(format!("Still to do: {}.", actions.join(", ")))
        .with_fix(fix)
}

/// Adds that the project is there all the same.
pub(super) fn after_creation(mut report: Report, project: &str) -> Report {
    if report.exit == Exit::Interrupted {
        report.message = "Stopped on request; the project was created, and Neon goes on making it ready.".to_owned();
        report.fix = Some("Its connection string is in Neon's console. A second run would create a second project.".to_owned());
    }
    report.with_cause(format!("The project {} was created before that, and is in the account.", human_line(project)))
}

fn unreachable(doing: &str, way: Way, detail: &str) -> Report {
    let network = "Check the network, the proxy (HTTPS_PROXY) and the VPN, then run the same command again.";
    let (code, message, fix) = match way {
        Way::Name => ("neon-unreachable", "The host of Neon's API was not found", network),
        Way::Network => ("neon-unreachable", "Neon's API could not be reached", network),
        Way::Tls => (
            "neon-tls",
            "The connection to Neon's API is not safe, so nothing was sent",
            "Check this machine's clock and certificate authorities; a proxy that opens encrypted connections needs its own there.",
        ),
        Way::Timeout => ("neon-timeout", "Neon's API did not answer in time", network),
    };
    Report::new(code, Exit::NeonApi, format!("{message} while {doing}.")).with_cause(sentence(detail)).with_fix(fix)
}

fn refused(refusal: &Refusal) -> Report {
    let (code, message, fix) = advice(refusal);
    let code_said = if refusal.code.is_empty() { String::new() } else { format!(" and the code {}", human_line(&refusal.code)) };
    let answer = format!("Neon answered with status {}{code_said}: {}", refusal.status, quoted(&refusal.message));
    Report::new(code, Exit::NeonApi, message).with_cause(answer).with_cause(id(&refusal.request_id)).with_fix(fix)
}

/// The stable code, what happened, and what to do.
fn advice(refusal: &Refusal) -> (&'static str, String, String) {
    let doing = refusal.doing;
    let words = refusal.message.to_ascii_lowercase();
    let plain = |code, message: String, fix: &str| (code, message, fix.to_owned());
    match (refusal.status, refusal.code.as_str()) {
        (401, _) => plain(
            "neon-key-refused",
            "Neon does not accept the API key.".to_owned(),
            "Check that it is the whole key (on the command line, in NEON_API_KEY), neither expired nor revoked. Keys are made in Neon's console, in the settings of the account or of the organization.",
        ),
        (_, "PROJECTS_LIMIT_EXCEEDED") => plain(
            "neon-projects-limit",
            "The account has as many Neon projects as its plan allows.".to_owned(),
            "Delete a project that nobody needs, name another organization with --org, or choose a larger plan; then run the same command again.",
        ),
        (402, _) => quota(doing),
        (_, code) if code.contains("_EXCEEDED") => quota(doing),
        (403, _) => plain(
            "neon-not-allowed",
            format!("The API key may not be used for {doing}."),
            "A key that belongs to one project cannot create others. Use a personal key, or an organization's, of somebody who may create projects there.",
        ),
        (404, _) => plain(
            "neon-not-found",
            format!("Neon does not know what was asked for while {doing}."),
            "Check --org and --api-url. A key that belongs to one project sees nothing else: use a personal key, or an organization's.",
        ),
        (423, _) => plain(
            "neon-busy",
            format!("Neon is busy with another operation, and did not become free for {doing}."),
            "Wait until it is done (Neon's console lists the operations), then run the same command again.",
        ),
        (429, _) => (
            "neon-rate-limit",
            format!("Neon takes no more calls for now; the limit was reached while {doing}."),
            match refusal.retry_after {
                Some(pause) => format!("Neon asks to wait for {} s. Run the same command again then.", pause.as_secs()),
                None => "Wait a minute, then run the same command again.".to_owned(),
            },
        ),
        (500.., _) => plain(
            "neon-down",
            format!("Neon's API failed while {doing}, and went on failing."),
            "Look at Neon's status page, wait a little, then run the same command again.",
        ),
        (400..500, _) if words.contains("org_id") || words.contains("organization") => plain(
            "neon-org-needed",
            "Neon wants to know which organization the project belongs to.".to_owned(),
            "Name it with --org; its id begins with org- and is in the organization's settings in Neon's console.",
        ),
        (300..400, _) => plain(
            "neon-answer",
            format!("Neon's API sent us elsewhere while {doing}, which is not followed, because the key would go there too."),
            "Check that --api-url is the address of Neon's API.",
        ),
        _ => plain(
            "neon-refused",
            format!("Neon refused {doing}."),
            "Change the value that Neon names: --name, --region, --pg-version, --database, --role, --min-cu, --max-cu, --suspend-timeout or --history-retention.",
        ),
    }
}

fn quota(doing: &str) -> (&'static str, String, String) {
    let fix =
        "Wait until the period of the plan ends, choose a larger plan in Neon's console, or name another organization with --org.";
    ("neon-quota", format!("The account's plan is used up, which stopped {doing}."), fix.to_owned())
}

fn id(request_id: &str) -> String {
    format!("Neon's support finds the call by its request id, {}.", human_line(request_id))
}

fn said(words: &str) -> String {
    format!("Neon says: {}", quoted(words))
}

/// Words of others as they are, on one line.
fn quoted(words: &str) -> String {
    format!("\"{}\".", human_line(words.trim()).trim_end_matches('.'))
}

/// Words of the system as a sentence, on one line.
fn sentence(words: &str) -> String {
    let line = human_line(words.trim());
    let end = if line.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{end}", capitalised(&line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: &str, message: &str) -> Report {
        of(&ApiError::Refused(Box::new(Refusal {
            doing: "creating the project",
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            request_id: "req-1".to_owned(),
            retry_after: None,
        })))
    }

    #[test]
    fn each_refusal_has_its_code() {
        for (status, code, message, expected) in [
            (401, "", "unauthorized", "neon-key-refused"),
            (403, "", "forbidden", "neon-not-allowed"),
            (404, "", "not found", "neon-not-found"),
            (422, "PROJECTS_LIMIT_EXCEEDED", "too many", "neon-projects-limit"),
            (422, "BRANCH_SIZE_LIMIT_EXCEEDED_THRESHOLD", "too large", "neon-quota"),
            (402, "", "pay", "neon-quota"),
            (400, "", "org_id is required", "neon-org-needed"),
            (423, "", "locked", "neon-busy"),
            (429, "", "slow down", "neon-rate-limit"),
            (500, "", "oops", "neon-down"),
            (503, "", "no capacity", "neon-down"),
            (302, "", "Found", "neon-answer"),
            (400, "", "pg_version is odd", "neon-refused"),
            (418, "", "teapot", "neon-refused"),
        ] {
            let report = refusal(status, code, message);
            assert_eq!((report.code.as_str(), report.exit), (expected, Exit::NeonApi), "{status} {code}");
            assert!(report.causes.iter().any(|cause| cause.contains("req-1")), "{report:?}");
            assert!(report.causes[0].contains(message), "{report:?}");
        }
    }

    #[test]
    fn words_of_others_stay_on_their_line() {
        let report = refusal(400, "", "two\nlines\u{1b}[31m");
        assert_eq!(report.causes[0], "Neon answered with status 400: \"two\\nlines\\u{1b}[31m\".");
    }
}
