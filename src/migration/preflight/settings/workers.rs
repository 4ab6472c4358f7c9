//! What the target must be set to: workers that apply changes, libraries that extensions need, and how commits wait.

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Side, count, fix_sql, not_evaluated};
use super::{alter_system, assign};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{human, human_line};

pub(super) fn checks() -> Vec<Check> {
    let on_target = |query, evaluate| Look::Rows { side: Side::Target, query, evaluate };
    vec![
        Check {
            code: "B6",
            title: "Workers on the target",
            about: "whether the target has workers to apply changes",
            grant: CATALOGS,
            explain: "max_logical_replication_workers, max_worker_processes and the limit of replication origins \
                      (max_active_replication_origins from Postgres 18 on, max_replication_slots before), against the \
                      subscriptions and origins that the target has.\n\n\
                      Each subscription that is enabled takes a worker and an origin. Without one for the migration, the \
                      subscription is made and then applies nothing.\n\n\
                      Raising these limits takes a restart of the target.",
            look: on_target(WORKERS, few_workers),
        },
        Check {
            code: "B12",
            title: "Preloaded libraries",
            about: PRELOADED,
            grant: CATALOGS,
            explain: "The extensions of the source that work only if the server loads their library when it starts, against \
                      the target's shared_preload_libraries.\n\n\
                      Most of them cannot be created without it, others can but fail when they are used.\n\n\
                      Add the library on the target and restart it, or leave the extension out if the application does not \
                      need it. Managed targets have a list of their own to choose from.",
            look: on_target(PRELOAD, not_preloaded),
        },
        Check {
            code: "B18",
            title: "Commits that wait",
            about: "whether commits on the target wait for standbys",
            grant: CATALOGS,
            explain: "synchronous_standby_names and synchronous_commit on the target.\n\n\
                      With them, each commit waits until standbys have answered. Changes are applied transaction by \
                      transaction, so the target may fall behind a busy source; and it stands still when the standbys are \
                      gone.\n\n\
                      It is only good to know. The role that migrates may wait for the target's own disk only, as long as it \
                      migrates.",
            look: on_target(SYNCHRONOUS, waiting_commits),
        },
    ]
}

const WORKERS: &str = "
select (select count(*) from pg_subscription where subenabled) as subscriptions, (select count(*) from pg_replication_origin) as origins,
       to_number(current_setting('max_logical_replication_workers'), '9999999999')::int8 as workers,
       to_number(current_setting('max_worker_processes'), '9999999999')::int8 as processes,
       case when current_setting('max_active_replication_origins', true) is null then 'max_replication_slots'
            else 'max_active_replication_origins' end as origins_setting,
       coalesce(current_setting('max_active_replication_origins', true), current_setting('max_replication_slots'))::int8 as origins_max";

#[derive(Deserialize)]
struct Workers {
    subscriptions: u64,
    origins: u64,
    workers: u64,
    processes: u64,
    origins_setting: String,
    origins_max: u64,
}

fn few_workers(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let Some(seen) = rows.first::<Workers>()? else { return Ok(Vec::new()) };
    // The launcher of the workers is a process, too.
    let needs = [
        ("max_logical_replication_workers", seen.workers, seen.subscriptions + 1),
        ("max_worker_processes", seen.processes, seen.subscriptions + 2),
        (seen.origins_setting.as_str(), seen.origins_max, seen.origins + 1),
    ];
    let low: Vec<_> = needs.into_iter().filter(|(_, has, needed)| has < needed).collect();
    if low.is_empty() {
        return Ok(Vec::new());
    }
    let named: Vec<String> =
        low.iter().map(|(name, has, needed)| format!("{name} is {has} and should be at least {needed}")).collect();
    let sentence = format!("The target cannot apply changes by one more subscription: {}.", named.join(", "));
    let why = "A subscription without a worker and an origin is made, but applies nothing.";
    let raise = |(name, _, needed): &(&str, u64, u64)| alter_system(name, &(needed + 4).to_string());
    let statements: Vec<String> = low.iter().map(raise).collect();
    let fix = fix_sql("Raise the limits, which takes a restart of the target", &statements);
    Ok(vec![Finding::new("B6", cx.live(Severity::Warning), "target", sentence, why).with_fix(fix)])
}

const PRELOADED: &str = "whether the target loads the libraries that extensions need";

/// A setting that a role may not see has no row here.
const PRELOAD: &str = "select (select setting from pg_settings where name = 'shared_preload_libraries') as libraries";

#[derive(Deserialize)]
struct Preload {
    libraries: Option<String>,
}

/// Extensions and the libraries that must be loaded when the server starts, and whether `create extension` refuses without it; by their
/// documentation.
const PRELOADING: [(&str, &str, bool); 14] = [
    ("anon", "anon", false),
    ("citus", "citus", true),
    ("credcheck", "credcheck", false),
    ("pg_cron", "pg_cron", true),
    ("pg_net", "pg_net", false),
    ("pg_qualstats", "pg_qualstats", true),
    ("pg_squeeze", "pg_squeeze", false),
    ("pg_stat_kcache", "pg_stat_kcache", true),
    ("pg_stat_monitor", "pg_stat_monitor", false),
    ("pg_stat_statements", "pg_stat_statements", false),
    ("pg_wait_sampling", "pg_wait_sampling", true),
    ("pgaudit", "pgaudit", true),
    ("pglogical", "pglogical", true),
    ("timescaledb", "timescaledb", true),
];

