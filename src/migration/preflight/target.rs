//! Family I: the target's state.

mod state;

use super::Purpose;
use super::answer::{Answers, undecodable};
use super::check::{Check, Context, Look, Object, Side, count, not_evaluated};
use super::facts::{OWN_SCHEMA, ServerFacts, TargetContent};
use crate::engine::finding::{Finding, Severity};
use crate::pg::error::PgError;
use crate::pg::names::human;

pub(super) fn checks(purpose: Purpose) -> Vec<Check> {
    if purpose == Purpose::Verify {
        return Vec::new();
    }
    let mut checks = vec![
        Check {
            code: "I1",
            title: "An empty target",
            about: "whether the target is empty",
            grant: "",
            explain: NOT_EMPTY_TEXT,
            look: Look::Both(not_empty),
        },
        Check {
            code: "I4",
            title: "An earlier migration",
            about: "whether the target holds an earlier migration",
            grant: "",
            explain: EARLIER_TEXT,
            look: Look::Both(earlier),
        },
    ];
    if purpose == Purpose::Check {
        checks.extend(state::checks());
    }
    checks
}

const NOT_EMPTY_TEXT: &str = "\
It is counted what the target database holds: tables, views, sequences, functions, types, schemas and large objects. Extensions, what \
belongs to them, and a provider's own schemas do not count.

Rows would get mixed up with those of the source, and a copy into used tables could not be proved. Use an empty database; or, if \
everything in it may go, let the copy empty it with --replace-target.";

const EARLIER_TEXT: &str = "\
A migration keeps its records in the schema neon_migrate of the target, until it has ended. If there is such a schema, an earlier \
migration did not end; it can be gone on with by its own command, or be begun anew with --replace-target, which removes everything \
in the database.

Publications, subscriptions, replication slots and replication origins whose names begin with neon_migrate are looked for as \
well. If no migration is running any more they are left over. A slot keeps WAL until the disk is full, a subscription goes on \
applying rows, and an origin makes a new migration believe that it has been further than it has.";

/// Everything that a person made. Not counted are what extensions brought along, what exists only with another object that is
/// counted (the type of a table, the sequence of an identity column, a partition), provider's schemas, default privileges, and our
/// own schema, which is looked for by name.
const CONTENT: &str = "
with not_ours as (
  select oid from pg_namespace
   where nspname ~ '^pg_' or nspname in ('information_schema', 'neon', 'neon_auth', 'neon_migration', 'neon_migrate')
), part_of as (
  select classid, objid from pg_depend where objsubid = 0 and deptype in ('e', 'i', 'a')
), objects as (
  select 'pg_class'::regclass as catalog, c.oid, c.relnamespace as namespace, c.relname::text as name,
         case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
                        when 'f' then 'foreign table' else 'table' end as kind
    from pg_class c where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
  union all
  select 'pg_type'::regclass, t.oid, t.typnamespace, t.typname::text, 'type' from pg_type t
   where t.typrelid = 0 or exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c')
  union all
  select 'pg_proc'::regclass, p.oid, p.pronamespace, p.proname::text, 'function' from pg_proc p
), found as (
  select o.kind, n.nspname::text as schema, o.name
    from objects o join pg_namespace n on n.oid = o.namespace
   where o.namespace not in (select oid from not_ours)
     and not exists (select from part_of p where p.classid = o.catalog and p.objid = o.oid)
  union all
  select 'schema', null, n.nspname::text from pg_namespace n
   where n.nspname <> 'public' and n.oid not in (select oid from not_ours)
     and not exists (select from part_of p where p.classid = 'pg_namespace'::regclass and p.objid = n.oid)
  union all
  select 'large object', null, m.oid::text from pg_largeobject_metadata m
)
select kind, schema, name, count(*) over () as total from found
 order by array_position(array['table', 'view', 'materialized view', 'large object'], kind), kind, schema, name
 limit 20";

const OWN: &str = "select exists (select from pg_namespace where nspname = 'neon_migrate') as own";

#[derive(serde::Deserialize)]
struct Counted {
    #[serde(flatten)]
    object: Object,
    total: u64,
}

#[derive(serde::Deserialize)]
struct Own {
    own: bool,
}

