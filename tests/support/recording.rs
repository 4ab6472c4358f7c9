//! A recording of a migration that never was: as many tables as wanted, with sizes as databases have them, and the same every time.

use std::io::{BufWriter, Write};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use neon_migrate::engine::event::{Event, EventKind, Outcome, PlannedTable, TableState, TableVerdict, Verdict};
use neon_migrate::engine::finding::{Finding, Severity};
use neon_migrate::engine::phase::Phase;
use neon_migrate::engine::progress::{Board, Progress};
use neon_migrate::engine::recording::{Item, event_line, progress_line};
use neon_migrate::engine::report::Exit;

/// How many bytes a second one connection moves.
const BYTES_PER_SECOND: u64 = 40 << 20;
/// How long a table takes at least, in milliseconds.
const TABLE_MS: u64 = 60;
/// How many connections work.
const JOBS: u64 = 8;
/// How often there is a line of progress, in milliseconds.
const PROGRESS_MS: i64 = 250;

struct Story {
    items: Vec<Item>,
    board: Board,
    began: Timestamp,
    at: Timestamp,
    shown: Timestamp,
    index: u64,
}

impl Story {
    fn then(&mut self, kind: EventKind) {
        self.index += 1;
        self.board.observe(&kind);
        self.items.push(Item::Event(Event { index: self.index, at: self.at, kind }));
    }

    /// Lets time go by, with a line of progress four times a second.
    fn until(&mut self, at: Timestamp) {
        while self.shown + SignedDuration::from_millis(PROGRESS_MS) <= at {
            self.shown += SignedDuration::from_millis(PROGRESS_MS);
            let since = self.shown.duration_since(self.began).unsigned_abs();
            self.items.push(Item::Progress(self.board.sample(self.shown, since)));
        }
        self.at = self.at.max(at);
    }

    fn later(&mut self, milliseconds: i64) {
        self.until(self.at + SignedDuration::from_millis(milliseconds));
    }

    fn phase(&mut self, phase: Phase, begins: bool) {
        self.then(if begins { EventKind::PhaseStarted { phase } } else { EventKind::PhaseFinished { phase } });
    }
}

fn planned(id: u32) -> PlannedTable {
    // A few large tables, and very many small ones.
    let rows = 20_000_000 / u64::from(id).pow(2) + u64::from(id * 7919 % 900);
    let name = if id == 3 { "\"Odd\".\"a <script>alert(1)</script> 'name'\"".to_owned() } else { format!("shop.part_{id:05}") };
    PlannedTable {
        id,
        name,
        rows_estimate: rows,
        bytes_estimate: rows * 120,
        parts: if rows > 1_000_000 { 4 } else { 1 },
        format: "binary".to_owned(),
        indexes: 1,
    }
}

fn begin(story: &mut Story, tables: &[PlannedTable]) {
    let (source, target) = ("app@db.example.org:5432/shop".to_owned(), "owner@ep-calm-sea-1.eu.aws.neon.tech:5432/shop".to_owned());
    story.then(EventKind::RunStarted { command: "copy".into(), version: "0.1.0".into(), pid: 4242, source, target });
    story.phase(Phase::Preflight, true);
    let sentence = "2 tables have no primary key.".to_owned();
    let finding = Finding::new("F1", Severity::Warning, "source", sentence, "Live replication would need one.")
        .with_fix("Execute this on the source:\nalter table shop.part_00002 replica identity full;")
        .with_objects(vec!["table shop.part_00002".into(), tables[2.min(tables.len() - 1)].name.clone()]);
    story.then(EventKind::FindingRaised { finding });
    story.later(900);
    story.phase(Phase::Preflight, false);
    story.phase(Phase::Schema, true);
    story.then(EventKind::StepStarted {
        step: "schema.dump".into(),
        phase: Phase::Schema,
        title: "Reading the definitions".into(),
    });
    story.later(1500);
    let message = format!("{} objects.", tables.len() * 2);
    story.then(EventKind::StepFinished { step: "schema.dump".into(), outcome: Outcome::Success, message });
    let reason = "The target does not offer it.".to_owned();
    story.then(EventKind::LeftOut { kind: "EXTENSION".into(), name: "pg_cron".into(), reason });
    story.phase(Phase::Schema, false);
    story.phase(Phase::Copy, true);
    let post_data = tables.len() as u64;
    story.then(EventKind::PlanMade { tables: tables.to_vec(), post_data, jobs: JOBS as u32 });
    story.then(EventKind::SnapshotTaken { generation: 1, lsn: "1A/2B3C4D".into() });
}

