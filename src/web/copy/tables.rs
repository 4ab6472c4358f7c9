//! The table of tables: all of them as data for the script, a hundred at a time for a browser without one.

use askama::Template;
use serde_json::{Value, json};

use crate::engine::event::{EventIndex, TableState, Verdict};
use crate::engine::report::Report;
use crate::engine::view::TableView;
use crate::show::numbers::{bytes, count, number, rate};
use crate::web::live::Shown;
use crate::web::page::{Part, Wanted};

/// How many tables a page without scripts shows at once.
const PAGE: usize = 100;
/// What can be sorted by: its name in addresses, and for people.
const COLUMNS: [(&str, &str); 5] = [("name", "Table"), ("state", "State"), ("rows", "Rows"), ("bytes", "Size"), ("rate", "Rate")];

/// A table as it is now.
struct Now<'a> {
    name: &'a str,
    state: State,
    rows: u64,
    bytes: u64,
    fraction: f64,
    rows_estimate: u64,
    bytes_estimate: u64,
    rate: Option<f64>,
}

/// Where a table is, in the order of the column: what needs a person first, then what is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Failed,
    Differs,
    Copying,
    Changing,
    NotCompared,
    Copied,
    Waiting,
    Equal,
}

impl State {
    fn of(table: &TableView) -> State {
        match (table.state, table.verdict.as_ref().map(|result| result.verdict)) {
            (TableState::Failed, _) => State::Failed,
            (_, Some(Verdict::Mismatch)) => State::Differs,
            (_, Some(Verdict::Match)) => State::Equal,
            (_, Some(Verdict::Hot)) => State::Changing,
            (_, Some(Verdict::NotEvaluated)) => State::NotCompared,
            (TableState::Copying, None) => State::Copying,
            (TableState::Copied, None) => State::Copied,
            (TableState::Pending, None) => State::Waiting,
        }
    }

    fn class(self) -> &'static str {
        match self {
            State::Failed | State::Differs => "failed",
            State::Changing | State::NotCompared => "attention",
            State::Copying => "running",
            State::Copied | State::Equal => "done",
            State::Waiting => "waiting",
        }
    }

    fn word(self) -> &'static str {
        match self {
            State::Failed => "Failed",
            State::Differs => "Rows differ",
            State::Changing => "Changing",
            State::NotCompared => "Not compared",
            State::Copying => "Copying",
            State::Copied => "Copied",
            State::Equal => "Copied, equal",
            State::Waiting => "Waiting",
        }
    }
}

fn now<'a>(shown: &'a Shown, table: &'a TableView) -> Now<'a> {
    let id = table.planned.id;
    let latest = shown.view.progress.as_ref().and_then(|progress| progress.tables.iter().find(|table| table.id == id));
    let (rows, bytes, fraction) = match latest {
        Some(latest) if table.state == TableState::Copying => (latest.rows, latest.bytes, latest.fraction),
        _ => (table.rows, table.bytes, if table.state == TableState::Copied { 1.0 } else { 0.0 }),
    };
    Now {
        name: &table.planned.name,
        state: State::of(table),
        rows,
        bytes,
        fraction,
        rows_estimate: table.planned.rows_estimate,
        bytes_estimate: table.planned.bytes_estimate,
        rate: shown.pace(id),
    }
}

impl Now<'_> {
    fn of_rows(&self) -> String {
        if self.state == State::Waiting { format!("about {}", number(self.rows_estimate)) } else { number(self.rows) }
    }

    fn of_bytes(&self) -> String {
        if self.state == State::Waiting { format!("about {}", bytes(self.bytes_estimate)) } else { bytes(self.bytes) }
    }

    fn of_rate(&self) -> String {
        self.rate.map_or_else(|| "–".to_owned(), rate)
    }

    fn percent(&self) -> u64 {
        (self.fraction.clamp(0.0, 1.0) * 100.0) as u64
    }

    /// id, name, class, word, order of the state, rows, bytes, percent, rows expected, bytes expected, rate.
    fn data(&self, id: u32) -> Value {
        let waits = self.state == State::Waiting;
        json!([
            id,
            self.name,
            self.state.class(),
            self.state.word(),
            self.state as u8,
            if waits { self.rows_estimate } else { self.rows },
            if waits { self.bytes_estimate } else { self.bytes },
            self.percent(),
            waits,
            self.rate.map(|rate| rate as u64),
        ])
    }
}

