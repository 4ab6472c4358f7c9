//! The lines for those who do it by hand: every script is run on real clusters, and both databases are compared afterwards.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use neon_migrate::pg::names::{Ident, literal};
use serde_json::Value;

use crate::connect::Authority;
use crate::support::child::{Outcome, Run};
use crate::support::cluster::{Cluster, percent_encode};
use crate::support::fixtures::fixture;
use crate::support::roles::OWNER_PASSWORD;
use crate::support::{migrate, poll, postgres};

const LIMIT: Duration = Duration::from_secs(90);

/// Everything that a shell, a connection string or a pattern could take for its own.
const DATABASE: &str = "it's a \"$HOME\" `id` \\ db=1 % ünï\nline";
const ROLE: &str = "-ro'le \"x\" $y `z` \\ 😀";
const PASSWORD: &str = "p'w \"$(id)\" `id` \\' %41 =é ";

/// Makes a source whose names are hostile, with all that the lines have to treat on its own; its owner is no superuser, but may replicate.
async fn hostile_source(cluster: &Cluster) -> String {
    let (role, database) = (Ident::new(ROLE), Ident::new(DATABASE));
    cluster.psql("postgres", &format!("create role {role} login replication password {}", literal(PASSWORD))).await;
    cluster.psql("postgres", "create role reader nologin").await;
    cluster.psql("postgres", &format!("create database {database} owner {role}")).await;
    fill(cluster).await;
    cluster.url(ROLE, PASSWORD, DATABASE)
}

async fn fill(cluster: &Cluster) {
    let sql = fs::read_to_string(fixture("commands/hostile.sql")).unwrap();
    let mut client = cluster.connect(DATABASE).await;
    let transaction = client.transaction().await.unwrap();
    transaction.batch_execute(&format!("set local role {}; {sql}", Ident::new(ROLE))).await.unwrap();
    transaction.commit().await.unwrap();
}

/// Runs `neon-migrate commands`.
async fn commands(source: &str, target: &str, args: &[&str]) -> Outcome {
    let run = Run::new(["commands"].iter().chain(args));
    run.env("NEON_MIGRATE_SOURCE", source).env("NEON_MIGRATE_TARGET", target).finish(LIMIT).await
}

/// A folder of scripts.
pub struct Scripts {
    dir: tempfile::TempDir,
    passwords: Option<(String, String)>,
}

impl Scripts {
    pub async fn write(source: &str, target: &str, args: &[&str]) -> Scripts {
        let dir = tempfile::tempdir().unwrap();
        commands(source, target, &[&["--script", dir.path().to_str().unwrap()], args].concat()).await.expect_code(0);
        Scripts { dir, passwords: None }
    }

