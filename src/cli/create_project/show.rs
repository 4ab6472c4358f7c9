//! What is shown of a project: the proposal, what happens, and what comes next. Text goes to standard output, what happens meanwhile to standard
//! error; with JSON everything is on standard output (docs/guide/json.md).

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::cli::render::text::{Line, Paint, labelled};
use crate::cli::render::{print_err, print_json, print_out, term_width};
use crate::engine::event::{Event, EventKind};
use crate::engine::recording;
use crate::engine::report::Exit;
use crate::migration::provision::plan::{HISTORY_DEFAULT, Plan};
use crate::migration::provision::{Provisioned, Told};
use crate::neon::types::{OperationStatus, Project};
use crate::show::numbers::count;

/// How it is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Show {
    pub(super) json: bool,
    pub(super) quiet: bool,
}

/// A project that is ready, and what the next commands depend on.
pub(super) struct Ready<'a> {
    pub(super) made: &'a Provisioned,
    pub(super) api_url: &'a str,
    /// The connection string with its password, if it is to be shown.
    pub(super) with_password: Option<&'a str>,
    /// Whether the person's shell has the source in its environment.
    pub(super) source_is_set: bool,
}

impl Show {
    /// The proposal.
    pub(super) fn plan(self, plan: &Plan, same_name: &[Project], dry_run: bool) {
        if self.json {
            print_json(serde_json::to_string(&planned(plan, same_name, dry_run)));
        } else if !self.quiet {
            print_out(&proposal(plan, same_name, dry_run, term_width()));
        }
    }

    /// What happens while it is created.
    pub(super) fn told(self, told: &Told<'_>) {
        if self.json {
            let line = match told {
                Told::Notice(message) => json!({ "event": "notice", "message": message, "warning": true }),
                Told::Created(saved, operations) => {
                    json!({ "event": "project_accepted", "id": saved.id, "operations": operations })
                }
                Told::Operation(operation) => {
                    json!({ "event": "operation", "action": operation.action, "status": operation.status })
                }
            };
            return print_json(serde_json::to_string(&line));
        }
        match told {
            Told::Notice(message) => print_err(&labelled((Paint::Warn, "! "), message, term_width())),
            _ if self.quiet => (),
            Told::Created(saved, operations) => {
                let steps = count(*operations as u64, "operation", "operations");
                print_err(&[Line::new(format!("Neon has created the project {}, and makes it ready: {steps}.", saved.id))]);
            }
            Told::Operation(operation) => {
                let at_work = matches!(operation.status, OperationStatus::Scheduling | OperationStatus::Running);
                if !at_work {
                    let action = operation.action.replace('_', " ");
                    print_err(&[Line::new(format!("  {action}: {}", operation.status))]);
                }
            }
        }
    }

    /// The project, and what comes next.
    pub(super) fn ready(self, ready: &Ready<'_>) {
        if self.json {
            print_json(serde_json::to_string(&created(ready)));
        } else {
            print_out(&summary(ready, term_width()));
        }
    }

    /// The last line of a command that went well.
    pub(super) fn end(self) {
        if self.json {
            let kind = EventKind::RunFinished { exit: Exit::Done, report: None };
            print_json(recording::event_line(&Event { index: 0, at: Timestamp::now(), kind }));
        }
    }
}

fn planned(plan: &Plan, same_name: &[Project], dry_run: bool) -> Value {
    let reasons: Map<String, Value> =
        plan.items.iter().map(|item| (item.name.to_ascii_lowercase(), Value::from(item.reason()))).collect();
    let regions: Vec<Value> = plan.regions.iter().map(|region| json!({ "id": region.region_id, "name": region.name })).collect();
    let ids: Vec<&str> = same_name.iter().map(|project| project.id.as_str()).collect();
    json!({
        "event": "project_planned", "dry_run": dry_run, "request": plan.request, "reasons": reasons, "regions": regions,
        "projects_of_that_name": ids, "source": plan.source,
    })
}

/// The column in which values begin.
const COLUMN: usize = 16;

fn entry(name: &str, value: &str) -> Line {
    Line::new("  ").add(Paint::Dim, name).pad_to(COLUMN).text(value)
}

fn proposal(plan: &Plan, same_name: &[Project], dry_run: bool, width: usize) -> Vec<Line> {
    let indent = " ".repeat(COLUMN);
    let mut lines = vec![Line::default().add(Paint::Bold, "The Neon project that fits:"), Line::default()];
    for item in &plan.items {
        lines.push(Line::new("  ").add(Paint::Dim, item.name).pad_to(COLUMN).add(Paint::Bold, &item.value));
        let reason = item.reason();
        if !reason.is_empty() {
            lines.extend(labelled((Paint::Dim, &indent), &reason, width));
        }
    }
    let others: Vec<&str> =
        plan.regions.iter().map(|region| region.region_id.as_str()).filter(|id| *id != plan.request.region_id).collect();
    lines.push(Line::default());
    if !others.is_empty() {
        lines.extend(labelled((Paint::Plain, "Other regions: "), &format!("{}.", others.join(", ")), width));
    }
    if !same_name.is_empty() {
        let ids: Vec<&str> = same_name.iter().map(|project| project.id.as_str()).collect();
        let text = format!("There is a project of that name already: {}. This would be another one.", ids.join(", "));
        lines.extend(labelled((Paint::Warn, "! "), &text, width));
    }
    if dry_run {
        lines.push(Line::new("Nothing was created (--dry-run)."));
    }
    lines
}

