//! What step 1 looks like.

use askama::Template;

use super::{Compared, Inner, Work};
use crate::engine::checkup::{Checkup, Headline, Open, Outcome, Standing, Status, TopTable, Way, WayKind};
use crate::engine::finding::{Finding, Severity};
use crate::engine::report::Report;
use crate::migration::ends::Source;
use crate::migration::error::capitalised;
use crate::migration::preflight;
use crate::show::checkup_file::estimate_words;
use crate::show::numbers::{bytes, clean, count, duration, number};
use crate::web::app::App;
use crate::web::connection::Field;
use crate::web::guard::Visitor;
use crate::web::page::{Part, fix_parts, report_html};

/// The parts, as things are now.
pub(super) fn parts(app: &App, visitor: &Visitor) -> Result<Vec<Part>, Report> {
    let of_process = app.ends().source;
    let inner = &*app.check.lock();
    let known = inner.tried.as_ref().or(of_process.as_ref());
    let source = SourceView {
        visitor,
        field: field(inner, known)?,
        is_given: inner.tried.is_none() && of_process.is_some(),
        compared: inner.compared,
        is_running: inner.work.is_some(),
        is_first: inner.checkup.is_none(),
    };
    let state = StateView {
        visitor,
        work: inner.work.as_ref(),
        checkup: inner.checkup.as_ref().filter(|_| !is_looking_at_all(inner)),
        said: inner.said.as_deref(),
        failed: inner.failed.as_ref().map(report_html).transpose()?,
    };
    let found = FoundView::new(visitor, inner);
    let more = MoreView { checkup: inner.checkup.as_ref().filter(|_| !is_looking_at_all(inner)) };
    Ok(vec![
        Part::new("check-source", &source)?,
        Part::new("check-state", &state)?,
        Part::new("check-found", &found)?,
        Part::new("check-more", &more)?,
    ])
}

fn field(inner: &Inner, known: Option<&Source>) -> Result<Field, Report> {
    let field = Field::new("source", "Connection string of the source", known.map(Source::info))?;
    let hint = "A URI, or host=… user=… pairs, as your application or your provider's console has it.";
    Ok(Field { hint, wrong: inner.wrong.clone(), accepted: inner.accepted, ..field })
}

fn is_looking_at_all(inner: &Inner) -> bool {
    inner.work.as_ref().is_some_and(|work| work.code.is_none())
}

#[derive(Template)]
#[template(path = "check/source.html")]
struct SourceView<'a> {
    visitor: &'a Visitor,
    field: Field,
    /// It was named when the process was started.
    is_given: bool,
    compared: Compared,
    is_running: bool,
    is_first: bool,
}

#[derive(Template)]
#[template(path = "check/state.html")]
struct StateView<'a> {
    visitor: &'a Visitor,
    work: Option<&'a Work>,
    checkup: Option<&'a Checkup>,
    said: Option<&'a str>,
    failed: Option<String>,
}

impl StateView<'_> {
    fn class(&self, checkup: &Checkup) -> &'static str {
        if checkup.is_blocked() { "attention" } else { "done" }
    }

    fn verdict(&self, checkup: &Checkup) -> String {
        let database = clean(&checkup.source.database);
        match checkup.findings(Severity::Blocker).count() as u64 {
            0 => format!("Nothing stands in the way of moving {database}"),
            n => format!("{} in the way of moving {database}", count(n, "finding stands", "findings stand")),
        }
    }

    fn counts(&self, checkup: &Checkup) -> Vec<(&'static str, String)> {
        let of = |severity, one, many| count(checkup.findings(severity).count() as u64, one, many);
        let mut counts = vec![
            ("blocker", of(Severity::Blocker, "blocker", "blockers")),
            ("warning", of(Severity::Warning, "warning", "warnings")),
            ("note", of(Severity::Note, "note", "notes")),
        ];
        let blind = checkup.count(Status::NotEvaluated) as u64;
        if blind > 0 {
            counts.push(("unknown", format!("{} not evaluated", count(blind, "check", "checks"))));
        }
        counts.push(("good", format!("{} in order", count(checkup.count(Status::Passed) as u64, "check", "checks"))));
        counts
    }

    fn facts(&self, checkup: &Checkup) -> String {
        let source = &checkup.source;
        let region = source.region.as_ref().map(|region| format!(", {region}")).unwrap_or_default();
        let size = source.bytes.map(|size| format!(", {}", bytes(size))).unwrap_or_default();
        let against = match &checkup.target {
            Some(target) if target.assumed => "compared with what Neon publishes",
            Some(_) => "compared with the target",
            None => "looked at by itself",
        };
        format!("{}, {}{region}{size}; {against}", source.server, source.provider)
    }

    fn when(&self, checkup: &Checkup) -> String {
        let took = std::time::Duration::from_millis(checkup.elapsed_ms);
        format!("{}, in {}", checkup.at.strftime("%-d %B %Y, %H:%M UTC"), duration(took))
    }

    fn done(&self, work: &Work) -> usize {
        work.outcomes.len()
    }
}