/// What the target holds; nothing if the role may not see it.
pub(super) async fn content(target: Answers<'_>) -> Result<Option<TargetContent>, PgError> {
    let (rows, own) = futures_util::future::try_join(target.ask(CONTENT), target.rows(OWN)).await?;
    let Some(rows) = rows else { return Ok(None) };
    let rows: Vec<Counted> = rows.parse().map_err(undecodable)?;
    let own: Option<Own> = own.first().map_err(undecodable)?;
    Ok(Some(TargetContent {
        objects_total: rows.first().map_or(0, |row| row.total),
        objects: rows.iter().map(|row| label(&row.object)).collect(),
        own_schema: own.is_some_and(|own| own.own),
    }))
}

/// A large object has a number for a name, which is not to be quoted.
fn label(object: &Object) -> String {
    match object.kind.as_deref() {
        Some(kind @ "large object") => format!("{kind} {}", object.name),
        _ => object.label(),
    }
}

/// Both what is there and what an earlier migration left are the user's to decide about; nothing is removed or added to unasked.
fn not_empty(cx: &Context<'_>, target: &ServerFacts) -> Vec<Finding> {
    let Some(content) = &cx.known.target_content else {
        let grant =
            "Grant what every role has by default, in the target database:\ngrant select on pg_largeobject_metadata to public;";
        let reason = "the server refused to show its objects or took longer than 20 s";
        return vec![not_evaluated("I1", Side::Target, "whether the target is empty", reason, grant)];
    };
    if content.objects_total == 0 || content.own_schema && !cx.options.replace_target || !matters(cx, target) {
        return Vec::new();
    }
    let database = &target.database;
    if cx.options.replace_target {
        let sentence = format!("What the target {} holds is removed first: {}.", human(database), objects(content));
        let why = "This was asked for with --replace-target.";
        return vec![with_objects(Finding::new("I1", Severity::Note, "target", sentence, why), content)];
    }
    let sentence = format!("The target {} is not empty: it holds {}.", human(database), objects(content));
    let why = "Rows would get mixed up with those of the source, and a copy into used tables could not be proved.";
    let fix = format!(
        "Use an empty database: the first line creates one, to be run with psql on the target. Or, if everything in this one may go, run \
         the same command with the second line:\n\
         create database \"migrated\" template template0;\n\
         --replace-target={}",
        shell_word(database)
    );
    vec![with_objects(Finding::new("I1", Severity::Blocker, "target", sentence, why).with_fix(fix), content)]
}

fn earlier(cx: &Context<'_>, target: &ServerFacts) -> Vec<Finding> {
    let Some(content) = cx.known.target_content.as_ref().filter(|content| content.own_schema) else { return Vec::new() };
    if cx.options.replace_target || !matters(cx, target) {
        return Vec::new();
    }
    let database = &target.database;
    let sentence = format!("The target {} holds an earlier migration that did not end ({}).", human(database), objects(content));
    let why = format!("Its schema {OWN_SCHEMA} says so. What it did may be of use, or in the way.");
    let fix = format!(
        "It is not this source's, or was begun on another machine or with another --state-dir. Go on with it by its own command, there. \
         Or begin anew; this removes everything in the database {} first:\nneon-migrate copy --replace-target={}",
        human(database),
        shell_word(database)
    );
    vec![with_objects(Finding::new("I4", Severity::Blocker, "target", sentence, &why).with_fix(fix), content)]
}

/// Whether it matters what the target holds: not if it is the source, which emptying it would empty, nor when a migration goes on.
fn matters(cx: &Context<'_>, target: &ServerFacts) -> bool {
    super::endpoints::same_database(cx, target).is_empty() && !cx.options.resume
}

fn objects(content: &TargetContent) -> String {
    count(usize::try_from(content.objects_total).unwrap_or(usize::MAX), "object", "objects")
}

fn with_objects(finding: Finding, content: &TargetContent) -> Finding {
    let mut finding = finding.with_objects(content.objects.clone());
    finding.objects_total = content.objects_total;
    finding
}

/// A name as a shell takes it: quoted unless it is a plain word.
fn shell_word(name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if plain { name.to_owned() } else { format!("'{}'", name.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_a_shell() {
        assert_eq!(shell_word("shop_2"), "shop_2");
        assert_eq!(shell_word("my shop"), "'my shop'");
        assert_eq!(shell_word("it's; rm"), "'it'\\''s; rm'");
    }
}