    pub fn with(mut self, source: &str, target: &str) -> Scripts {
        self.passwords = Some((source.to_owned(), target.to_owned()));
        self
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Roles are the whole cluster's, and may be there from another time.
    async fn run_roles(&self) {
        if self.path().join("0-roles.sh").exists() {
            self.run("0-roles.sh").await;
        }
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// Runs a script from elsewhere; what it wrote to standard output, or all that it said.
    async fn try_run(&self, name: &str) -> Result<String, String> {
        let mut command = tokio::process::Command::new(self.path().join(name));
        command.env_clear().current_dir("/").stdin(Stdio::null()).kill_on_drop(true).env("HOME", self.path());
        command.env("PATH", format!("{}:/usr/bin:/bin", postgres::client_bin().display()));
        if let Some((source, target)) = &self.passwords {
            command.env("SOURCE_PASSWORD", source).env("TARGET_PASSWORD", target);
        }
        let done = tokio::time::timeout(LIMIT, command.output()).await.expect("the script ends").unwrap();
        let (out, err) = (String::from_utf8_lossy(&done.stdout).into_owned(), String::from_utf8_lossy(&done.stderr).into_owned());
        if done.status.success() { Ok(out) } else { Err(format!("{name}: {}\n{out}\n{err}\n{}", done.status, self.text(name))) }
    }

    pub async fn run(&self, name: &str) -> String {
        self.try_run(name).await.unwrap_or_else(|said| panic!("{said}"))
    }
}

/// Both databases are equal, row by row and object by object. Materialized views are not compared by `verify`, as each is its query's result.
async fn assert_equal(old: &Cluster, source: &str, new: (&Cluster, &str), target: &str) {
    let told = migrate::verify(source, target, &["--verify", "strict"]).await.expect_code(0);
    let views = ["public.totals", "public.\"totals of totals\"", "public.empty_view"];
    let unequal: Vec<_> =
        told.unequal().into_iter().filter(|(name, verdict, _)| verdict != "not_evaluated" || !views.contains(&&**name)).collect();
    assert_eq!((unequal, told.differences()), (vec![], vec![]));
    assert!(told.verdicts().len() > 9, "{:?}", told.verdicts());
    let filled = "select (select n from totals), (select n from \"totals of totals\"), relispopulated from pg_class where relname = 'empty_view'";
    let (here, there) = (old.query(DATABASE, filled).await, new.0.query(new.1, filled).await);
    assert!(here == there && here.ends_with("|f"), "{here} {there}");
}

async fn dumps(from: u32, to: u32) {
    let (old, new) = tokio::join!(Cluster::start(from), Cluster::start(to));
    let source = hostile_source(&old).await;
    for (form, database) in [("", "one's \"$file\""), ("parallel-", "in `parallel` \\ %41")] {
        let target = new.neon_shaped_target(database).await;
        let scripts = Scripts::write(&source, &target, &["--jobs", "2"]).await.with(PASSWORD, OWNER_PASSWORD);
        scripts.run_roles().await;
        for step in ["1-dump", "2-restore", "3-analyze"] {
            scripts.run(&format!("{form}{step}.sh")).await;
        }
        assert_equal(&old, &source, (&new, database), &target).await;
        let analyzed = "select count(*) from pg_stats where schemaname !~ '^pg_' and schemaname <> 'information_schema'";
        assert_ne!(new.query(database, analyzed).await, "0");
        // A second restore into a full target fails, and says so.
        scripts.try_run(&format!("{form}2-restore.sh")).await.unwrap_err();
    }
}

#[tokio::test]
async fn dumps_from_14_to_18() {
    dumps(14, 18).await;
}

#[tokio::test]
async fn dumps_from_15_to_18() {
    dumps(15, 18).await;
}

#[tokio::test]
async fn dumps_from_16_to_16_where_a_setting_of_the_tools_is_unknown() {
    dumps(16, 16).await;
}

#[tokio::test]
async fn dumps_from_17_to_18() {
    dumps(17, 18).await;
}

#[tokio::test]
async fn dumps_from_18_to_18() {
    dumps(18, 18).await;
}

/// The whole walk, with writes while it goes on. Roles without superuser may subscribe from 16 on.
async fn live(from: u32, to: u32, turn_off: &str) {
    let (old, new) = tokio::join!(Cluster::start(from), Cluster::start(to));
    let source = hostile_source(&old).await;
    let database = "it's \"live\" $1 `x` \\ %";
    let (target, password) = if to >= 16 {
        (new.neon_shaped_target(database).await, OWNER_PASSWORD)
    } else {
        new.create_database(database).await;
        (new.superuser_url(database), postgres::SUPERUSER_PASSWORD)
    };
    let scripts = Scripts::write(&source, &target, &[]).await.with(PASSWORD, password);
    scripts.run_roles().await;
    for step in ["live-1-publication.sh", "live-2-schema.sh", "live-3-subscription.sh"] {
        scripts.run(step).await;
    }
    let client = old.connect(DATABASE).await;
    let write = "update \"Odd \"\"schema\"\".$x\".\"it's `a` $table\" set v = v || '!' where id % 3 = 0;
                 delete from \"Odd \"\"schema\"\".$x\".\"it's `a` $table\" where id % 7 = 0;
                 insert into \"Odd \"\"schema\"\".$x\".\"it's `a` $table\" (v) select 'new' from generate_series(1, 20);
                 insert into parts values (15, 'a'), (25, 'b'); update parts set v = 'moved', id = 0 where id = 25;
                 insert into bare values (3); refresh materialized view totals; refresh materialized view \"totals of totals\";";
    client.batch_execute(write).await.unwrap();
    let ready = "select count(*) filter (where srsubstate <> 'r') = 0 and count(*) > 0 from pg_subscription_rel";
    poll::until_true(LIMIT, "all tables are ready", async || new.query(database, ready).await == "t").await;
    let progress = scripts.run("live-4-progress.sh").await;
    assert!(progress.contains("lr_subscription") && progress.contains("(0 rows)"), "{progress}");
    for step in ["live-5-drain.sh", "live-6-sequences.sh", "live-7-rest.sh", "live-7-views.sh"] {
        scripts.run(step).await;
    }
    scripts.run(turn_off).await;
    let left = scripts.run("live-9-nothing-left.sh").await;
    for what in ["slots", "publications", "subscriptions"] {
        assert!(left.lines().any(|line| line.split('|').map(str::trim).eq([what, "0"])), "{left}");
    }
    scripts.run("live-9-analyze.sh").await;
    assert_equal(&old, &source, (&new, database), &target).await;
    let gone = "select (select count(*) from pg_replication_slots) + (select count(*) from pg_publication)";
    assert_eq!(old.query(DATABASE, gone).await, "0");
    let gone = "select (select count(*) from pg_subscription) + (select count(*) from pg_publication)";
    assert_eq!(new.query(database, gone).await, "0");
}

#[tokio::test]
async fn replication_from_14_to_14() {
    live(14, 14, "live-8-turn-off.sh").await;
}

#[tokio::test]
async fn replication_from_15_to_18() {
    live(15, 18, "live-8-turn-off.sh").await;
}

#[tokio::test]
async fn replication_from_16_to_16() {
    live(16, 16, "live-8-turn-off.sh").await;
}

#[tokio::test]
async fn replication_from_17_to_18() {
    live(17, 18, "live-8-turn-off.sh").await;
}

#[tokio::test]
async fn replication_from_18_to_18_turned_off_from_both_sides_apart() {
    live(18, 18, "live-8-turn-off-apart.sh").await;
}

#[tokio::test]
async fn passwords_are_in_no_line_unless_asked_for() {
    let (old, new) = tokio::join!(Cluster::start(17), Cluster::start(18));
    let source = hostile_source(&old).await;
    let target = new.neon_shaped_target("app").await;
    let secrets = [PASSWORD.trim(), &percent_encode(PASSWORD), OWNER_PASSWORD];
    for args in [&[][..], &["--output", "json"], &["--shell", "powershell"]] {
        let outcome = commands(&source, &target, args).await.expect_code(0);
        for secret in secrets {
            assert!(!outcome.stdout.contains(secret) && !outcome.stderr.contains(secret), "{args:?} shows {secret}");
        }
    }
    let scripts = Scripts::write(&source, &target, &[]).await;
    for entry in fs::read_dir(scripts.path()).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        secrets.iter().for_each(|secret| assert!(!text.contains(secret)));
    }

    let scripts = Scripts::write(&source, &target, &["--with-passwords"]).await;
    assert!(scripts.text("connections.sh").contains(OWNER_PASSWORD));
    let mode = |name: &str| fs::metadata(scripts.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("connections.sh"), mode("1-dump.sh"), mode("README.md")), (0o600, 0o700, 0o600));
    for step in ["0-roles.sh", "1-dump.sh", "2-restore.sh"] {
        scripts.run(step).await;
    }
    assert_equal(&old, &source, (&new, "app"), &target).await;
    let again = scripts.path().to_str().unwrap();
    let refused = commands(&source, &target, &["--script", again]).await.expect_code(2);
    assert!(refused.stderr.contains("script-directory"), "{}", refused.stderr);
}

