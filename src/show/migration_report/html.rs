//! The report as one HTML file without scripts, which loads nothing.

use askama::Template;

use super::{MigrationReport, Row, Stage, VERSION, moment, parted};
use crate::engine::finding::{Finding, Severity};
use crate::engine::report::{Exit, Report};
use crate::engine::view::{Inventory, View};
use crate::show::conclusion::{Conclusion, Tone};
use crate::show::numbers::number;

#[derive(Template)]
#[template(path = "migration_report.html")]
struct Html<'a> {
    report: &'a MigrationReport<'a>,
    view: &'a View,
    conclusion: Conclusion,
    facts: Vec<(&'static str, String)>,
    phases: Vec<Stage>,
    steps: Vec<Stage>,
    tables: Vec<Row<'a>>,
}

pub(super) fn html(report: &MigrationReport<'_>) -> Result<String, Report> {
    let html = Html {
        report,
        view: report.view,
        conclusion: report.conclusion(),
        facts: report.facts(),
        phases: report.phases(),
        steps: report.steps(),
        tables: report.tables(),
    };
    html.render()
        .map_err(|error| Report::new("internal", Exit::Bug, "The report could not be made.").with_cause(format!("{error}.")))
}

impl Html<'_> {
    fn version(&self) -> &'static str {
        VERSION
    }

    fn at(&self) -> String {
        moment(self.report.at)
    }

    fn tone(&self) -> &'static str {
        match self.conclusion.tone {
            Tone::Good | Tone::Plain => "good",
            Tone::Attention => "warn",
            Tone::Bad => "bad",
        }
    }

    fn class(&self, finding: &Finding) -> &'static str {
        match finding.severity {
            Severity::Blocker => "blocker",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }

    fn objects(&self, inventory: &Inventory) -> String {
        self.report.objects(inventory)
    }

    fn number(&self, n: usize) -> String {
        number(n as u64)
    }

    fn words<'f>(&self, fix: &'f str) -> &'f str {
        parted(fix).0
    }

    fn paste<'f>(&self, fix: &'f str) -> &'f str {
        parted(fix).1
    }
}
