//! How it ended: the certificate, with every difference and everything that was left out.

use askama::Template;

use super::Stage;
use crate::engine::report::Report;
use crate::show::certificate::{Certificate, Item, Row, certificate};
use crate::show::conclusion::Tone;
use crate::show::numbers::number;
use crate::web::live::Shown;
use crate::web::page::Part;

/// How many items of a row are shown; beyond that there is the file.
const ITEMS_MAX: usize = 2000;
/// How many are shown without being asked for.
const OPEN_MAX: usize = 12;

#[derive(Template)]
#[template(path = "copy/end.html")]
struct End {
    certificate: Certificate,
    /// A plan's tables are in the table of tables.
    is_plan: bool,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Tone::Plain => "note",
            Tone::Good => "done",
            Tone::Attention => "attention",
            Tone::Bad => "failed",
        }
    }
}

impl End {
    fn items<'a>(&self, row: &'a Row) -> &'a [Item] {
        if self.is_plan && row.label == "Tables" { &[] } else { &row.items[..row.items.len().min(ITEMS_MAX)] }
    }

    fn more(&self, row: &Row) -> Option<String> {
        row.items.len().checked_sub(ITEMS_MAX).filter(|more| *more > 0).map(|more| number(more as u64))
    }

    fn number_of(&self, row: &Row) -> String {
        number(row.items.len() as u64)
    }

    fn opens(&self, row: &Row) -> bool {
        row.items.len() <= OPEN_MAX
    }
}

/// The part; empty before the end.
///
/// # Errors
/// A fault of this program.
pub fn end(shown: &Shown, stage: Stage) -> Result<Part, Report> {
    let certificate = if matches!(stage, Stage::Ended | Stage::Planned) { certificate(&shown.view) } else { None };
    match certificate {
        Some(certificate) => Part::new("end", &End { certificate, is_plan: stage == Stage::Planned }),
        None => Ok(Part { id: "end", html: String::new() }),
    }
}