fn copied(story: &mut Story, table: &PlannedTable) {
    let (id, rows) = (table.id, table.rows_estimate);
    story.then(EventKind::Table { id, state: TableState::Copied, rows, bytes: rows * 100 });
    let (verdict, method, differences, reason) = (Verdict::Match, "hash".to_owned(), Vec::new(), None);
    let result =
        TableVerdict { id, name: table.name.clone(), verdict, method, source_rows: rows, target_rows: rows, differences, reason };
    story.then(EventKind::TableVerified { result });
    story.then(EventKind::BuildStarted { id, kind: "INDEX".into(), name: format!("{}_pkey", table.name) });
}

/// The lines of a recording with so many tables.
pub fn recording(tables: u32) -> Vec<Item> {
    let began: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
    let mut story = Story { items: Vec::new(), board: Board::default(), began, at: began, shown: began, index: 0 };
    let tables: Vec<PlannedTable> = (1..=tables).map(planned).collect();
    begin(&mut story, &tables);
    // When each connection has done what it is at, and which table that is.
    let mut at_work: Vec<(Timestamp, Option<&PlannedTable>)> = vec![(story.at, None); JOBS as usize];
    let mut waiting = tables.iter();
    let mut built = Vec::new();
    while let Some(first) = (0..at_work.len()).min_by_key(|one| at_work[*one].0) {
        story.until(at_work[first].0);
        if let Some(table) = at_work[first].1 {
            copied(&mut story, table);
            built.push(table.id);
            if built.len() >= 8 {
                story.then(EventKind::BuildFinished { ids: std::mem::take(&mut built) });
            }
        }
        let Some(next) = waiting.next() else {
            at_work.swap_remove(first);
            continue;
        };
        story.then(EventKind::Table { id: next.id, state: TableState::Copying, rows: 0, bytes: 0 });
        story.board.table(next.id).add(next.rows_estimate / 2, next.rows_estimate * 50);
        let takes = TABLE_MS + next.bytes_estimate * 1000 / BYTES_PER_SECOND;
        at_work[first] = (story.at + SignedDuration::from_millis(takes as i64), Some(next));
    }
    end(&mut story, built);
    story.items
}

fn end(story: &mut Story, built: Vec<u32>) {
    story.then(EventKind::SnapshotReleased { generation: 1 });
    story.phase(Phase::Copy, false);
    story.phase(Phase::Index, true);
    story.then(EventKind::BuildFinished { ids: built });
    story.phase(Phase::Index, false);
    story.phase(Phase::Verify, true);
    story.later(700);
    let explained = vec!["The extension pg_cron is missing on the target. The target does not offer it.".to_owned()];
    story.then(EventKind::InventoryCompared { objects: 4711, differences: Vec::new(), explained, not_compared: Vec::new() });
    story.phase(Phase::Verify, false);
    story.then(EventKind::RunFinished { exit: Exit::Done, report: None });
}

/// Writes the lines into a file.
pub fn write(path: &Path, items: &[Item]) {
    let mut file = BufWriter::new(std::fs::File::create(path).unwrap());
    for item in items {
        let line = match item {
            Item::Event(event) => event_line(event),
            Item::Progress(progress) => progress_line(progress),
        };
        writeln!(file, "{}", line.unwrap()).unwrap();
    }
    file.flush().unwrap();
}

/// Everything that a recording tells.
pub fn folded(items: impl IntoIterator<Item = Item>) -> neon_migrate::engine::view::View {
    let mut view = neon_migrate::engine::view::View::default();
    for item in items {
        match item {
            Item::Event(event) => view.apply(&event),
            Item::Progress(progress) => view.progress = Some::<Progress>(progress),
        }
    }
    view
}
