//! pg_dump and pg_restore: which flags this source and this target need, and why.
//!
//! A restore that means what it says ends with exit code 0 and stops at the first error. So what is bound to fail is left out by name beforehand: by a
//! flag where there is one, and otherwise by a list of the archive's contents in which an object's line is known by its catalog and oid, whatever it is
//! called. Only where something remains that may fail is `--exit-on-error` not given, and then it is said what that is.

use super::facts::ConfigTable;
use super::quote::pattern;
use super::{Action, Basis, Flag, Step, Tool, Way, some_of};
use crate::migration::error::Side;
use crate::migration::schema::filter::class;
use crate::pg::names::{Ident, human};

/// What a way's files are called.
#[derive(Clone, Copy)]
pub(super) struct Files {
    pub(super) archive: &'static str,
    pub(super) list: &'static str,
}

const ONE_FILE: Files = Files { archive: "database.bak", list: "database.list" };
const PARALLEL: Files = Files { archive: "database.dir", list: "database.dir.list" };

/// The major of pg_restore that first sets `transaction_timeout`, and of the server that first knows it.
const TRANSACTION_TIMEOUT: u32 = 17;

/// The steps of both forms.
pub(super) fn steps(basis: &Basis<'_>) -> Vec<Step> {
    let mut steps: Vec<Step> = roles(basis).into_iter().collect();
    let jobs = basis.options.jobs.to_string();
    let many = Flag::new(format!("-j {jobs}"), "works with this many connections at once.");
    let form = [Flag::new("-Fc", "writes one compressed file, from which pg_restore can choose."), verbose()];
    steps.push(dump_step(basis, "1-dump", Way::OneFile, ONE_FILE, form.to_vec()));
    steps.push(restore_step(basis, "2-restore", Way::OneFile, ONE_FILE, vec![verbose()]));
    steps.push(analyze("3-analyze", Way::OneFile));
    let form = vec![
        Flag::new("-Fd", "writes a directory with a file for each table; only this form can be written in parallel."),
        many.clone(),
        verbose(),
    ];
    steps.push(dump_step(basis, "parallel-1-dump", Way::Parallel, PARALLEL, form));
    steps.push(restore_step(basis, "parallel-2-restore", Way::Parallel, PARALLEL, vec![many, verbose()]));
    steps.push(analyze("parallel-3-analyze", Way::Parallel));
    steps
}

fn verbose() -> Flag {
    Flag::new("-v", "tells what is being done.")
}

/// Policies and user mappings name roles, and no flag makes them do without.
fn roles(basis: &Basis<'_>) -> Option<Step> {
    let missing: Vec<&String> = basis.on_source.named_roles.iter().filter(|role| !basis.target_has_role(role)).collect();
    if missing.is_empty() {
        return None;
    }
    let sql: Vec<String> = missing.iter().map(|role| format!("create role {} nologin;", Ident::new(role.as_str()))).collect();
    let mut expect = vec![
        "create role, once for each. Passwords and memberships are not part of a dump; give them where they are needed.".to_owned(),
    ];
    if !basis.facts.target.can.create_role {
        expect.push("The target's role may not create roles: have somebody run this who may.".to_owned());
    }
    Some(Step {
        id: "0-roles",
        way: Way::Before,
        title: "Create the roles that policies and user mappings name".to_owned(),
        flags: Vec::new(),
        actions: vec![Action::Tool(Tool::psql(Side::Target, sql.join("\n")))],
        expect,
    })
}

fn dump_step(basis: &Basis<'_>, id: &'static str, way: Way, files: Files, mut flags: Vec<Flag>) -> Step {
    flags.push(Flag::new("-Z 1", "compresses lightly, so that the processor does not hold up the network."));
    flags.extend(dump_flags(basis));
    let mut tool = Tool::new(Side::Source, "pg_dump", &[]);
    tool.args = args(&flags);
    tool.args.extend(["-f".to_owned(), files.archive.to_owned()]);
    Step {
        id,
        way,
        title: "Dump the source".to_owned(),
        flags,
        actions: vec![Action::Tool(tool)],
        expect: vec![format!(
            "{} holds the database as it was when the dump began; the source may be in use meanwhile, and what is written later is not in it. It must not \
             exist before.",
            files.archive
        )],
    }
}