#[derive(Template)]
#[template(path = "check/found.html")]
struct FoundView<'a> {
    visitor: &'a Visitor,
    headlines: &'a [Headline],
    /// The five before they are known.
    expected: &'static [&'static str],
    families: Vec<Family<'a>>,
    /// A look at everything goes on.
    is_looking: bool,
    is_busy: bool,
    again: Option<&'a str>,
}

/// What comes first, while nothing is known of it.
const EXPECTED: [&str; 5] =
    ["Postgres version", "Hosting region", "Supported extensions", "Extension versions", "Logical replication"];

/// The checks of one letter.
struct Family<'a> {
    letter: char,
    title: &'static str,
    findings: Vec<Shown<'a>>,
    passed: Vec<&'a Outcome>,
    not_applicable: Vec<&'a Outcome>,
}

/// A finding, and how it is marked.
struct Shown<'a> {
    finding: &'a Finding,
    mark: Mark,
    key: String,
}

/// An icon's class and its word.
#[derive(Clone, Copy)]
struct Mark {
    class: &'static str,
    word: &'static str,
}

fn mark(outcome: &Outcome, finding: &Finding) -> Mark {
    let (class, word) = match finding.severity {
        _ if outcome.status == Status::NotEvaluated || finding.is_not_evaluated() => ("unknown", "Not evaluated"),
        Severity::Blocker => ("blocker", "Blocker"),
        Severity::Warning => ("warning", "Warning"),
        Severity::Note => ("note", "Note"),
    };
    Mark { class, word }
}

/// In the order in which they are shown.
fn weight(class: &str) -> u8 {
    ["blocker", "warning", "unknown", "note"].iter().position(|one| *one == class).map_or(9, |place| place as u8)
}

fn families(outcomes: &[Outcome]) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for outcome in outcomes {
        let letter = outcome.code.chars().next().unwrap_or_default();
        let place = match families.iter().position(|family| family.letter == letter) {
            Some(place) => place,
            None => {
                let title = preflight::family(&outcome.code);
                families.push(Family { letter, title, findings: Vec::new(), passed: Vec::new(), not_applicable: Vec::new() });
                families.len() - 1
            }
        };
        let family = &mut families[place];
        match outcome.status {
            Status::Passed => family.passed.push(outcome),
            Status::NotApplicable => family.not_applicable.push(outcome),
            Status::Found | Status::NotEvaluated => {
                for finding in &outcome.findings {
                    // Several checks may share a code.
                    let n = family.findings.iter().filter(|shown| shown.finding.code == finding.code).count();
                    family.findings.push(Shown { finding, mark: mark(outcome, finding), key: format!("{}-{n}", finding.code) });
                }
            }
        }
    }
    for family in &mut families {
        family.findings.sort_by_key(|shown| weight(shown.mark.class));
    }
    families.sort_by_key(|family| family.letter);
    families
}

