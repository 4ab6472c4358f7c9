//! Whole runs of `neon-migrate copy` and `neon-migrate verify`, and what they told.

use std::time::Duration;

use serde_json::Value;

use super::child::{Outcome, Run};

/// How long a run may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(200);

/// What a run told, event by event.
#[derive(Debug)]
pub struct Told {
    pub outcome: Outcome,
    pub events: Vec<Value>,
}

/// Runs `neon-migrate copy` with a state directory of its own.
pub async fn copy(source: &str, target: &str, args: &[&str]) -> Told {
    command("copy", source, target, args).await
}

/// Runs `neon-migrate verify`.
pub async fn verify(source: &str, target: &str, args: &[&str]) -> Told {
    command("verify", source, target, args).await
}

async fn command(name: &str, source: &str, target: &str, args: &[&str]) -> Told {
    let state = tempfile::tempdir().unwrap();
    let run = Run::new([name, "--output", "json", "--state-dir", state.path().to_str().unwrap()].iter().chain(args));
    let run = run.env("NEON_MIGRATE_SOURCE", source).env("NEON_MIGRATE_TARGET", target);
    let outcome = run.finish(LIMIT).await;
    let events = outcome.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Told { outcome, events }
}

impl Told {
    /// Fails the test unless the exit code is this one.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Told {
        let quiet = |event: &&Value| {
            let kind = event["event"].as_str().unwrap_or_default();
            let quiet = [
                "progress",
                "table",
                "build_started",
                "build_finished",
                "plan_made",
                "step_started",
                "phase_started",
                "phase_finished",
            ];
            quiet.contains(&kind) || event["result"]["verdict"] == "match"
        };
        let told =
            || self.events.iter().rev().filter(|event| !quiet(event)).take(30).map(Value::to_string).collect::<Vec<_>>().join("\n");
        assert_eq!(self.outcome.code(), Some(code), "{}\n{}\n{}", self.outcome.status, told(), self.outcome.stderr);
        self
    }

    /// All events of a kind.
    pub fn all(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.events.iter().filter(move |event| event["event"] == kind)
    }

    /// What was left out, as `KIND name: reason`, sorted.
    pub fn left_out(&self) -> Vec<String> {
        let line = |event: &Value| format!("{} {}: {}", text(&event["kind"]), text(&event["name"]), text(&event["reason"]));
        let mut lines: Vec<String> = self.all("left_out").map(line).collect();
        lines.sort();
        lines
    }

    /// The differences of the inventory that nobody announced.
    pub fn differences(&self) -> Vec<String> {
        self.inventory("differences")
    }

    /// The differences of the inventory that were announced.
    pub fn explained(&self) -> Vec<String> {
        self.inventory("explained")
    }

    fn inventory(&self, field: &str) -> Vec<String> {
        let compared = self.all("inventory_compared").last().expect("the inventories were compared");
        compared[field].as_array().unwrap().iter().map(text).collect()
    }

    /// Each table's verdict, as (name, verdict, differing keys).
    pub fn verdicts(&self) -> Vec<(String, String, Vec<String>)> {
        let verdict = |event: &Value| {
            let result = &event["result"];
            let keys = result["differences"].as_array().map(|keys| keys.iter().map(text).collect()).unwrap_or_default();
            (text(&result["name"]), text(&result["verdict"]), keys)
        };
        self.all("table_verified").map(verdict).collect()
    }

    /// The tables whose verdict is not `match`.
    pub fn unequal(&self) -> Vec<(String, String, Vec<String>)> {
        self.verdicts().into_iter().filter(|(_, verdict, _)| verdict != "match").collect()
    }

    /// The format in which a table travelled.
    pub fn format_of(&self, table: &str) -> String {
        let plan = self.all("plan_made").next().expect("a plan was made");
        let planned = plan["tables"].as_array().unwrap().iter().find(|planned| planned["name"] == table);
        text(&planned.unwrap_or_else(|| panic!("{table} is not in the plan"))["format"])
    }

    /// The code of the report that the run ended with.
    pub fn report_code(&self) -> String {
        self.all("run_finished").last().map_or_else(String::new, |event| text(&event["report"]["code"]))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
