//! The lines that move a database by hand, for those who want to run each of them themselves: pg_dump and pg_restore in two forms, and logical
//! replication with psql.
//!
//! A plan is data: steps, each a few actions with the reason for every flag. [`script`] turns actions into lines for a shell. Both ends are only read
//! while a plan is made.

pub mod connection;
mod dump;
mod facts;
pub mod quote;
mod replication;
pub mod script;

use serde::Serialize;

use self::connection::End;
use self::facts::{Dependent, OnSource, OnTarget};
pub use self::replication::Names;
use super::ends::{Source, Target};
use super::error::{Error, Side};
use super::preflight::Facts;
use super::provider::Provider;
use super::schema::filter::class;
use crate::pg::conninfo::Host;
use crate::pg::types::Oid;

/// Everything to print.
#[derive(Debug)]
pub struct Plan {
    /// How the source is reached.
    pub source: End,
    /// How the target is reached.
    pub target: End,
    /// What to know before anything is run, a text each.
    pub notes: Vec<String>,
    /// What to know before replication is set up, a text each.
    pub live_notes: Vec<String>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// What logical replication's steps call what they create; nothing if there are none.
    pub names: Option<Names>,
}

/// The way that a step belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Needed by every way.
    Before,
    /// A dump into one file.
    OneFile,
    /// A dump into a directory, with several connections.
    Parallel,
    /// Logical replication.
    Live,
}

/// One thing to do.
#[derive(Debug, Clone)]
pub struct Step {
    /// A stable name, also of its script.
    pub id: &'static str,
    /// The way that it belongs to.
    pub way: Way,
    /// What is done, in a few words.
    pub title: String,
    /// Why each flag is there.
    pub flags: Vec<Flag>,
    /// What to do.
    pub actions: Vec<Action>,
    /// What to expect and how to read it, a text each.
    pub expect: Vec<String>,
}

/// A flag of a command, and why it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flag {
    /// The flag as it is given, without the shell's quotes.
    pub flag: String,
    /// Why.
    pub why: String,
}

impl Flag {
    fn new(flag: impl Into<String>, why: impl Into<String>) -> Flag {
        Flag { flag: flag.into(), why: why.into() }
    }
}

/// What a shell is told to do.
#[derive(Debug, Clone)]
pub enum Action {
    /// Runs a client program that connects to one end.
    Tool(Tool),
    /// Writes an archive's list of contents without the lines that match.
    List {
        /// The archive.
        archive: &'static str,
        /// The file that the list goes to.
        list: &'static str,
        /// An extended regular expression.
        without: String,
    },
    /// Waits until the source's slot has reached the end of what was written until now.
    Drain {
        /// The slot.
        slot: String,
    },
}

/// A client program that connects to one end.
#[derive(Debug, Clone)]
pub struct Tool {
    /// The end.
    pub side: Side,
    /// `pg_dump`, `pg_restore` or `psql`.
    pub program: &'static str,
    /// Its arguments but those of the connection.
    pub args: Vec<String>,
    /// What it reads on standard input: SQL.
    pub sql: Option<String>,
    /// More of libpq's `options` for the session.
    pub options: Option<&'static str>,
    /// It ends with 1 though all is well, because the target does not know a setting of this name; no other error is forgiven.
    pub forgives: Option<&'static str>,
}

impl Tool {
    fn new(side: Side, program: &'static str, args: &[&str]) -> Tool {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Tool { side, program, args, sql: None, options: None, forgives: None }
    }

    /// psql with SQL on its standard input; it stops at the first error.
    fn psql(side: Side, sql: impl Into<String>) -> Tool {
        Tool { sql: Some(sql.into()), ..Tool::new(side, "psql", &["-X", "-v", "ON_ERROR_STOP=1"]) }
    }
}

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many connections the parallel form uses.
    pub jobs: u32,
    /// The major version of the client programs that will run the lines.
    pub tools_major: u32,
}

/// What the plan is made from.
struct Basis<'a> {
    facts: &'a Facts,
    on_source: OnSource,
    on_target: OnTarget,
    provider: &'static Provider,
    /// Schemas of the platform that are there.
    schemas: Vec<String>,
    /// Extensions that stay behind, with the reason.
    extensions: Vec<(String, String)>,
    dependents: Vec<Dependent>,
    source: End,
    target: End,
    options: Options,
}

