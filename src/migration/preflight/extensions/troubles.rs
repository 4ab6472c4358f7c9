//! Extensions that need more than being there.

use crate::engine::finding::{Finding, Severity};
use crate::migration::preflight::check::{Check, Context, Look, count};
use crate::pg::names::human;

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            code: "D7",
            title: "Extensions that need care",
            about: "whether there are extensions that need care",
            grant: "",
            explain: "Some extensions do not come to life on another server by being created there: they keep their state outside of \
                      ordinary tables, reach out to other servers or to the provider's services, or change how the server works.\n\n\
                      The check compares the source's extensions with a list of known ones. Each gives a finding of its own, which says \
                      what is particular about it and what to do.",
            look: Look::Facts(troubles),
        },
        Check {
            code: "D8",
            title: "Extensions with background workers",
            about: "whether there are extensions that act by themselves",
            grant: "",
            explain: "Some extensions have processes of their own that change data without anybody asking: they refresh, drop old rows, \
                      make partitions, or send requests. On the target they begin as soon as their configuration is there, while the \
                      source is still in charge; and a library that the server has to load at its start may not be loaded there.\n\n\
                      The check compares the source's extensions with a list of those. Let them rest on the target until the handover. \
                      For the jobs of pg_cron see D5.",
            look: Look::Facts(workers),
        },
    ]
}

/// A known trouble: which extensions (a `*` at the end stands for anything), why, and what to do.
type Trouble = (&'static [&'static str], &'static str, &'static str);