/// What is printed is what is written: the lines pasted into a shell do the same.
#[tokio::test]
async fn printed_lines_work_when_pasted() {
    let (old, new) = tokio::join!(Cluster::start(18), Cluster::start(18));
    let source = hostile_source(&old).await;
    let target = new.neon_shaped_target("app").await;
    let outcome = commands(&source, &target, &["--output", "json"]).await.expect_code(0);
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let lines = |value: &Value| value.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let mut paste = lines(&document["connections"]);
    for step in document["steps"].as_array().unwrap().iter().filter(|step| step["way"] == "one-file" || step["way"] == "before") {
        paste.extend(lines(&step["lines"]));
    }
    let printed = commands(&source, &target, &[]).await.expect_code(0).stdout;
    assert!(printed.contains(&paste.join("\n").lines().next().unwrap().to_owned()));
    for block in &paste {
        assert!(printed.contains(block), "{block}\n is not in\n{printed}");
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("paste"), paste.join("\n") + "\n").unwrap();
    let mut shell = tokio::process::Command::new("bash");
    shell.args(["-e", "paste"]).current_dir(dir.path()).stdin(Stdio::null()).env("HOME", dir.path());
    shell.env("PATH", format!("{}:/usr/bin:/bin", postgres::client_bin().display()));
    shell.env("SOURCE_PASSWORD", PASSWORD).env("TARGET_PASSWORD", OWNER_PASSWORD);
    let done = shell.output().await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_equal(&old, &source, (&new, "app"), &target).await;
}

