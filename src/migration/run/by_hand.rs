//! The lines that do it by hand, with what is to be said about this source, this target and the client programs of this machine.

use super::{default_jobs, look, not_begun};
use crate::engine::finding::Finding;
use crate::engine::report::{Exit, Report};
use crate::migration::commands::connection::End;
use crate::migration::commands::{self, Options, Plan};
use crate::migration::ends::{Source, Target};
use crate::migration::error::Side;
use crate::migration::preflight::{self, Preflight, Purpose};
use crate::pg::tools::{self, NotFound, Platform, RECOMMENDED_MAJOR, Search, Tools};

/// The lines, and where this machine has the programs that they call.
#[derive(Debug)]
pub struct ByHand {
    /// The lines, as data.
    pub plan: Plan,
    /// The directory of pg_dump, unless a shell finds it by itself.
    pub bin_dir: Option<String>,
}

/// Looks at both ends, and makes the lines. Nothing is written.
///
/// # Errors
/// An end that cannot be looked at; a target that is the source.
pub async fn prepare(source: &Source, target: &Target, jobs: Option<u32>, search: &Search) -> Result<ByHand, Report> {
    let options = preflight::Options {
        purpose: Purpose::Verify,
        jobs_wanted: jobs.unwrap_or_else(|| default_jobs(source, target)),
        tools: search.clone(),
        ..preflight::Options::copy()
    };
    let looked = look(source, target, &options).await?;
    let mut notes = obstacles(&looked)?;
    let facts = looked.facts;
    let found = tools::find(search, facts.source.version.major()).await;
    let tools_major = found.as_ref().map_or(RECOMMENDED_MAJOR, |tools| tools.major);
    let jobs = jobs.unwrap_or_else(|| facts.jobs.max(1));
    let mut plan = commands::plan(source, target, &facts, Options { jobs, tools_major }).await.map_err(not_begun)?;
    notes.extend(about_tools(&found, &plan).await);
    plan.notes.splice(0..0, notes);
    let elsewhere = found.as_ref().ok().filter(|tools| !is_first_on_path(tools, search));
    let bin_dir = elsewhere.map(|tools| tools.dir().to_string_lossy().into_owned());
    Ok(ByHand { plan, bin_dir })
}

/// What would make pg_dump fail. A database is not restored into itself; a pooler's address is replaced, and said to be.
fn obstacles(looked: &Preflight) -> Result<Vec<String>, Report> {
    let on_source = looked.blockers().filter(|finding| finding.subject == Side::Source.name() && finding.code != "A4");
    let note = |finding: &Finding| {
        let objects = if finding.objects.is_empty() { String::new() } else { format!(" ({})", finding.objects.join(", ")) };
        format!("{}{objects} pg_dump will fail. {}", finding.sentence, finding.fix.as_deref().unwrap_or_default())
    };
    match looked.blockers().find(|finding| finding.code == "A3") {
        Some(same) => {
            let report = Report::new("preflight-blocked", Exit::Blockers, same.sentence.clone()).with_cause(same.why.clone());
            Err(report.with_fix(same.fix.clone().unwrap_or_default()))
        }
        None => Ok(on_source.map(note).collect()),
    }
}

/// What is to be said about the client programs of this machine.
async fn about_tools(found: &Result<Tools, NotFound>, plan: &Plan) -> Vec<String> {
    let install = format!(
        "Install those of PostgreSQL {RECOMMENDED_MAJOR}, which serve every server from 14 on:\n{}",
        Platform::current().install_command(RECOMMENDED_MAJOR)
    );
    let tools = match found {
        Ok(tools) => tools,
        Err(missing) => {
            let seen: Vec<String> = missing.candidates.iter().map(ToString::to_string).collect();
            let seen = if seen.is_empty() { String::new() } else { format!(" Found, and too old or broken: {}.", seen.join("; ")) };
            return vec![format!(
                "This machine has no pg_dump and pg_restore of version {} or later, and older ones refuse the source.{seen} {install}",
                missing.needed_major
            )];
        }
    };
    let mut notes = Vec::new();
    if !tools.has_psql() {
        notes.push(format!(
            "There is no psql beside pg_dump in {}, and some of the lines need it. {install}",
            tools.dir().display()
        ));
    }
    let with_tls =
        [&plan.source, &plan.target].into_iter().filter(|end| end.insists_on_tls() || end.encrypted).collect::<Vec<&End>>();
    if !with_tls.is_empty() && tools.speak_tls().await == Some(false) {
        let (insisting, sides) =
            (with_tls.iter().any(|end| end.insists_on_tls()), with_tls.iter().map(|end| end.side.name()).collect::<Vec<_>>());
        let result = if insisting { "they will fail" } else { "they will fail, or send everything in the clear" };
        notes.push(format!(
            "pg_dump {} in {} was built without TLS, which the {} is reached with: {result}. {install}",
            tools.version,
            tools.dir().display(),
            sides.join(" and the ")
        ));
    }
    notes
}

/// Whether a shell would find these programs by itself.
fn is_first_on_path(tools: &Tools, search: &Search) -> bool {
    search.path.iter().find(|dir| dir.join("pg_dump").is_file()).is_some_and(|dir| dir == tools.dir())
}