fn created(ready: &Ready<'_>) -> Value {
    let saved = &ready.made.saved;
    let mut line = json!({
        "event": "project_created", "id": saved.id, "name": saved.name, "region": saved.region, "pg_version": saved.pg_version,
        "host": saved.host, "database": saved.database, "role": saved.role, "connection": saved.connection,
        "connection_file": ready.made.connection_file.as_ref().map(|path| path.display().to_string()),
        "next": next(ready),
    });
    if let Some(text) = ready.with_password {
        line["connection_with_password"] = Value::from(text);
    }
    line
}

fn summary(ready: &Ready<'_>, width: usize) -> Vec<Line> {
    let saved = &ready.made.saved;
    let connection = saved.connection.as_deref().unwrap_or_default();
    let mut lines = vec![
        Line::default(),
        Line::default().add(Paint::Good, "✓").add(Paint::Bold, format!(" The project {} is ready.", saved.name)),
        Line::default(),
        entry("project", &saved.id),
        entry("host", saved.host.as_deref().unwrap_or_default()),
        entry("database", &saved.database),
        entry("role", &saved.role),
        entry("connection", ready.with_password.unwrap_or(connection)),
        Line::default(),
    ];
    let password = match &ready.made.connection_file {
        Some(path) => format!("The connection string with its password is in {}, readable for you alone.", path.display()),
        None => "The password was not kept. Neon's console shows it beside the connection string; put it in the place of PASSWORD below."
            .to_owned(),
    };
    lines.extend(labelled((Paint::Plain, ""), &password, width));
    lines.push(Line::default());
    lines.push(Line::new("Next:"));
    lines.extend(next(ready).iter().map(|command| Line::new("  ").text(command)));
    let later = afterwards(ready);
    if !later.is_empty() {
        lines.push(Line::default());
        lines.extend(labelled((Paint::Plain, ""), "When everything is there, give the project Neon's own settings back:", width));
        lines.extend(later.iter().map(|command| Line::new("  ").text(command)));
    }
    lines
}

/// The next commands, for a POSIX shell.
fn next(ready: &Ready<'_>) -> Vec<String> {
    let saved = &ready.made.saved;
    let mut commands = Vec::new();
    if !ready.source_is_set {
        commands.push("export NEON_MIGRATE_SOURCE='…'   # the source's connection string".to_owned());
    }
    match &ready.made.connection_file {
        Some(path) => {
            let path = quoted(&path.display().to_string());
            commands.push(format!("export NEON_MIGRATE_TARGET=\"$(cat {path})\""));
        }
        None => {
            let fields = [saved.host.as_deref().unwrap_or_default(), "5432", &saved.database, &saved.role].map(of_passfile);
            let line = quoted(&format!("{}:PASSWORD", fields.join(":")));
            commands.push(format!("(umask 077; printf '%s\\n' {line} >> ~/.pgpass)"));
            commands.push(format!("export NEON_MIGRATE_TARGET={}", quoted(saved.connection.as_deref().unwrap_or_default())));
        }
    }
    commands.extend(["neon-migrate check".to_owned(), "neon-migrate copy".to_owned()]);
    commands
}

/// What gives the project Neon's own settings back. The key goes to curl by its standard input: arguments can be read by others.
fn afterwards(ready: &Ready<'_>) -> Vec<String> {
    let (saved, request) = (&ready.made.saved, &ready.made.request);
    let project = format!("{}/projects/{}", ready.api_url, saved.id);
    let patch = |url: &str, body: Value| {
        let key = "printf 'header = \"Authorization: Bearer %s\"\\n' \"$NEON_API_KEY\"";
        let body = quoted(&body.to_string());
        format!("{key} | curl -sS -K - -X PATCH {} -H 'Content-Type: application/json' -d {body}", quoted(url))
    };
    let mut commands = Vec::new();
    if request.history_retention_seconds.is_some_and(|seconds| seconds < HISTORY_DEFAULT) {
        commands.push(patch(&project, json!({ "project": { "history_retention_seconds": HISTORY_DEFAULT } })));
    }
    // The first label of the host is the compute's id.
    let compute = saved.host.as_deref().and_then(|host| host.split('.').next());
    if let Some(compute) = compute.filter(|_| request.default_endpoint_settings.suspend_timeout_seconds == Some(-1)) {
        commands.push(patch(&format!("{project}/endpoints/{compute}"), json!({ "endpoint": { "suspend_timeout_seconds": 0 } })));
    }
    commands
}

/// A word for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A field of a password file (Postgres documentation, "The Password File").
fn of_passfile(field: &str) -> String {
    field.replace('\\', "\\\\").replace(':', "\\:")
}