/// Supabase's schemas, roles and event triggers, with keys and policies of the user that need them.
#[tokio::test]
async fn what_belongs_to_the_platform_stays_behind_with_all_that_needs_it() {
    let (old, new) = tokio::join!(Cluster::start(17), Cluster::start(18));
    old.create_database("supa").await;
    old.psql_file("supa", &fixture("commands/supabase.sql")).await;
    let source = old.url("supa_user", "supa-s3cret", "supa");
    let target = new.neon_shaped_target("app").await;
    let scripts = Scripts::write(&source, &target, &[]).await.with("supa-s3cret", OWNER_PASSWORD);
    let readme = scripts.text("README.md");
    for words in
        ["--exclude-schema=auth", "--exclude-schema=storage", "constraint posts_author_fkey", "policy own_posts", "Supabase"]
    {
        assert!(readme.contains(words), "{words} is not in\n{readme}");
    }
    scripts.run("0-roles.sh").await;
    scripts.run("1-dump.sh").await;
    let restored = scripts.try_run("2-restore.sh").await;
    assert!(restored.is_ok(), "{restored:?}");
    assert_eq!(new.query("app", "select string_agg(body, ' ' order by id) from posts").await, "one two");
    assert_eq!(new.query("app", "select string_agg(polname, ' ') from pg_policy").await, "everybody_reads");
    assert_eq!(new.query("app", "select count(*) from pg_namespace where nspname in ('auth', 'storage')").await, "0");
    assert_eq!(new.query("app", "select count(*) from pg_event_trigger").await, "0");
}

#[tokio::test]
async fn a_superuser_keeps_owners_and_grants_where_the_roles_are_there() {
    let (old, new) = tokio::join!(Cluster::start(18), Cluster::start(18));
    let source = hostile_source(&old).await;
    new.psql("postgres", &format!("create role {}; create role reader", Ident::new(ROLE))).await;
    new.create_database("app").await;
    let scripts = Scripts::write(&source, &new.superuser_url("app"), &[]).await.with(PASSWORD, postgres::SUPERUSER_PASSWORD);
    let restore = scripts.text("2-restore.sh");
    assert!(!restore.contains("--no-owner") && !restore.contains("--no-privileges"), "{restore}");
    scripts.run("1-dump.sh").await;
    scripts.run("2-restore.sh").await;
    let owners = "select distinct pg_get_userbyid(relowner) from pg_class where relname = 'parts'";
    assert_eq!(new.query("app", owners).await, ROLE);
    assert_eq!(new.query("app", "select has_table_privilege('reader', 'public.parts', 'select')").await, "t");
}

#[tokio::test]
async fn what_replication_needs_and_lacks_is_said() {
    let (old, new) = tokio::join!(Cluster::build(16).with_setting("wal_level", "replica").start(), Cluster::start(15));
    let source = old.plain_owner("app").await;
    old.psql("app", "create table others (id int primary key)").await;
    old.psql("app", "set role app_owner; create schema s; create table s.mine (id int primary key);").await;
    new.psql("postgres", "create database app").await;
    let target = new.plain_owner("there").await;
    let printed = commands(&source, &target, &["--output", "json"]).await.expect_code(0).stdout;
    let document: Value = serde_json::from_str(&printed).unwrap();
    let notes = document["notes"].to_string();
    for words in [
        "wal_level is replica",
        "app_owner may not replicate",
        "public.others is not published",
        "may not create subscriptions",
        "pg_dump will fail",
    ] {
        assert!(notes.contains(words), "{words} is not in {notes}");
    }
}