/// What the source needs, whatever the form.
pub(super) fn dump_flags(basis: &Basis<'_>) -> Vec<Flag> {
    let wait = "gives up where a table is locked for 20 s, instead of standing in the queue before the application.";
    let mut flags = vec![Flag::new("--lock-wait-timeout=20s", wait)];
    for schema in &basis.schemas {
        let why = match basis.provider.leave_out_schemas.contains(schema) {
            true => format!("belongs to the platform ({}), not to you.", basis.provider.name),
            false => "is what neon-migrate itself left there.".to_owned(),
        };
        flags.push(Flag::new(format!("--exclude-schema={}", schema_pattern(schema)), why));
    }
    if basis.on_source.subscriptions > 0 {
        let why = "keeps the subscriptions of the source out: two databases must not take the same stream, and their passwords would be in the file.";
        flags.push(Flag::new("--no-subscriptions", why));
    }
    flags
}

/// A plain name needs no quotes in a pattern, and does without trouble in every shell.
fn schema_pattern(schema: &str) -> String {
    let plain = schema.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { schema.to_owned() } else { pattern(schema) }
}

fn args(flags: &[Flag]) -> Vec<String> {
    flags.iter().flat_map(|flag| if flag.flag.starts_with("--") { vec![flag.flag.clone()] } else { words(&flag.flag) }).collect()
}

/// `-j 4` is two words.
fn words(flag: &str) -> Vec<String> {
    flag.split(' ').map(str::to_owned).collect()
}

fn restore_step(basis: &Basis<'_>, id: &'static str, way: Way, files: Files, flags: Vec<Flag>) -> Step {
    let (flags, actions, expect) = restore(basis, files, flags);
    Step { id, way, title: "Restore into the target".to_owned(), flags, actions, expect }
}

/// The restore of an archive: its flags, the list that it goes by, and what to expect.
pub(super) fn restore(basis: &Basis<'_>, files: Files, mut flags: Vec<Flag>) -> (Vec<Flag>, Vec<Action>, Vec<String>) {
    let mut actions = Vec::new();
    flags.extend(restore_flags(basis));
    let (without, why) = left_out_lines(basis);
    if !without.is_empty() {
        actions.push(Action::List {
            archive: files.archive,
            list: files.list,
            without: format!("^[0-9]+; ({}) ", without.join("|")),
        });
        flags.push(Flag::new(format!("-L {}", files.list), format!("restores what that list holds; taken out of it {why}.")));
    }
    let unknown = basis.options.tools_major >= TRANSACTION_TIMEOUT && basis.facts.target.version.major() < TRANSACTION_TIMEOUT;
    let may_fail = may_fail(basis);
    if !unknown && may_fail.is_none() {
        flags.push(Flag::new(
            "--exit-on-error",
            "stops at the first error; without it an object that failed would only be a line among many.",
        ));
    }
    let mut tool = Tool::new(Side::Target, "pg_restore", &[]);
    tool.args = args(&flags);
    tool.args.push(files.archive.to_owned());
    tool.forgives = (unknown && may_fail.is_none()).then_some("transaction_timeout");
    actions.push(Action::Tool(tool));
    let mut expect = vec!["Exit code 0: everything is there.".to_owned()];
    if unknown {
        let forgiven = if may_fail.is_none() { ", and the only one that is forgiven" } else { "" };
        expect[0] = format!(
            "pg_restore {} sets transaction_timeout, which Postgres {} does not know. This error is harmless{forgiven}; pg_restore of \
             version 16 does not make it, but reads no archive of a newer pg_dump.",
            basis.options.tools_major,
            basis.facts.target.version.major()
        );
    }
    expect.extend(may_fail);
    expect.push("After a failure, empty the target database, or create it anew, before the next attempt.".to_owned());
    (flags, actions, expect)
}

