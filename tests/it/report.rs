//! A migration of real servers, its report in every form, and its recording, which has nothing of its rows.

use std::time::Duration;

use neon_migrate::engine::journal::History;
use neon_migrate::engine::recording::{Item, Recording};
use neon_migrate::engine::view::View;

use crate::support::child::{Outcome, Run};
use crate::support::cluster::Cluster;
use crate::support::recording::folded;

const LIMIT: Duration = Duration::from_secs(120);
/// Stands in a row, in a default, in a comment and in an error of the database's own code.
const VALUE: &str = "plantedRow5527";

#[tokio::test]
async fn a_migration_is_reported_and_its_recording_has_no_row() {
    let (source, target) = (Cluster::start(16).await, Cluster::start(18).await);
    source.create_database("shop").await;
    target.create_database("shop").await;
    let sql = format!(
        "create table orders (id int primary key, note text default '{VALUE}'); comment on table orders is '{VALUE}';
         insert into orders select n, '{VALUE}' || n from generate_series(1, 1000) n;
         create function told() returns int language plpgsql as $$ begin
             if current_setting('server_version_num')::int >= 180000 then raise exception '{VALUE} %', (select min(note) from public.orders); end if;
             return 1; end $$;
         create materialized view failing as select told();"
    );
    source.psql("shop", &sql).await;
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let run = |args: &[&str]| {
        let words = args.iter().copied().chain(["--state-dir", state.to_str().unwrap()]);
        Run::new(words)
            .env("NEON_MIGRATE_SOURCE", source.superuser_url("shop"))
            .env("NEON_MIGRATE_TARGET", target.superuser_url("shop"))
    };
    let copied = run(&["copy", "--output", "json"]).finish(LIMIT).await;
    assert!(copied.stdout.contains("(SQLSTATE P0001)"), "the target's code did not fail: {copied:?}");

    let (html, markdown, json, bundle) = (at("m.html"), at("m.md"), at("m.json"), at("m.jsonl"));
    let files = ["report", "--file", &html, "--file", &markdown, "--file", &json, "--bundle", &bundle];
    run(&files).finish(LIMIT).await.expect_code(0);
    for file in [&html, &markdown, &json] {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains("orders") && text.contains("failing"), "{file}:\n{text}");
    }
    let printed = run(&["report"]).finish(LIMIT).await.expect_code(0);
    assert!(printed.stdout.starts_with("# The migration of shop\n"), "{}", printed.stdout);
    let refused = run(&["report", "--file", &at("m.txt")]).finish(LIMIT).await.expect_code(2);
    assert!(refused.stderr.contains(".html, .md or .json"), "{}", refused.stderr);

    let text = std::fs::read_to_string(&bundle).unwrap();
    for gone in [VALUE, "127.0.0.1", &source.port.to_string(), home.path().to_str().unwrap(), "@"] {
        assert!(!text.contains(gone), "the recording has {gone:?}:\n{text}");
    }
    same_story(&state, &bundle, &copied, &at("printed.jsonl"));
}

/// The recording, and what the copy printed, tell what the journal holds.
fn same_story(state: &std::path::Path, bundle: &str, copied: &Outcome, printed: &str) {
    let dir = std::fs::read_dir(state).unwrap().flatten().map(|entry| entry.path()).find(|path| path.is_dir()).unwrap();
    let mut journal = View::default();
    History::open(&dir).unwrap().read(|event| journal.apply(&event)).unwrap();
    std::fs::write(printed, &copied.stdout).unwrap();
    for file in [bundle, printed] {
        let items: Vec<Item> = Recording::open(file.as_ref()).unwrap().collect::<Result<_, _>>().unwrap();
        assert!(items.iter().any(|item| matches!(item, Item::Progress(_))), "{file} has no progress");
        let view = folded(items);
        assert_eq!((view.index, view.runs), (journal.index, journal.runs), "{file}");
        assert_eq!((&view.tables, &view.phases), (&journal.tables, &journal.phases), "{file}");
        assert_eq!(view.left_out.len(), journal.left_out.len(), "{file}");
    }
}
