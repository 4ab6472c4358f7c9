//! What step 5 looks like.

use askama::Template;
use jiff::Timestamp;

use super::off::Known;
use super::{Inner, connection, off, sequences, verify};
use crate::engine::event::{TableVerdict, Verdict};
use crate::engine::phase::Phase;
use crate::engine::report::{Exit, Report};
use crate::engine::view::{VerdictCounts, View};
use crate::migration::by_hand::off::Statement;
use crate::migration::by_hand::sequences::{Difference, State as Stand};
use crate::migration::by_hand::words::{Stage, Tone};
use crate::migration::sequences::Value;
use crate::show::conclusion::{Conclusion, Tone as Answer, conclusion};
use crate::show::numbers::{count, duration, number};
use crate::web::app::App;
use crate::web::guard::Visitor;
use crate::web::page::{self, Part, Wanted};

/// How long a list is at most; the rest is counted.
const LIST_MAX: usize = 200;

/// The parts, in their order.
///
/// # Errors
/// A fault of this program.
pub(super) fn parts(app: &App, visitor: &Visitor, wanted: &Wanted) -> Result<Vec<Part>, Report> {
    let ends = app.ends();
    let has_ends = ends.source.is_some() && ends.target.is_some();
    let copied = app.live.read(|shown| Copied::of(&shown.view));
    let has_report = app.live.read(|shown| shown.view.run.is_some());
    let inner = app.finish.lock();
    let parts = vec![
        checklist(&inner, copied)?,
        of_sequences(&inner.sequences, visitor, has_ends)?,
        compared(&inner.verify, visitor, has_ends)?,
        turned_off(&inner.off, visitor, has_ends)?,
    ];
    drop(inner);
    let last =
        [connection::part(app, visitor, connection::framework(wanted), false)?, Part::new("report", &ReportLinks { has_report })?];
    Ok(parts.into_iter().chain(last).collect())
}

/// What the copy of step 3 says about its rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Copied {
    Nothing,
    Equal,
    NotEqual,
}

impl Copied {
    fn of(view: &View) -> Copied {
        let counts = view.verdict_counts();
        let is_done = view.ended.as_ref().is_some_and(|ended| ended.exit == Exit::Done);
        match counts.total() {
            0 => Copied::Nothing,
            total if is_done && counts.matching == total => Copied::Equal,
            _ => Copied::NotEqual,
        }
    }
}

/// One thing to do.
struct Item {
    class: &'static str,
    word: &'static str,
    title: &'static str,
    words: String,
    anchor: &'static str,
}

#[derive(Template)]
#[template(path = "finish/checklist.html")]
struct Checklist {
    items: Vec<Item>,
}

impl Checklist {
    fn left(&self) -> usize {
        self.items.iter().filter(|item| item.class != "done").count()
    }
}

fn checklist(inner: &Inner, copied: Copied) -> Result<Part, Report> {
    let items =
        vec![item_sequences(&inner.sequences), item_compared(&inner.verify, copied), item_off(&inner.off), item_connection()];
    Part::new("checklist", &Checklist { items })
}