/// What the target needs, whatever the form.
fn restore_flags(basis: &Basis<'_>) -> Vec<Flag> {
    let mut flags = Vec::new();
    let superuser = basis.facts.target.can.superuser;
    let role = human(&basis.facts.target.role);
    let missing =
        |roles: &[String]| roles.iter().filter(|name| !basis.target_has_role(name)).map(|name| human(name)).collect::<Vec<_>>();
    let of_others = basis.on_source.owners.iter().any(|owner| *owner != basis.facts.target.role);
    let owners = missing(&basis.on_source.owners);
    if !superuser && of_others {
        flags.push(Flag::new(
            "--no-owner",
            format!("gives everything to {role}, which is no superuser and may not give things to other roles."),
        ));
    } else if superuser && !owners.is_empty() {
        let why = format!("gives everything to {role}: the target has no role {}.", some_of(owners.into_iter()));
        flags.push(Flag::new("--no-owner", why));
    }
    flags.extend(without_grants(basis));
    let spaces: Vec<String> = basis
        .on_source
        .tablespaces
        .iter()
        .filter(|name| !superuser || !basis.on_target.tablespaces.contains(name))
        .map(|name| human(name))
        .collect();
    if !spaces.is_empty() {
        let why = format!(
            "puts everything into the default tablespace, as the target has none that it may use called {}.",
            some_of(spaces.into_iter())
        );
        flags.push(Flag::new("--no-tablespaces", why));
    }
    if !basis.on_source.publications.is_empty() {
        let why = "leaves publications out: create them on the target when something is to subscribe to it.";
        flags.push(Flag::new("--no-publications", why));
    }
    if basis.on_source.security_labels > 0 {
        let why = "leaves security labels out: no catalog tells whether the target has their provider.";
        flags.push(Flag::new("--no-security-labels", why));
    }
    flags
}

/// Grants name roles, and who granted them.
fn without_grants(basis: &Basis<'_>) -> Option<Flag> {
    let missing: Vec<String> =
        basis.on_source.grantees.iter().filter(|name| !basis.target_has_role(name)).map(|name| human(name)).collect();
    let why = if !missing.is_empty() {
        format!("leaves grants out: the target has no role {}.", some_of(missing.into_iter()))
    } else if !basis.facts.target.can.superuser && !basis.on_source.grantees.is_empty() {
        let role = human(&basis.facts.target.role);
        format!("leaves grants out: {role} may not grant in the name of the roles that granted them.")
    } else {
        return None;
    };
    Some(Flag::new("--no-privileges", why))
}

/// Configuration tables of extensions that come along.
pub(super) fn config<'a>(basis: &'a Basis<'_>) -> impl Iterator<Item = &'a ConfigTable> {
    let left_out = |table: &ConfigTable| basis.extensions.iter().any(|(name, _)| *name == table.extension);
    basis.on_source.config.iter().filter(move |table| !left_out(table))
}

/// Those that will not belong to the target's role.
fn config_of_others<'a>(basis: &'a Basis<'_>) -> impl Iterator<Item = &'a ConfigTable> {
    config(basis).filter(|table| !basis.on_target.user_level.contains(&table.extension))
}

/// A name as an expression that matches it; what an expression might read otherwise is any character.
fn any(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '.' }).collect()
}

/// How the line of its content begins: a table's has its oid, a sequence's only its name.
fn content_line(table: &ConfigTable) -> String {
    match table.is_sequence {
        true => format!("0 0 SEQUENCE SET {} {}", any(table.name.schema.as_str()), any(table.name.name.as_str())),
        false => format!("0 {}", table.oid),
    }
}