const TROUBLES: [Trouble; 19] = [
    (
        &["timescaledb"],
        "TimescaleDB keeps the rows of a hypertable in many hidden tables and describes them in its own catalog. A dump fits only the very \
         version of the extension that it came from, and the publication of a hypertable does not cover its chunks.",
        "Have the same version on both sides (see D2). Call timescaledb_pre_restore() in the target database before the definitions are \
         made and timescaledb_post_restore() after the rows are there; or make plain or partitioned tables of the hypertables first.",
    ),
    (
        &["timescaledb_toolkit"],
        "Its aggregates can be stored in columns, in a form that belongs to its version.",
        "Have the same version on both sides, or compute the stored aggregates anew.",
    ),
    (
        &["citus", "citus_columnar"],
        "Citus spreads the rows of a table over other servers, and a dump of the coordinator does not have the rows of distributed tables \
         in the form that another server could load. Columnar tables use an access method that other servers lack.",
        "Make plain tables of them first (undistribute_table, alter_table_set_access_method), where one server can hold them.",
    ),
    (
        &["pg_partman"],
        "pg_partman makes new partitions and drops old ones, and it knows them by its own tables. A source that goes on making partitions \
         while it is replicated has tables that the target does not know about.",
        "Make enough partitions in advance and switch its maintenance off on both sides until the handover.",
    ),
    (
        &["postgres_fdw", "oracle_fdw", "mysql_fdw", "tds_fdw", "mongo_fdw", "redis_fdw", "file_fdw", "wrappers", "log_fdw"],
        "Foreign tables read from somewhere else. Their rows are not in this database and are not copied, the target has to reach what they \
         reach, and passwords in user mappings can be read only by the mapping's user and superusers.",
        "See that the target can connect to the foreign servers (or that it has the files), and create the user mappings there with their \
         passwords.",
    ),
    (
        &["dblink"],
        "Functions connect to other servers with what their text says: addresses and passwords that may not be good for the target.",
        "Look for dblink in functions, views and jobs, and see that the target can reach what they name. Roles that are no superuser have \
         to give a password.",
    ),
    (
        &["pglogical", "bdr", "spock"],
        "Its nodes, subscriptions and replication sets describe this server and are no part of the database's contents. A subscription that \
         came to life on the target would take changes away from the source.",
        "Decide who replicates to whom after the migration, set that up anew on the target, and remove it from the source at the end.",
    ),
    (
        &["aws_*", "apg_*", "aurora_*"],
        "It calls services of Amazon's, or belongs to its servers, and exists nowhere else.",
        "Find what uses it (functions, triggers, jobs), and let the application do it instead.",
    ),
    (&["rds_*"], "It belongs to Amazon RDS and exists nowhere else.", "Leave it out; do without what depends on it."),
    (
        &["google_*", "alloydb_*"],
        "It calls services of Google's, or belongs to its servers, and exists nowhere else.",
        "Find what uses it (functions, indexes, jobs), and put pgvector or the application in its place.",
    ),
    (
        &["azure*", "pg_azure*", "pg_qs", "pgms_*"],
        "It calls services of Microsoft's, or belongs to its servers, and exists nowhere else.",
        "Find what uses it (functions, triggers, jobs), and let the application do it instead.",
    ),
    (
        &["pg_net", "http", "pgsql_http"],
        "Functions and triggers send requests to the outside. On the target they would send them a second time, or fail if the target may \
         not connect to the outside.",
        "Find the triggers and jobs that send requests, and keep them switched off on the target until the handover.",
    ),
    (
        &["pg_graphql", "supabase_vault", "pgsodium", "pg_jsonschema"],
        "It is part of Supabase's platform. What it keeps or encrypts may depend on a key that only the platform's server has, and the API \
         in front of it does not move.",
        "Read secrets out before the migration and keep them elsewhere; find another place for the API.",
    ),
    (
        &["pg_tle"],
        "pg_tle keeps the code of other extensions in the database. Those extensions exist only where pg_tle is and was given their code, so \
         a server without it cannot create them.",
        "Install their objects on the target as ordinary functions and types, or give the code to pg_tle there before the definitions are \
         made.",
    ),
    (
        &["anon", "pg_anonymize"],
        "Masking rules are security labels, which are left out of a migration to a managed server; and if the role that migrates is masked, \
         it reads masked values, and those are what would be copied.",
        "Migrate as a role that is not masked, and declare the rules again on the target.",
    ),
    (
        &["plv8", "plcoffee", "plls", "pljava", "plperlu", "plpython3u", "pltclu", "plr", "plrust", "plsh"],
        "Functions are written in a language that many managed servers do not offer, because it lets its code out of the database or takes \
         a runtime of its own.",
        "Make sure that the target offers the language in a version that runs the code, or write the functions anew in PL/pgSQL.",
    ),
    (
        &["age"],
        "Apache AGE keeps a graph in schemas of its own and finds it by the object numbers that the source gave to them.",
        "Export the graphs and load them into graphs made anew on the target.",
    ),
    (
        &["orioledb", "zson", "pg_mooncake", "pg_duckdb", "hydra_columnar", "columnar", "pg_lake*", "pg_parquet", "pg_analytics"],
        "Tables or values are kept in a form of its own, which only a server with the same extension can read; some keep the rows in an \
         object store.",
        "Make ordinary tables and values of them first.",
    ),
    (
        &["pg_search", "rum", "zombodb", "pgroonga", "lantern", "vchord", "vectorscale", "pg_bm25"],
        "It brings an index method of its own. Indexes that use it are built anew on the target, or cannot exist there, and queries rely on \
         its operators.",
        "Make sure that the target offers the same extension, or choose another index and change the queries.",
    ),
];

/// Extensions that act by themselves, and what keeps them still.
const WORKERS: [(&str, &str); 10] = [
    ("timescaledb", "Its policies compress, refresh and drop chunks: select timescaledb_pre_restore() keeps them still."),
    ("pg_partman", "Its worker makes and drops partitions in the databases that pg_partman_bgw.dbname names: leave that empty."),
    ("pg_net", "Its worker sends the requests that wait in net.http_request_queue."),
    ("pgagent", "Its daemon runs the jobs in pgagent.pga_job: do not start it for the target."),
    ("pg_squeeze", "Its worker rewrites the tables in squeeze.tables."),
    ("pglogical", "Its workers apply changes from other servers."),
    ("bdr", "Its workers apply changes from other servers."),
    ("spock", "Its workers apply changes from other servers."),
    ("citus", "Its maintenance daemon moves shards and cleans up."),
    ("pg_background", "Functions start workers that go on after the caller is gone."),
];

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