/// The tables that changed after `seen`; all of them if another plan was made since. Those on their way change all the time.
pub fn changed(shown: &Shown, seen: EventIndex) -> Option<String> {
    let all = shown.is_replanned_since(seen);
    let moves = |table: &TableView| table.state == TableState::Copying;
    let tables: Vec<Value> = shown
        .view
        .tables
        .iter()
        .filter(|table| all || moves(table) || shown.changed_at(table.planned.id) > seen)
        .map(|table| now(shown, table).data(table.planned.id))
        .collect();
    (all || !tables.is_empty()).then(|| json!({ "all": all, "tables": tables }).to_string())
}

#[derive(Template)]
#[template(path = "copy/tables.html")]
struct Tables<'a> {
    total: usize,
    /// Those of this page; none for a page with scripts, which has them from the stream.
    tables: Vec<Now<'a>>,
    found: usize,
    query: &'a str,
    sort: &'a str,
    falling: bool,
    page: usize,
    pages: usize,
}

impl Tables<'_> {
    fn columns(&self) -> Vec<(&'static str, &'static str, bool, &'static str)> {
        let order = |name: &str| match (name == self.sort, self.falling) {
            (false, _) => "none",
            (true, true) => "descending",
            (true, false) => "ascending",
        };
        COLUMNS
            .iter()
            .map(|(name, title)| (*name, *title, *name == "rows" || *name == "bytes" || *name == "rate", order(name)))
            .collect()
    }

    /// The address of this list, sorted otherwise or at another page.
    fn address(&self, sort: &str, falling: bool, page: usize) -> String {
        let order = if falling { "down" } else { "up" };
        format!("/copy?sort={sort}&order={order}&page={page}&find={}#part-tables", crate::web::page::escaped(self.query))
    }

    fn address_of(&self, pages_on: isize) -> String {
        self.address(self.sort, self.falling, self.page.saturating_add_signed(pages_on))
    }

    fn counted(&self) -> String {
        format!("{} of {}", number(self.found as u64), count(self.total as u64, "table", "tables"))
    }

    fn next_falling(&self, sort: &str) -> bool {
        if sort == self.sort { !self.falling } else { matches!(sort, "rows" | "bytes" | "rate") }
    }
}

/// The part.
///
/// # Errors
/// A fault of this program.
pub fn tables(shown: &Shown, wanted: &Wanted) -> Result<Part, Report> {
    if shown.view.tables.is_empty() {
        return Ok(Part { id: "tables", html: String::new() });
    }
    let get = |key: &str| wanted.get(key).map_or("", String::as_str);
    let sort = COLUMNS.iter().map(|(name, _)| *name).find(|name| *name == get("sort")).unwrap_or("state");
    let (query, falling) = (get("find"), get("order") == "down");
    let total = shown.view.tables.len();
    // A stream never carries the list: what moves in it goes in events of its own.
    let mut tables: Vec<Now> = if wanted.contains_key("streamed") { Vec::new() } else { found(shown, query) };
    sorted(&mut tables, sort, falling);
    let found = tables.len();
    let pages = found.div_ceil(PAGE).max(1);
    let page = get("page").parse().unwrap_or(1).clamp(1, pages);
    let tables = tables.into_iter().skip((page - 1) * PAGE).take(PAGE).collect();
    Part::new("tables", &Tables { total, tables, found, query, sort, falling, page, pages })
}

fn found<'a>(shown: &'a Shown, query: &str) -> Vec<Now<'a>> {
    let query = query.to_lowercase();
    let all = shown.view.tables.iter().map(|table| now(shown, table));
    all.filter(|table| query.is_empty() || table.name.to_lowercase().contains(&query)).collect()
}

fn sorted(tables: &mut [Now], sort: &str, falling: bool) {
    tables.sort_by(|left, right| {
        let order = match sort {
            "name" => left.name.cmp(right.name),
            "rows" => left.rows.max(left.rows_estimate).cmp(&right.rows.max(right.rows_estimate)),
            "bytes" => left.bytes.max(left.bytes_estimate).cmp(&right.bytes.max(right.bytes_estimate)),
            "rate" => left.rate.unwrap_or(-1.0).total_cmp(&right.rate.unwrap_or(-1.0)),
            _ => left.state.cmp(&right.state),
        };
        let order = if falling { order.reverse() } else { order };
        order.then_with(|| left.name.cmp(right.name))
    });
}
