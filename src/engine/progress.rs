//! The progress of the work, as far as it is not worth an event: how many rows and bytes have passed, what is being built.
//!
//! Workers bump atomics on the [`Board`] and never wait. Four times a second the board is read into a [`Progress`], of which only the
//! latest matters. A table's share of the whole is its estimated size; how far it is, is judged by its rows where their number is
//! known, because the bytes that travel differ from the bytes on disk. So the total reaches its end exactly when the last table does.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{EventKind, PlannedTable, TableId, TableState};

/// What is known right now and not worth an event. The latest replaces all earlier ones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// When it was taken; nothing before the first.
    pub at: Option<jiff::Timestamp>,
    /// Rows copied so far, by earlier runs too.
    pub rows: u64,
    /// Bytes of rows copied so far, as they travelled.
    pub bytes: u64,
    /// How much of the data is copied, from 0 to 1, by estimated size; nothing before the plan.
    pub fraction: Option<f64>,
    /// Bytes in a second, over the last ten seconds or so; nothing while it is not known.
    pub bytes_per_second: Option<f64>,
    /// Rows in a second, likewise.
    pub rows_per_second: Option<f64>,
    /// How many seconds the copy is likely to go on: from, to. Nothing while a guess would not be honest.
    pub eta_seconds: Option<(u64, u64)>,
    /// The tables whose rows are on their way.
    pub tables: Vec<TableProgress>,
    /// The objects being built.
    pub builds: Vec<BuildProgress>,
}

/// One table whose rows are on their way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableProgress {
    /// The table.
    pub id: TableId,
    /// Rows so far.
    pub rows: u64,
    /// Bytes so far.
    pub bytes: u64,
    /// How much of it is copied, from 0 to 1.
    pub fraction: f64,
}

/// One object being built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildProgress {
    /// Its number.
    pub id: u32,
    /// `INDEX`, `FK CONSTRAINT`, ….
    pub kind: String,
    /// Its name.
    pub name: String,
    /// How far it is, from 0 to 100, where the server says so.
    pub percent: Option<u8>,
}

const PENDING: u8 = 0;
const COPYING: u8 = 1;
const ENDED: u8 = 2;

/// The counters of one table. Workers hold it and bump it.
#[derive(Debug, Default)]
pub struct TableCounter {
    rows: AtomicU64,
    bytes: AtomicU64,
    rows_estimate: AtomicU64,
    bytes_estimate: AtomicU64,
    state: AtomicU8,
}

impl TableCounter {
    /// Counts rows and bytes that have passed.
    pub fn add(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes back what was counted for a part that will be copied again.
    pub fn take_back(&self, rows: u64, bytes: u64) {
        // The closures always give a value, so the updates cannot fail.
        let _ = self.rows.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(now.saturating_sub(rows)));
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(now.saturating_sub(bytes)));
    }

    /// Rows counted so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Bytes counted so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn set(&self, rows: u64, bytes: u64, state: u8) {
        self.rows.store(rows, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        self.state.store(state, Ordering::Relaxed);
    }

    /// Its share of the whole: its size, and one page for the work that every table costs.
    fn weight(&self) -> f64 {
        self.bytes_estimate.load(Ordering::Relaxed) as f64 + 8192.0
    }

    fn fraction(&self) -> f64 {
        match self.state.load(Ordering::Relaxed) {
            PENDING => 0.0,
            ENDED => 1.0,
            _ => {
                let rows_estimate = self.rows_estimate.load(Ordering::Relaxed);
                let bytes_estimate = self.bytes_estimate.load(Ordering::Relaxed);
                let fraction = match (rows_estimate, bytes_estimate) {
                    (0, 0) => 0.0,
                    (0, bytes) => self.bytes() as f64 / bytes as f64,
                    (rows, _) => self.rows() as f64 / rows as f64,
                };
                // Estimates err; only the end is the end.
                fraction.min(0.99)
            }
        }
    }
}

/// The counter of one object that is being built.
#[derive(Debug)]
pub struct BuildCounter {
    kind: String,
    name: String,
    percent: AtomicU8,
}