fn troubles(cx: &Context<'_>) -> Vec<Finding> {
    TROUBLES.iter().filter_map(|trouble| found(cx, trouble)).collect()
}

fn found(cx: &Context<'_>, (patterns, why, fix): &Trouble) -> Option<Finding> {
    let names: Vec<&str> = cx.known.extensions.iter().map(|installed| installed.name.as_str()).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| patterns.iter().any(|pattern| matches(pattern, name))).collect();
    if names.is_empty() {
        return None;
    }
    let listed: Vec<String> = names.iter().map(|name| human(name)).collect();
    let sentence =
        format!("The source uses {}, which {} care.", listed.join(", "), if names.len() == 1 { "needs" } else { "need" });
    let objects = listed.iter().map(|name| format!("extension {name}")).collect();
    Some(Finding::new("D7", Severity::Warning, "source", sentence, why).with_fix(*fix).with_objects(objects))
}

fn workers(cx: &Context<'_>) -> Vec<Finding> {
    let installed = |name: &str| cx.known.extensions.iter().any(|installed| installed.name == name);
    let found: Vec<_> = WORKERS.iter().filter(|(name, _)| installed(name)).collect();
    if found.is_empty() {
        return Vec::new();
    }
    let sentence = format!("The source uses {} that act by themselves.", count(found.len(), "extension", "extensions"));
    let why = "On the target they begin as soon as their configuration is there, while the source is still in charge: both change, and what \
               they change on the target is in the way of what comes from the source.";
    let texts: Vec<&str> = found.iter().map(|(_, text)| *text).collect();
    let fix = format!("Let them rest on the target until the handover. {}", texts.join(" "));
    let objects = found.iter().map(|(name, _)| format!("extension {name}")).collect();
    vec![Finding::new("D8", Severity::Warning, "source", sentence, why).with_fix(fix).with_objects(objects)]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::migration::preflight::Options;
    use crate::migration::preflight::facts::{Installed, Known};

    fn with(names: &[&str], evaluate: fn(&Context<'_>) -> Vec<Finding>) -> Vec<Finding> {
        let mut known = Known::plain();
        let installed = |name: &&str| Installed { name: (*name).to_owned(), version: "1.0".into(), schema: "public".into() };
        known.extensions = names.iter().map(installed).collect();
        evaluate(&Context { known: &known, options: &Options::check() })
    }

    #[test]
    fn each_known_trouble_is_found_by_its_name() {
        let named = [
            "timescaledb",
            "citus",
            "pg_partman",
            "postgres_fdw",
            "dblink",
            "pglogical",
            "aws_s3",
            "rds_tools",
            "google_ml_integration",
            "pg_net",
            "pg_graphql",
            "pg_tle",
            "anon",
            "plv8",
        ];
        for name in named {
            let found = with(&[name], troubles);
            assert_eq!(found.len(), 1, "{name}");
            assert_eq!(found[0].objects, [format!("extension {name}")]);
        }
        for name in ["hstore", "Timescaledb", "awsome", "plpgsql", "pg_stat_statements", "vector"] {
            assert_eq!(with(&[name], troubles), [], "{name}");
        }
        assert_eq!(with(&["aws_s3", "aws_commons"], troubles)[0].sentence, "The source uses aws_s3, aws_commons, which need care.");
    }

    #[test]
    fn no_extension_has_two_troubles_and_each_text_is_sentences() {
        let mut seen = HashSet::new();
        for (patterns, why, fix) in TROUBLES {
            assert!(patterns.iter().all(|pattern| seen.insert(*pattern)), "{patterns:?}");
            assert!(
                [why, fix].iter().all(|text| text.ends_with('.') && text.starts_with(|c: char| c.is_uppercase() || c == 'p')),
                "{why}"
            );
        }
    }

    #[test]
    fn workers_are_told_together() {
        assert_eq!(with(&["hstore"], workers), []);
        let found = with(&["pg_net", "timescaledb"], workers);
        assert_eq!(found[0].objects, ["extension timescaledb", "extension pg_net"]);
    }
}