fn item(anchor: &'static str, title: &'static str, (class, words): (&'static str, impl Into<String>)) -> Item {
    let word = match class {
        "done" => "Done",
        "running" => "Running",
        "attention" => "Look at it",
        "failed" => "Failed",
        _ => "To do",
    };
    Item { class, word, title, words: words.into(), anchor }
}

fn item_compared(stands: &verify::Stands, copied: Copied) -> Item {
    let exit = stands.view().and_then(|view| view.ended.as_ref()).map(|ended| ended.exit);
    let state = match (stands, exit) {
        (verify::Stands::Failed(_), _) => ("failed", "The comparison did not begin."),
        (stands, _) if stands.is_running() => ("running", "Under way."),
        (_, Some(Exit::Done)) => ("done", "Everything that was compared is equal."),
        (_, Some(Exit::Mismatch)) => ("attention", "The two sides differ."),
        (_, Some(_)) => ("attention", "The comparison stopped before its end."),
        (_, None) if copied == Copied::Equal => {
            ("waiting", "The copy of step 3 compared every row that it copied. What was written since is not in that.")
        }
        (_, None) => ("waiting", "Not compared yet."),
    };
    item("verify", "Both sides compared", state)
}

fn item_off(stands: &off::Stands) -> Item {
    let state = match stands {
        off::Stands::NotYet => ("waiting", "Not looked at yet."),
        off::Stands::Looking => ("running", "Looking."),
        off::Stands::Known(known) if known.statements.is_empty() => ("done", "Nothing of it is there."),
        off::Stands::Known(_) => ("waiting", "It is set up, and has to be turned off at the end."),
        off::Stands::Running(_) => ("running", "Under way."),
        off::Stands::Off(_) => ("done", "Turned off: 0 left on both sides."),
        off::Stands::Failed(..) => ("failed", "It stopped on the way."),
        off::Stands::Unseen(_) => ("attention", "It could not be looked at."),
    };
    item("off", "Logical replication turned off", state)
}

fn item_sequences(stands: &sequences::Stands) -> Item {
    let state = match stands {
        sequences::Stands::NotYet => ("waiting", "Not compared yet.".to_owned()),
        sequences::Stands::Comparing | sequences::Stands::Setting => ("running", "Under way.".to_owned()),
        sequences::Stands::Failed(_) => ("failed", "They could not be compared.".to_owned()),
        sequences::Stands::Known(compared, _) if compared.in_state(Stand::Unseen).next().is_some() => {
            ("attention", "Some could not be compared.".to_owned())
        }
        sequences::Stands::Known(..) if stands.is_done() => ("done", "None of the target is behind.".to_owned()),
        sequences::Stands::Known(compared, _) => {
            let behind = compared.in_state(Stand::Behind).count() as u64;
            ("attention", format!("{} behind.", count(behind, "sequence is", "sequences are")))
        }
    };
    item("sequences", "Sequences brought up to date", state)
}

fn item_connection() -> Item {
    item(
        "connection",
        "The application uses the new connection string",
        ("waiting", "You do this, where your application is configured; it cannot be seen from here."),
    )
}

/// The comparison.
#[derive(Template)]
#[template(path = "finish/verify.html")]
struct Compared<'a> {
    visitor: &'a Visitor,
    has_ends: bool,
    stands: &'a verify::Stands,
    failed: String,
    result: Option<Outcome>,
    running: String,
}