const PERCENT_UNKNOWN: u8 = u8::MAX;

impl BuildCounter {
    /// Sets how far it is, from 0 to 100.
    pub fn set_percent(&self, percent: u8) {
        self.percent.store(percent.min(100), Ordering::Relaxed);
    }
}

/// All counters of a run. Tables and builds register themselves through the events that the run emits.
#[derive(Debug, Default)]
pub struct Board {
    tables: RwLock<HashMap<TableId, Arc<TableCounter>>>,
    builds: RwLock<BTreeMap<u32, Arc<BuildCounter>>>,
    planned: std::sync::atomic::AtomicBool,
    rates: Mutex<Rates>,
}

impl Board {
    /// The counter of a table. One that was never planned has one too; its rows and bytes count in the totals.
    pub fn table(&self, id: TableId) -> Arc<TableCounter> {
        if let Some(counter) = self.tables.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Arc::clone(counter);
        }
        Arc::clone(self.tables.write().unwrap_or_else(PoisonError::into_inner).entry(id).or_default())
    }

    /// The counter of an object that is being built, from its `BuildStarted` to its `BuildFinished`.
    pub fn build(&self, id: u32) -> Option<Arc<BuildCounter>> {
        self.builds.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Learns from an event.
    pub fn observe(&self, kind: &EventKind) {
        let builds = || self.builds.write().unwrap_or_else(PoisonError::into_inner);
        match kind {
            EventKind::PlanMade { tables, .. } => self.plan(tables),
            EventKind::Table { id, state, rows, bytes } => match state {
                TableState::Pending => self.table(*id).set(0, 0, PENDING),
                TableState::Copying => self.table(*id).set(0, 0, COPYING),
                TableState::Copied => self.table(*id).set(*rows, *bytes, ENDED),
                TableState::Failed => self.table(*id).state.store(ENDED, Ordering::Relaxed),
            },
            EventKind::BuildStarted { id, kind, name } => {
                let counter = BuildCounter { kind: kind.clone(), name: name.clone(), percent: AtomicU8::new(PERCENT_UNKNOWN) };
                builds().insert(*id, Arc::new(counter));
            }
            EventKind::BuildFinished { ids } => {
                let mut builds = builds();
                for id in ids {
                    builds.remove(id);
                }
            }
            EventKind::RunStarted { .. } => self.interrupt(),
            EventKind::BegunAnew => {
                builds().clear();
                self.tables.write().unwrap_or_else(PoisonError::into_inner).clear();
                self.planned.store(false, Ordering::Relaxed);
            }
            _ => (),
        }
    }

    /// What an earlier run had under way is not under way any more.
    fn interrupt(&self) {
        self.builds.write().unwrap_or_else(PoisonError::into_inner).clear();
        for counter in self.tables.read().unwrap_or_else(PoisonError::into_inner).values() {
            if counter.state.load(Ordering::Relaxed) == COPYING {
                counter.set(0, 0, PENDING);
            }
        }
    }

    /// Sets the estimates; what earlier runs have copied keeps its counts.
    fn plan(&self, planned: &[PlannedTable]) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let mut kept = HashMap::with_capacity(planned.len());
        for table in planned {
            let counter = tables.remove(&table.id).unwrap_or_default();
            counter.rows_estimate.store(table.rows_estimate, Ordering::Relaxed);
            counter.bytes_estimate.store(table.bytes_estimate, Ordering::Relaxed);
            if counter.state.load(Ordering::Relaxed) == COPYING {
                counter.set(0, 0, PENDING);
            }
            kept.insert(table.id, counter);
        }
        *tables = kept;
        self.planned.store(true, Ordering::Relaxed);
    }

    /// Reads all counters. `since_start` is the time since the run began, by a clock that only goes forward.
    pub fn sample(&self, at: jiff::Timestamp, since_start: Duration) -> Progress {
        let mut progress = Progress { at: Some(at), ..Progress::default() };
        let (mut done, mut whole, mut copying) = (0.0, 0.0, false);
        for (id, counter) in self.tables.read().unwrap_or_else(PoisonError::into_inner).iter() {
            let (rows, bytes, fraction) = (counter.rows(), counter.bytes(), counter.fraction());
            progress.rows += rows;
            progress.bytes += bytes;
            done += counter.weight() * fraction;
            whole += counter.weight();
            if counter.state.load(Ordering::Relaxed) == COPYING {
                copying = true;
                progress.tables.push(TableProgress { id: *id, rows, bytes, fraction });
            }
        }
        progress.tables.sort_unstable_by_key(|table| (std::cmp::Reverse(table.bytes), table.id));
        progress.fraction = (self.planned.load(Ordering::Relaxed) && whole > 0.0).then(|| done / whole);
        for (id, counter) in self.builds.read().unwrap_or_else(PoisonError::into_inner).iter() {
            let percent = counter.percent.load(Ordering::Relaxed);
            let percent = (percent != PERCENT_UNKNOWN).then_some(percent);
            progress.builds.push(BuildProgress { id: *id, kind: counter.kind.clone(), name: counter.name.clone(), percent });
        }
        if copying {
            let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
            rates.observe(since_start, [progress.bytes as f64, progress.rows as f64, done]);
            progress.bytes_per_second = rates.short.rate(0);
            progress.rows_per_second = rates.short.rate(1);
            progress.eta_seconds = rates.eta(whole - done);
        } else {
            *self.rates.lock().unwrap_or_else(PoisonError::into_inner) = Rates::default();
        }
        progress
    }
}