/// The programs of the tests are built without TLS.
#[tokio::test]
async fn programs_that_do_not_fit_are_named_with_the_way_to_better_ones() {
    let certs = Authority::new("tests").server(&["localhost"]);
    let (old, new) = tokio::join!(Cluster::start(18), Cluster::build(18).with_tls(&certs).start());
    let source = old.plain_owner("app").await;
    let target = new.plain_owner("there").await;
    let empty = tempfile::tempdir().unwrap();
    let printed = commands(&source, &target, &["--pg-bin-dir", empty.path().to_str().unwrap()]).await.expect_code(0).stdout;
    assert!(printed.contains("has no pg_dump and pg_restore of version 18"), "{printed}");
    let notes = async |target: &str| {
        let printed = commands(&source, target, &["--output", "json"]).await.expect_code(0).stdout;
        serde_json::from_str::<Value>(&printed).unwrap()["notes"].to_string()
    };
    let plain = notes(&format!("{target}?sslmode=disable")).await;
    assert!(!plain.contains("TLS"), "{plain}");
    let required = notes(&format!("{target}?sslmode=require")).await;
    assert!(
        required.contains("without TLS, which the target is reached with: they will fail.") && required.contains("nstall"),
        "{required}"
    );
    let same = commands(&source, &source, &[]).await.expect_code(3);
    assert!(same.stderr.contains("same database"), "{}", same.stderr);
}

/// Extensions that only a superuser may create, with an index and a view that need them.
#[tokio::test]
async fn what_needs_an_extension_that_cannot_be_created_stays_behind_by_name() {
    let (old, new) = tokio::join!(Cluster::start(16), Cluster::start(18));
    old.create_database("app").await;
    old.psql(
        "app",
        "create extension bloom; create extension pg_buffercache;
         create table kept (id int primary key, v int); insert into kept values (1, 1);
         create index kept_bloom on kept using bloom (v); create index kept_v on kept (v);
         create view pages as select count(*) from pg_buffercache; create view more_pages as select * from pages;
         create function bystander() returns int language sql as 'select 1';",
    )
    .await;
    let target = new.neon_shaped_target("app").await;
    let scripts = Scripts::write(&old.superuser_url("app"), &target, &[]).await.with(postgres::SUPERUSER_PASSWORD, OWNER_PASSWORD);
    let readme = scripts.text("README.md");
    for words in [
        "The extension bloom is left out: only a superuser",
        "index public.kept_bloom",
        "view public.pages, view public.more_pages",
    ] {
        assert!(readme.contains(words), "{words} is not in\n{readme}");
    }
    for step in ["parallel-1-dump.sh", "parallel-2-restore.sh"] {
        scripts.run(step).await;
    }
    assert!(scripts.text("2-restore.sh").contains("--exit-on-error"), "nothing is left that may fail");
    let there = "select string_agg(relname, ' ' order by relname) from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(new.query("app", there).await, "kept kept_pkey kept_v");
    assert_eq!(new.query("app", "select bystander() + v from kept").await, "2");
}

/// A table that cannot be created is neither published nor copied, and its sequence is not set.
#[tokio::test]
async fn a_table_that_stays_behind_is_in_no_step() {
    let (old, new) = tokio::join!(Cluster::start(18), Cluster::start(18));
    old.create_database("app").await;
    old.psql(
        "app",
        "create extension pg_freespacemap;
         create table gone (id serial primary key, space int default pg_freespace('pg_class', 0));
         create table kept (id serial primary key); insert into kept default values;",
    )
    .await;
    let target = new.neon_shaped_target("app").await;
    let scripts = Scripts::write(&old.superuser_url("app"), &target, &[]).await.with(postgres::SUPERUSER_PASSWORD, OWNER_PASSWORD);
    assert!(scripts.text("README.md").contains("table public.gone"));
    assert!(!scripts.text("live-1-publication.sh").contains("gone"));
    assert!(
        !scripts.text("2-restore.sh").contains("--exit-on-error")
            && scripts.text("2-restore.sh").contains("Some errors are possible")
    );
    scripts.run("live-1-publication.sh").await;
    scripts.try_run("live-2-schema.sh").await.unwrap_err();
    for step in ["live-3-subscription.sh", "live-5-drain.sh", "live-6-sequences.sh", "live-8-turn-off.sh"] {
        scripts.run(step).await;
    }
    assert_eq!(new.query("app", "select count(*), max(id), nextval('kept_id_seq') from kept").await, "1|1|2");
    assert_eq!(new.query("app", "select to_regclass('gone') is null").await, "t");
}