/// What came of it.
struct Outcome {
    class: &'static str,
    /// Whether something differs.
    differs: bool,
    headline: String,
    figures: Vec<(&'static str, String)>,
    /// Title, rows, how many more there are, and whether it is open.
    tables: Vec<(&'static str, Vec<Row>, usize, bool)>,
    lists: Vec<(&'static str, Vec<String>, usize)>,
    failed: String,
}

/// A table that was compared.
struct Row {
    name: String,
    class: &'static str,
    word: &'static str,
    rows: String,
    words: Vec<String>,
}

fn compared(stands: &verify::Stands, visitor: &Visitor, has_ends: bool) -> Result<Part, Report> {
    let failed = if let verify::Stands::Failed(report) = stands { page::report_html(report)? } else { String::new() };
    let result = match stands {
        verify::Stands::Ended(view) => Some(result(view)?),
        _ => None,
    };
    let running = match stands {
        verify::Stands::Running(view, _) => running(view),
        _ => "Looking at both databases.".to_owned(),
    };
    Part::new("verify", &Compared { visitor, has_ends, stands, failed, result, running })
}

fn running(view: &View) -> String {
    let counts = view.verdict_counts();
    let phase =
        view.phases_running().next().map_or_else(|| Phase::Preflight.title().to_owned(), |phase| phase.phase.title().to_owned());
    let so_far = match counts.total() {
        0 => String::new(),
        total => format!(" {} compared so far, {} different.", count(total, "table", "tables"), number(counts.different)),
    };
    format!("{phase}.{so_far}")
}

fn result(view: &View) -> Result<Outcome, Report> {
    let counts = view.verdict_counts();
    let (mut different, mut unknown, mut equal) = (Vec::new(), Vec::new(), Vec::new());
    for verdict in view.verdicts() {
        match verdict.verdict {
            Verdict::Match => equal.push(verdict),
            Verdict::Mismatch => different.push(verdict),
            Verdict::Hot | Verdict::NotEvaluated => unknown.push(verdict),
        }
    }
    let by_name = |verdicts: &mut Vec<&TableVerdict>| verdicts.sort_by(|a, b| a.name.cmp(&b.name));
    [&mut different, &mut unknown, &mut equal].into_iter().for_each(by_name);
    let (class, headline) = headline(view);
    let list = |title, list: &[String]| -> (&'static str, Vec<String>, usize) {
        (title, list.iter().take(LIST_MAX).cloned().collect(), list.len().saturating_sub(LIST_MAX))
    };
    let lists = view.inventory.as_ref().map_or_else(Vec::new, |inventory| {
        vec![
            list("Objects that differ", &inventory.differences),
            list("Differences that were announced", &inventory.explained),
            list("Not compared", &inventory.not_compared),
        ]
    });
    // What differs is named below; its report is for the terminal.
    let ended = view.ended.as_ref().filter(|ended| ended.exit != Exit::Mismatch);
    let failed = ended.and_then(|ended| ended.report.as_ref()).map(page::report_html).transpose()?.unwrap_or_default();
    Ok(Outcome {
        class,
        differs: view.ended.as_ref().is_some_and(|ended| ended.exit == Exit::Mismatch),
        headline,
        figures: figures(view, counts),
        tables: vec![
            tables("Tables that differ", &different, true),
            tables("Tables that could not be compared", &unknown, true),
            tables("Tables that are equal", &equal, false),
        ],
        lists: lists.into_iter().filter(|(_, list, _)| !list.is_empty()).collect(),
        failed,
    })
}

fn tables(title: &'static str, verdicts: &[&TableVerdict], open: bool) -> (&'static str, Vec<Row>, usize, bool) {
    let rows = verdicts.iter().take(LIST_MAX).map(|verdict| row(verdict)).collect();
    (title, rows, verdicts.len().saturating_sub(LIST_MAX), open)
}

/// The class of a card, and the answer.
fn headline(view: &View) -> (&'static str, String) {
    let exit = view.ended.as_ref().map_or(Exit::Interrupted, |ended| ended.exit);
    let Conclusion { tone, sentence, more } = conclusion(view, exit);
    let class = match tone {
        Answer::Good => "done",
        Answer::Attention | Answer::Plain => "attention",
        Answer::Bad => "failed",
    };
    (class, if more.is_empty() { sentence } else { format!("{sentence} {more}") })
}

fn figures(view: &View, counts: VerdictCounts) -> Vec<(&'static str, String)> {
    let rows = view.verdicts().filter(|verdict| verdict.verdict == Verdict::Match).map(|verdict| verdict.source_rows).sum();
    let mut figures =
        vec![("Tables equal", format!("{} of {}", number(counts.matching), number(counts.total()))), ("Rows equal", number(rows))];
    if let Some(inventory) = &view.inventory {
        figures.push(("Objects compared", number(inventory.objects)));
    }
    if let Some(ended) = &view.ended {
        figures.push(("Time", duration(view.elapsed(ended.at))));
        figures.push(("When", moment(ended.at)));
    }
    figures
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn row(verdict: &TableVerdict) -> Row {
    let (class, word) = match verdict.verdict {
        Verdict::Match => ("done", "Equal"),
        Verdict::Mismatch => ("failed", "Different"),
        Verdict::Hot => ("attention", "Being written to"),
        Verdict::NotEvaluated => ("unknown", "Not compared"),
    };
    let rows = match verdict.verdict {
        Verdict::NotEvaluated => String::new(),
        _ if verdict.source_rows == verdict.target_rows => number(verdict.source_rows),
        _ => format!("{} on the source, {} on the target", number(verdict.source_rows), number(verdict.target_rows)),
    };
    let words = verdict.reason.iter().chain(&verdict.differences).cloned().collect();
    Row { name: verdict.name.clone(), class, word, rows, words }
}

/// Turning replication off.
#[derive(Template)]
#[template(path = "finish/off.html")]
struct TurnedOff<'a> {
    visitor: &'a Visitor,
    has_ends: bool,
    stands: &'a off::Stands,
    failed: String,
}

impl TurnedOff<'_> {
    fn known(&self) -> Option<&Known> {
        if let off::Stands::Known(known) = self.stands { Some(known) } else { None }
    }

    /// The statements and how far they are.
    fn progress(&self) -> Vec<(&Statement, &'static str, &'static str)> {
        let (running, is_failed) = match self.stands {
            off::Stands::Running(running) => (running, false),
            off::Stands::Failed(_, running) => (running, true),
            _ => return Vec::new(),
        };
        let state = |place: usize| match place.cmp(&running.done) {
            std::cmp::Ordering::Less => ("done", "Done"),
            std::cmp::Ordering::Equal if is_failed => ("attention", "Not done"),
            std::cmp::Ordering::Equal => ("running", "Running"),
            std::cmp::Ordering::Greater => ("waiting", "To come"),
        };
        let told = running.statements.iter().enumerate();
        told.map(|(place, statement)| (statement, state(place).0, state(place).1)).collect()
    }

    fn is_off(&self) -> bool {
        matches!(self.stands, off::Stands::Off(_)) || self.known().is_some_and(|known| known.statements.is_empty())
    }

    /// What is not ours and yet to be known, such as a slot that nobody uses.
    fn hints(&self) -> Vec<(String, String)> {
        let sentences = self.known().map_or_else(Vec::new, |known| known.look.about_source());
        let hint =
            |said: crate::migration::by_hand::words::Sentence| (said.tone == Tone::Attention).then_some((said.text, said.sql?));
        sentences.into_iter().filter_map(hint).collect()
    }

    fn is_left_over(&self) -> bool {
        self.known().is_some_and(|known| known.look.next().stage == Stage::LeftOver)
    }
}

fn turned_off(stands: &off::Stands, visitor: &Visitor, has_ends: bool) -> Result<Part, Report> {
    let failed = match stands {
        off::Stands::Failed(report, _) | off::Stands::Unseen(report) => page::report_html(report)?,
        _ => String::new(),
    };
    Part::new("off", &TurnedOff { visitor, has_ends, stands, failed })
}

/// The sequences.
#[derive(Template)]
#[template(path = "finish/sequences.html")]
struct OfSequences<'a> {
    visitor: &'a Visitor,
    has_ends: bool,
    stands: &'a sequences::Stands,
    failed: String,
}

impl OfSequences<'_> {
    fn is_known(&self) -> bool {
        matches!(self.stands, sequences::Stands::Known(..))
    }