/// How fast bytes, rows and the work as a whole go on, over a short and a long window. Where both agree, the end can be foretold closely.
#[derive(Debug)]
struct Rates {
    short: Window,
    long: Window,
    first: Option<Duration>,
    last: Duration,
}

impl Default for Rates {
    fn default() -> Self {
        Rates { short: Window::new(10.0), long: Window::new(60.0), first: None, last: Duration::ZERO }
    }
}

/// How long the copy must have gone on before its end is foretold.
const ETA_AFTER: Duration = Duration::from_secs(10);
/// An end further away than this is not worth a number.
const ETA_MAX_SECONDS: f64 = 30.0 * 86_400.0;

impl Rates {
    fn observe(&mut self, at: Duration, done: [f64; 3]) {
        self.first.get_or_insert(at);
        self.last = at;
        self.short.observe(at, done);
        self.long.observe(at, done);
    }

    fn eta(&self, remaining: f64) -> Option<(u64, u64)> {
        if self.last.saturating_sub(self.first?) < ETA_AFTER {
            return None;
        }
        let (short, long) = (remaining / self.short.rate(2)?, remaining / self.long.rate(2)?);
        let (low, high) = (short.min(long) * 0.9, short.max(long) * 1.1);
        (high.is_finite() && high < ETA_MAX_SECONDS).then(|| (low.floor() as u64, high.ceil() as u64))
    }
}

/// Exponentially weighted rates: what happened `tau` seconds ago weighs 1/e of what happens now. Both the sums and the time are weighted, so the
/// rates are right from the first interval on.
#[derive(Debug)]
struct Window {
    tau: f64,
    last: Option<(Duration, [f64; 3])>,
    sums: [f64; 3],
    seconds: f64,
}

impl Window {
    fn new(tau: f64) -> Self {
        Window { tau, last: None, sums: [0.0; 3], seconds: 0.0 }
    }

    fn observe(&mut self, at: Duration, done: [f64; 3]) {
        if let Some((before, was)) = self.last {
            let seconds = at.saturating_sub(before).as_secs_f64();
            let fade = (-seconds / self.tau).exp();
            self.seconds = self.seconds * fade + seconds;
            for (sum, (now, was)) in self.sums.iter_mut().zip(done.iter().zip(was)) {
                // A table that is copied again takes its counts back; that is no negative speed.
                *sum = *sum * fade + (now - was).max(0.0);
            }
        }
        self.last = Some((at, done));
    }