impl<'a> FoundView<'a> {
    fn new(visitor: &'a Visitor, inner: &'a Inner) -> FoundView<'a> {
        let all = inner.work.as_ref().filter(|work| work.code.is_none());
        let (headlines, outcomes): (&[Headline], &[Outcome]) = match (all, &inner.checkup) {
            (Some(work), _) => (&work.headlines, &work.outcomes),
            (None, Some(checkup)) => (&checkup.headlines, &checkup.outcomes),
            (None, None) => (&[], &[]),
        };
        FoundView {
            visitor,
            headlines,
            expected: if headlines.is_empty() { &EXPECTED } else { &[] },
            families: families(outcomes),
            is_looking: all.is_some(),
            is_busy: inner.work.is_some(),
            again: inner.work.as_ref().and_then(|work| work.code.as_deref()),
        }
    }

    fn standing(&self, headline: &Headline) -> Mark {
        let (class, word) = match headline.standing {
            Standing::Good => ("good", "In order"),
            Standing::Attention => ("warning", "Look at it"),
            Standing::Blocked => ("blocker", "In the way"),
            Standing::Unknown => ("unknown", "Not known"),
        };
        Mark { class, word }
    }

    fn items_title(&self, headline: &Headline) -> String {
        let n = headline.items.len() as u64;
        match headline.id.as_str() {
            "region" => count(n, "region of Neon", "regions of Neon"),
            "supported_extensions" => count(n, "extension", "extensions"),
            "extension_versions" => count(n, "version", "versions"),
            _ => count(n, "entry", "entries"),
        }
    }

    fn fix(&self, fix: &Option<String>) -> (String, String) {
        fix.as_deref().map(fix_parts).unwrap_or_default()
    }

    fn is_again(&self, code: &str) -> bool {
        self.again == Some(code)
    }

    fn live_words(&self, finding: &Finding) -> &'static str {
        match finding.if_live {
            Some(Severity::Blocker) => "It would stand in the way of live replication.",
            Some(Severity::Warning) => "It would matter more with live replication.",
            _ => "",
        }
    }

    fn more(&self, finding: &Finding) -> Option<String> {
        let more = finding.objects_total.saturating_sub(finding.objects.len() as u64);
        (more > 0).then(|| format!("and {} more", number(more)))
    }
}

impl Family<'_> {
    fn class(&self) -> &'static str {
        self.findings.first().map_or("good", |shown| shown.mark.class)
    }

    /// What is green, or only good to know, is folded.
    fn is_open(&self) -> bool {
        matches!(self.class(), "blocker" | "warning" | "unknown")
    }

    fn counts(&self) -> Vec<(&'static str, String)> {
        let of = |class: &str| self.findings.iter().filter(|shown| shown.mark.class == class).count() as u64;
        let mut counts = vec![
            ("blocker", of("blocker"), count(of("blocker"), "blocker", "blockers")),
            ("warning", of("warning"), count(of("warning"), "warning", "warnings")),
            ("unknown", of("unknown"), format!("{} not evaluated", number(of("unknown")))),
            ("note", of("note"), count(of("note"), "note", "notes")),
            ("good", self.passed.len() as u64, format!("{} in order", number(self.passed.len() as u64))),
        ];
        counts.retain(|(_, n, _)| *n > 0);
        counts.into_iter().map(|(class, _, words)| (class, words)).collect()
    }
}

impl Shown<'_> {
    /// The mark says already that it was not evaluated.
    fn sentence(&self) -> String {
        let sentence = clean(&self.finding.sentence);
        match sentence.strip_prefix("Not evaluated: ") {
            Some(rest) => capitalised(rest),
            None => sentence,
        }
    }

    fn is_open(&self) -> bool {
        self.mark.class == "blocker"
    }

    fn subject(&self) -> String {
        clean(&self.finding.subject)
    }
}

#[derive(Template)]
#[template(path = "check/more.html")]
struct MoreView<'a> {
    checkup: Option<&'a Checkup>,
}

impl MoreView<'_> {
    fn ways<'c>(&self, checkup: &'c Checkup) -> Vec<(&'static str, Vec<&'c Way>)> {
        let of = |kind| checkup.ways.iter().filter(|way| way.kind == kind).collect();
        let groups = [
            ("To move the data", of(WayKind::Move)),
            ("To stop writes at the end", of(WayKind::Fence)),
            ("To go back afterwards", of(WayKind::Rollback)),
        ];
        groups.into_iter().filter(|(_, ways): &(_, Vec<_>)| !ways.is_empty()).collect()
    }

    fn open(&self, way: &Way) -> Mark {
        let (class, word) = match way.open {
            Open::Yes => ("good", "Open"),
            Open::No => ("blocker", "Not open"),
            Open::Unknown => ("unknown", "Not known"),
        };
        Mark { class, word }
    }

    fn estimate(&self, checkup: &Checkup) -> Vec<String> {
        checkup.estimate.as_ref().map(estimate_words).unwrap_or_default()
    }

    fn number(&self, n: &u64) -> String {
        number(*n)
    }

    fn bytes(&self, n: &u64) -> String {
        bytes(*n)
    }

    fn rows(&self, table: &TopTable) -> String {
        table.rows.map_or_else(|| "not known".to_owned(), number)
    }
}