    fn differences(&self) -> &[Difference] {
        if let sequences::Stands::Known(compared, _) = self.stands { &compared.differences } else { &[] }
    }

    fn in_state(&self, wanted: Stand) -> u64 {
        self.differences().iter().filter(|difference| difference.state == wanted).count() as u64
    }

    /// How many differ in which way.
    fn counted(&self) -> String {
        let ways = [
            (Stand::Behind, "behind"),
            (Stand::Ahead, "ahead"),
            (Stand::Missing, "not on the target"),
            (Stand::Unseen, "that may not be read or set"),
        ];
        let counted = ways.map(|(state, words)| (self.in_state(state), words));
        let words = counted.iter().filter(|(n, _)| *n > 0).map(|(n, words)| format!("{} {words}", number(*n)));
        words.collect::<Vec<_>>().join(", ")
    }

    fn first(&self) -> &[Difference] {
        self.differences().get(..LIST_MAX).unwrap_or(self.differences())
    }

    fn more(&self) -> usize {
        self.differences().len().saturating_sub(LIST_MAX)
    }

    fn statements(&self) -> String {
        let statements = self.differences().iter().filter_map(Difference::statement).take(LIST_MAX);
        statements.collect::<Vec<_>>().join("\n")
    }

    fn behind(&self) -> String {
        count(self.in_state(Stand::Behind), "sequence", "sequences")
    }

    fn total(&self) -> String {
        if let sequences::Stands::Known(compared, _) = self.stands {
            count(compared.total as u64, "sequence", "sequences")
        } else {
            String::new()
        }
    }
}

fn state_of(difference: &Difference) -> (&'static str, &'static str) {
    match difference.state {
        Stand::Behind => ("attention", "Behind"),
        Stand::Ahead => ("note", "Ahead: left as it is"),
        Stand::Missing => ("failed", "Not on the target"),
        Stand::Unseen => ("unknown", "May not be read or set"),
    }
}

/// What a sequence holds, in words.
fn value(value: Option<&Value>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) => {
            let sign = if value.last < 0 { "−" } else { "" };
            let unused = if value.called { "" } else { " (not given out yet)" };
            format!("{sign}{}{unused}", number(value.last.unsigned_abs()))
        }
    }
}

fn of_sequences(stands: &sequences::Stands, visitor: &Visitor, has_ends: bool) -> Result<Part, Report> {
    let failed = if let sequences::Stands::Failed(report) = stands { page::report_html(report)? } else { String::new() };
    Part::new("sequences", &OfSequences { visitor, has_ends, stands, failed })
}

/// The report of the whole migration.
#[derive(Template)]
#[template(path = "finish/report.html")]
struct ReportLinks {
    has_report: bool,
}