/// What the lines of a list that are taken out begin with, after their number; and in words what they are.
fn left_out_lines(basis: &Basis<'_>) -> (Vec<String>, String) {
    let (mut lines, mut why) = (Vec::new(), Vec::new());
    if !basis.dependents.is_empty() {
        for dependent in &basis.dependents {
            lines.push(format!("{} {}", dependent.class, dependent.oid));
            if dependent.class == class::RELATION {
                lines.push(format!("0 {}", dependent.oid));
            }
        }
        let gone = basis.on_source.config.iter().filter(|table| basis.extensions.iter().any(|(name, _)| *name == table.extension));
        lines.extend(gone.map(content_line));
        lines.extend(basis.extensions.iter().map(|(name, _)| format!("0 0 COMMENT - EXTENSION {}", any(name))));
        why.push("is what needs something that stays behind (see the notes)".to_owned());
    }
    if !basis.facts.target.can.superuser {
        let empty: Vec<String> = config_of_others(basis).filter(|table| !table.has_rows).map(content_line).collect();
        if !empty.is_empty() {
            lines.extend(empty);
            why.push("are tables of extensions that hold no rows of yours, and that the target's role may not fill".to_owned());
        }
        if basis.on_source.extensions.len() > basis.extensions.len() {
            // Their comments come from the extensions, and only an extension's owner may comment on it.
            lines.push("0 0 COMMENT - EXTENSION".to_owned());
            why.push("are the comments on extensions, which the extensions bring along".to_owned());
        }
        if basis.on_source.public_comment && !basis.on_target.owns_public {
            lines.push("0 0 COMMENT - SCHEMA public".to_owned());
            why.push("is the comment on the schema public, which the target's role does not own".to_owned());
        }
    }
    if !basis.on_source.event_triggers.is_empty() {
        if !basis.facts.target.can.create_event_triggers {
            lines.extend(["3466 [0-9]+ EVENT TRIGGER", "0 0 COMMENT - EVENT TRIGGER"].map(str::to_owned));
            why.push("are the event triggers, which only a superuser may create".to_owned());
        } else {
            let of_platform =
                basis.on_source.event_triggers.iter().filter(|name| basis.provider.leave_out_event_triggers.contains(name));
            let of_platform: Vec<String> = of_platform.map(|name| format!("3466 [0-9]+ EVENT TRIGGER - {name}")).collect();
            if !of_platform.is_empty() {
                lines.extend(of_platform);
                why.push("are the platform's own event triggers".to_owned());
            }
        }
    }
    (lines, why.join("; "))
}

/// What may fail though everything was done to prevent it.
fn may_fail(basis: &Basis<'_>) -> Option<String> {
    let mut what = Vec::new();
    if basis.hanging().any(|dependent| dependent.has_more) || basis.hanging().next().is_some() && without_grants(basis).is_none() {
        what.push("comments and grants on what is left out".to_owned());
    }
    if !basis.facts.target.can.superuser {
        let filled: Vec<String> = config_of_others(basis).filter(|table| table.has_rows).map(|table| table.name.human()).collect();
        if !filled.is_empty() {
            what.push(format!(
                "the content of {}, which belongs to an extension and may be somebody else's there",
                some_of(filled.into_iter())
            ));
        }
    }
    if what.is_empty() {
        return None;
    }
    Some(format!(
        "Some errors are possible: {}. So pg_restore goes on after an error, ends with exit code 1 and says how many there were; read each of them.",
        what.join("; ")
    ))
}

/// No dump holds statistics, unless it was asked to.
pub(super) fn analyze(id: &'static str, way: Way) -> Step {
    let sql = "set client_min_messages = error;\nanalyze;";
    Step {
        id,
        way,
        title: "Gather statistics".to_owned(),
        flags: Vec::new(),
        actions: vec![Action::Tool(Tool::psql(Side::Target, sql))],
        expect: vec!["ANALYZE. A restore leaves none, and without statistics queries are slow at first.".to_owned()],
    }
}