/// Looks at both ends and makes the plan. Nothing is written.
///
/// # Errors
/// Any failure of either end.
pub async fn plan(source: &Source, target: &Target, facts: &Facts, options: Options) -> Result<Plan, Error> {
    let (from, to) = tokio::try_join!(source.sql(), target.sql())?;
    let ((on_source, marked), on_target) = tokio::try_join!(facts::on_source(&from), facts::on_target(&to))?;
    let host = source.info().endpoints().first().and_then(|endpoint| match &endpoint.host {
        Host::Name(name) => Some((name.as_str(), endpoint.port, source.info().user())),
        Host::Socket(_) => None,
    });
    let provider = marked.provider(&on_source, host, facts.source.can.superuser);
    let mut schemas: Vec<String> =
        on_source.schemas.iter().filter(|name| provider.leave_out_schemas.contains(name)).cloned().collect();
    schemas.extend(on_source.schemas.iter().filter(|name| *name == super::preflight::OWN_SCHEMA).cloned());
    let extensions = left_out_extensions(facts, &on_source, &on_target, provider);
    let names: Vec<String> = extensions.iter().map(|(name, _)| name.clone()).collect();
    let dependents = facts::dependents(&from, &schemas, &names).await?;
    let (mut here, mut there) = (End::new(Side::Source, source.info()), End::new(Side::Target, target.info()));
    (here.encrypted, there.encrypted) = (on_source.encrypted, on_target.encrypted);
    let basis =
        Basis { facts, on_source, on_target, provider, schemas, extensions, dependents, source: here, target: there, options };
    let notes = basis.notes();
    let mut steps = dump::steps(&basis);
    let (live, live_notes, names) = replication::steps(&basis);
    steps.extend(live);
    Ok(Plan { source: basis.source, target: basis.target, notes, live_notes, steps, names })
}

impl Plan {
    /// What to know before any way is gone.
    pub fn all_notes(&self) -> impl Iterator<Item = &String> {
        self.notes.iter().chain(&self.live_notes)
    }
}

fn left_out_extensions(facts: &Facts, source: &OnSource, target: &OnTarget, provider: &Provider) -> Vec<(String, String)> {
    let reason = |name: &String| {
        if provider.leave_out_extensions.contains(name) {
            Some(format!("it belongs to the platform ({})", provider.name))
        } else if facts.missing_extensions.contains(name) {
            Some("the target does not offer it".to_owned())
        } else if !facts.target.can.superuser && !target.is_neon && target.untrusted.contains(name) {
            Some(
                "only a superuser may create it on the target; have one create it first and make the lines anew, if it is needed"
                    .to_owned(),
            )
        } else {
            None
        }
    };
    source.extensions.iter().filter_map(|name| Some((name.clone(), reason(name)?))).collect()
}

/// How many names a note holds.
const NAMES_MAX: usize = 20;

/// The first names, and how many more there are.
fn some_of(names: impl ExactSizeIterator<Item = String>) -> String {
    let total = names.len();
    let mut some: Vec<String> = names.take(NAMES_MAX).collect();
    if total > NAMES_MAX {
        some.push(format!("and {} more", total - NAMES_MAX));
    }
    some.join(", ")
}

impl Basis<'_> {
    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = [&self.source, &self.target].into_iter().filter_map(|end| end.replaced.clone()).collect();
        if self.schemas.iter().any(|name| self.provider.leave_out_schemas.contains(name)) {
            notes.push(format!("The source is hosted by {}.", self.provider.name));
            notes.extend(self.provider.notes.iter().cloned());
        }
        for (name, why) in &self.extensions {
            notes.push(format!("The extension {} is left out: {why}.", crate::pg::names::human(name)));
        }
        let hanging: Vec<String> = self.hanging().map(|dependent| crate::pg::names::human_line(&dependent.words)).collect();
        if !hanging.is_empty() {
            notes.push(format!(
                "What needs a schema or an extension that is left out is left out too: {}. If the target is to have it, create what it needs there first, \
                 and it by hand afterwards.",
                some_of(hanging.into_iter())
            ));
        }
        if self.facts.size.large_objects == Some(true) && self.on_target.is_neon {
            let flag = if self.options.tools_major >= 16 { "--no-large-objects" } else { "--no-blobs" };
            notes.push(format!(
                "The source has large objects, which Neon's documentation calls unsupported. They are in the dump; if the restore refuses them, move their \
                 content into bytea columns, or give pg_dump {flag} to go without."
            ));
        }
        notes
    }

    /// What depends on what is left out, but for the extensions themselves.
    fn hanging(&self) -> impl Iterator<Item = &Dependent> {
        self.dependents.iter().filter(|dependent| !dependent.is_extension)
    }

    /// Whether a table or sequence stays behind, because it needs what stays behind.
    fn stays(&self, relation: Oid) -> bool {
        self.dependents.iter().any(|dependent| dependent.class == class::RELATION && dependent.oid == relation)
    }

    fn target_has_role(&self, role: &str) -> bool {
        self.on_target.roles.iter().any(|name| name == role)
    }
}