fn not_preloaded(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let is_installed = |name: &str| cx.known.extensions.iter().any(|extension| extension.name == name);
    let needed: Vec<_> = PRELOADING.iter().filter(|(extension, ..)| is_installed(extension)).collect();
    let Some(seen) = rows.first::<Preload>()?.filter(|_| !needed.is_empty()) else { return Ok(Vec::new()) };
    let Some(libraries) = seen.libraries else {
        let grant = format!("As a superuser of the target:\ngrant pg_read_all_settings to {};", cx.role(side));
        return Ok(vec![not_evaluated("B12", side, PRELOADED, "only some roles may see shared_preload_libraries", &grant)]);
    };
    let mut loaded = assign::items(&libraries);
    let missing: Vec<_> = needed.into_iter().filter(|(_, library, _)| !has_library(&loaded, library)).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let severity = if missing.iter().any(|(.., refuses)| *refuses) { Severity::Blocker } else { Severity::Warning };
    let names: Vec<String> = missing.iter().map(|(extension, ..)| format!("extension {}", human(extension))).collect();
    let which = count(
        missing.len(),
        "extension needs a library that the target does not load",
        "extensions need libraries that the target does not load",
    );
    let why = "Such an extension cannot be created, or fails when it is used.";
    loaded.extend(missing.iter().map(|(_, library, _)| (*library).to_owned()));
    // With timescaledb and citus it matters: each wants to be the first.
    loaded.sort_by_key(|library| !["citus", "timescaledb"].contains(&library.as_str()));
    let fix = fix_sql(
        "Install the packages on the target's machine, execute this as a superuser and restart the target; on a managed target, choose the \
         libraries in its console",
        &[alter_system("shared_preload_libraries", &quoted_list(&loaded))],
    );
    let finding = Finding::new("B12", severity, "target", format!("{which}."), why).with_fix(fix);
    Ok(vec![finding.with_objects(names)])
}

/// Whether a library is in the list, by itself or with a directory.
fn has_library(loaded: &[String], library: &str) -> bool {
    loaded.iter().any(|one| one.rsplit('/').next().map(|file| file.trim_end_matches(".so")) == Some(library))
}

fn quoted_list(items: &[String]) -> String {
    items.iter().map(|item| format!("\"{}\"", item.replace('"', "\"\""))).collect::<Vec<_>>().join(", ")
}

/// The value that sessions begin with; our own ones set it for themselves.
const SYNCHRONOUS: &str = "
select current_setting('synchronous_standby_names') as standbys, reset_val as waits_for
  from pg_settings where name = 'synchronous_commit' and reset_val not in ('off', 'local')
   and current_setting('synchronous_standby_names') <> ''";

#[derive(Deserialize)]
struct Synchronous {
    standbys: String,
    waits_for: String,
}

fn waiting_commits(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let Some(seen) = rows.first::<Synchronous>()? else { return Ok(Vec::new()) };
    let sentence = format!(
        "Commits on the target wait for standbys (synchronous_standby_names is {}, synchronous_commit is {}).",
        human_line(&seen.standbys),
        seen.waits_for
    );
    let why =
        "Changes are applied transaction by transaction, and each waits; when the standbys are gone, nothing is applied at all.";
    // Without the first one the second would wait itself.
    let statements =
        ["set synchronous_commit = 'local';".to_owned(), format!("alter role {} set synchronous_commit = 'local';", cx.role(side))];
    let fix =
        fix_sql("If that is too slow, let this role wait for the target's own disk only, until the migration is over", &statements);
    Ok(vec![Finding::new("B18", Severity::Note, "target", sentence, why).with_fix(fix)])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::Options;
    use super::super::super::facts::{Installed, Known};
    use super::*;

    fn preload(extensions: &[&str], libraries: Option<&str>) -> Vec<Finding> {
        let mut known = Known::plain();
        let installed = |name: &&str| Installed { name: (*name).to_owned(), version: "1".into(), schema: "public".into() };
        known.extensions = extensions.iter().map(installed).collect();
        let rows = Rows(vec![json!({"libraries": libraries})]);
        not_preloaded(&Context { known: &known, options: &Options::check() }, Side::Target, &rows).unwrap_or_default()
    }

    #[test]
    fn libraries_are_added_to_those_that_are_loaded() {
        let found = preload(&["pg_cron", "hstore", "timescaledb"], Some("$libdir/pgaudit"));
        assert_eq!(found[0].severity, Severity::Blocker);
        assert_eq!(found[0].objects, ["extension pg_cron", "extension timescaledb"]);
        let fix = found[0].fix.clone().unwrap_or_default();
        assert!(fix.ends_with("= 'timescaledb', '$libdir/pgaudit', 'pg_cron';"), "{fix}");
        assert_eq!(preload(&["pgaudit"], Some("$libdir/pgaudit")), []);
        assert_eq!(preload(&["hstore"], None), []);
    }

    #[test]
    fn a_hidden_list_is_no_pass() {
        let found = preload(&["pg_cron"], None);
        assert!(found[0].is_not_evaluated());
        assert!(found[0].fix.as_ref().is_some_and(|fix| fix.ends_with("grant pg_read_all_settings to \"owner\";")));
    }
}