    fn rate(&self, which: usize) -> Option<f64> {
        (self.seconds > 0.5).then(|| self.sums[which] / self.seconds)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn planned(id: TableId, rows: u64, bytes: u64) -> PlannedTable {
        PlannedTable {
            id,
            name: format!("public.t{id}"),
            rows_estimate: rows,
            bytes_estimate: bytes,
            parts: 1,
            format: "binary".into(),
            indexes: 0,
        }
    }

    fn table(id: TableId, state: TableState, rows: u64, bytes: u64) -> EventKind {
        EventKind::Table { id, state, rows, bytes }
    }

    fn plan(tables: Vec<PlannedTable>) -> EventKind {
        EventKind::PlanMade { tables, post_data: 0, jobs: 2 }
    }

    #[test]
    fn the_whole_is_done_when_the_last_table_is() {
        let board = Board::default();
        let at = jiff::Timestamp::UNIX_EPOCH;
        assert_eq!(board.sample(at, Duration::ZERO).fraction, None);
        board.observe(&plan(vec![planned(1, 100, 1_000_000), planned(2, 0, 1_000_000)]));
        assert_eq!(board.sample(at, Duration::ZERO).fraction, Some(0.0));
        board.observe(&table(1, TableState::Copying, 0, 0));
        board.table(1).add(50, 9_000_000);
        let progress = board.sample(at, Duration::ZERO);
        assert!((progress.fraction.unwrap() - 0.25).abs() < 1e-9);
        assert_eq!((progress.tables.len(), progress.tables[0].rows), (1, 50));
        board.table(1).add(5000, 0);
        assert!(board.sample(at, Duration::ZERO).fraction.unwrap() < 0.5, "more rows than estimated are not the end");
        board.observe(&table(1, TableState::Copied, 5050, 9_000_000));
        board.observe(&table(2, TableState::Copied, 1, 8));
        let progress = board.sample(at, Duration::ZERO);
        assert_eq!((progress.fraction, progress.rows, progress.bytes), (Some(1.0), 5051, 9_000_008));
        assert!(progress.tables.is_empty());
    }

    #[test]
    fn a_second_plan_keeps_what_was_copied_and_begins_the_rest_anew() {
        let board = Board::default();
        board.observe(&plan(vec![planned(1, 1, 1), planned(2, 1, 1), planned(3, 1, 1)]));
        board.observe(&table(1, TableState::Copied, 10, 100));
        board.observe(&table(2, TableState::Copying, 0, 0));
        board.table(2).add(5, 50);
        board.observe(&plan(vec![planned(1, 1, 1), planned(2, 1, 1)]));
        let progress = board.sample(jiff::Timestamp::UNIX_EPOCH, Duration::ZERO);
        assert_eq!((progress.rows, progress.bytes), (10, 100));
    }

    #[test]
    fn a_steady_copy_has_a_steady_rate_and_a_close_eta() {
        let board = Board::default();
        board.observe(&plan(vec![planned(1, 1_000_000, 100_000_000)]));
        board.observe(&table(1, TableState::Copying, 0, 0));
        let mut progress = Progress::default();
        for quarter in 0..=80 {
            progress = board.sample(jiff::Timestamp::UNIX_EPOCH, Duration::from_millis(quarter * 250));
            assert!(quarter >= 40 || progress.eta_seconds.is_none(), "too early for an ETA");
            board.table(1).add(2_500, 250_000);
        }
        let rate = progress.bytes_per_second.unwrap();
        assert!((rate - 1_000_000.0).abs() < 1.0, "{rate}");
        let (low, high) = progress.eta_seconds.unwrap();
        assert!(low <= 80 && 80 <= high && high - low < 20, "{low} to {high}");
    }

    #[test]
    fn builds_come_and_go() {
        let board = Board::default();
        board.observe(&EventKind::BuildStarted { id: 7, kind: "INDEX".into(), name: "i".into() });
        board.build(7).unwrap().set_percent(40);
        let progress = board.sample(jiff::Timestamp::UNIX_EPOCH, Duration::ZERO);
        assert_eq!((progress.builds.len(), progress.builds[0].percent), (1, Some(40)));
        board.observe(&EventKind::BuildFinished { ids: vec![7] });
        assert!(board.build(7).is_none());
    }
}
