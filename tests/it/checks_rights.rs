//! Families C, D and E of the checks: each finding appears on a source that deserves it, and goes away when its fix is executed as it is printed.

use neon_migrate::engine::finding::Severity;
use neon_migrate::migration::preflight::{End, Options, Place, Wish, fences};

use crate::support::checks::{
    Bad, assert_passed, connect, each_is_found_and_mended, examine, examine_pair, live, mend, only, with_code,
};
use crate::support::cluster::Cluster;

const HOSTILE_CITEXT: &str = r#"
    create extension citext; create schema "Sh.op";
    create table "Sh.op"."It's ""q" (id int primary key, "Naïve name" citext, tags citext[]);"#;

const HOSTILE_PARTITIONS: &str = r#"
    create schema "Sh.op";
    create table "Sh.op"."By ""name" (name text collate "en-x-icu" not null, n int, primary key (name)) partition by range (name);
    create table "Sh.op".first partition of "Sh.op"."By ""name" for values from ('a') to ('m');
    create table "Sh.op".bytes (name text collate "C" primary key) partition by range (name);
    create table "Sh.op".listed (name text collate "en-x-icu" primary key) partition by list (name);"#;

const OLD_COLLATION: &str = r#"
    create schema "Sh.op"; create collation "Sh.op"."Ord.er ""ü" (provider = icu, locale = 'de');
    create table "Sh.op".t (id int primary key, a text collate "Sh.op"."Ord.er ""ü"); create index on "Sh.op".t (a);
    update pg_collation set collversion = '1.2' where collname = 'Ord.er "ü';"#;

#[tokio::test]
async fn bad_extensions_are_found_and_mended() {
    each_is_found_and_mended(&[
        Bad::new("D5", Severity::Note, "create extension odd_config", &["table odd_config.settings (of odd_config)"]).in_words(),
        Bad::new(
            "D6",
            Severity::Note,
            HOSTILE_CITEXT,
            &[
                r#"column "Sh.op"."It's ""q"."Naïve name" (citext's type citext)"#,
                r#"column "Sh.op"."It's ""q".tags (citext's type citext)"#,
            ],
        )
        .in_words(),
        Bad::new("D7", Severity::Warning, "create extension postgres_fdw", &["extension postgres_fdw"]).in_words(),
        Bad::new("D7", Severity::Warning, "create extension dblink", &["extension dblink"]).in_words(),
    ])
    .await;
}

#[tokio::test]
async fn an_extension_in_a_system_schema_is_found_and_moved() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        cluster.create_database("shop").await;
        cluster.psql("shop", "create extension hstore schema pg_catalog").await;
        let url = cluster.superuser_url("shop");
        let outcomes = examine(&url, &live()).await;
        let finding = only(&outcomes, "D4");
        assert_eq!(
            (finding.severity, &finding.objects[..]),
            (Severity::Warning, &["extension hstore (in pg_catalog)".to_owned()][..])
        );
        mend(&cluster, "shop", finding).await;
        assert!(with_code(&examine(&url, &live()).await, "D4").is_empty());
    }
}

#[tokio::test]
async fn bad_collations_and_grants_are_found_and_mended() {
    each_is_found_and_mended(&[
        Bad::new(
            "C14",
            Severity::Warning,
            r#"create role "Wat.ch ""er"; grant select on pg_authid to "Wat.ch ""er";
               grant execute on function pg_read_file(text) to "Wat.ch ""er"; grant pg_monitor to "Wat.ch ""er""#,
            &[
                r#"select on relation pg_authid to "Wat.ch ""er""#,
                r#"execute on function pg_read_file(text) to "Wat.ch ""er""#,
            ],
        )
        .in_words()
        .along_with(&["G9"]),
        Bad::new(
            "E4",
            Severity::Warning,
            r#"create schema "Sh.op"; create collation "Sh.op"."No case" (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"#,
            &[r#"collation "Sh.op"."No case" (und-u-ks-level2 of ICU, nondeterministic)"#],
        )
        .in_words(),
        Bad::new(
            "E4",
            Severity::Note,
            "create collation phonebook (provider = icu, locale = 'de-u-co-phonebk')",
            &["collation public.phonebook (de-u-co-phonebk of ICU)"],
        )
        .in_words(),
        Bad::new("E6", Severity::Warning, HOSTILE_PARTITIONS, &[r#"table "Sh.op"."By ""name" (sorted by "en-x-icu")"#]).in_words(),
    ])
    .await;
}

#[tokio::test]
async fn a_collation_whose_library_has_changed_is_found_and_mended() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        let database = "Old \"collation";
        cluster.create_database(database).await;
        cluster.psql(database, OLD_COLLATION).await;
        let url = cluster.superuser_url(database);
        let outcomes = examine(&url, &live()).await;
        let finding = only(&outcomes, "E3");
        assert!(finding.objects[0].starts_with(r#"collation "Sh.op"."Ord.er ""ü" (recorded 1.2, now "#), "{finding:#?}");
        assert_eq!(finding.objects_total, 1);
        mend(&cluster, database, finding).await;
        assert_passed(&examine(&url, &live()).await, "E3");
    }
}

#[tokio::test]
async fn a_database_whose_library_has_changed_is_found_and_mended() {
    let cluster = Cluster::start(18).await;
    let database = "Old \"locale";
    cluster.psql("postgres", r#"create database "Old ""locale" template template0 locale_provider icu icu_locale 'en'"#).await;
    cluster.psql(database, "update pg_database set datcollversion = '1.2' where datname = current_database()").await;
    let url = cluster.superuser_url(database);
    let outcomes = examine(&url, &live()).await;
    let finding = only(&outcomes, "E3");
    assert!(finding.objects[0].starts_with("database \"Old \"\"locale\" (recorded 1.2, now "), "{finding:#?}");
    mend(&cluster, database, finding).await;
    assert_passed(&examine(&url, &live()).await, "E3");
}

/// What a plain role lacks on the source, each with its severity when live replication is wanted.
#[tokio::test]
async fn what_a_plain_role_lacks_is_found_and_granted() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        let database = "Sh.op \"é";
        let url = cluster.plain_owner(database).await;
        let setup = r#"create role "Own.er ""2" nologin; create role "App ü" login; create schema "Sch ""ema";
                       create table "Sch ""ema"."Ta.ble" (id int primary key); alter table "Sch ""ema"."Ta.ble" owner to "Own.er ""2";
                       create table public.other (id int primary key); alter table public.other owner to "Own.er ""2";"#;
        cluster.psql(database, setup).await;
        let plain = examine(&url, &live()).await;
        for (code, severity) in
            [("C1", Severity::Blocker), ("C5", Severity::Blocker), ("C7", Severity::Warning), ("C11", Severity::Warning)]
        {
            let finding = only(&plain, code);
            assert_eq!(finding.severity, severity, "{finding:#?}");
            mend(&cluster, database, finding).await;
        }
        let tables = [r#"table "Sch ""ema"."Ta.ble" (owner: "Own.er ""2")"#, r#"table public.other (owner: "Own.er ""2")"#];
        assert_eq!(only(&plain, "C5").objects, tables);
        assert_eq!(only(&plain, "C12").objects, ["role \"App ü\""]);
        let mended = examine(&url, &live()).await;
        for code in ["C5", "C7", "C11"] {
            assert_passed(&mended, code);
        }
        assert!(with_code(&mended, "C1").is_empty(), "{:#?}", with_code(&mended, "C1"));
        let once = Options { wish: Wish::Once, ..Options::check() };
        cluster.psql(database, r#"alter table public.other owner to postgres"#).await;
        assert_eq!(only(&examine(&url, &once).await, "C5").severity, Severity::Note);
    }
}

#[tokio::test]
async fn who_may_not_create_in_the_database_or_inherits_nothing_gets_both() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        cluster.create_database("shop").await;
        let setup = r#"create role "Mi.grator" login noinherit password 'p'; create role "Own.er";
                       create table t (id int primary key); alter table t owner to "Own.er""#;
        cluster.psql("shop", setup).await;
        let url = cluster.url("Mi.grator", "p", "shop");
        let outcomes = examine(&url, &live()).await;
        let finding = only(&outcomes, "C5");
        assert!(finding.sentence.contains("may not create a publication in the database and not publish 1 table"), "{finding:#?}");
        mend(&cluster, "shop", finding).await;
        assert_passed(&examine(&url, &live()).await, "C5");
    }
}

#[tokio::test]
async fn a_role_of_amazons_may_replicate() {
    let cluster = Cluster::start(17).await;
    let url = cluster.rds_like("shop").await;
    cluster.psql("shop", "alter role shop_owner noreplication").await;
    let outcomes = examine(&url, &live()).await;
    assert!(with_code(&outcomes, "C1").is_empty());
    cluster.psql("shop", "revoke rds_replication from rds_superuser").await;
    let outcomes = examine(&url, &live()).await;
    let finding = only(&outcomes, "C1");
    mend(&cluster, "shop", finding).await;
    assert!(with_code(&examine(&url, &live()).await, "C1").is_empty());
    assert_eq!(cluster.query("shop", "select rolreplication from pg_roles where rolname = 'shop_owner'").await, "f");
}

#[tokio::test]
async fn what_a_plain_role_lacks_on_the_target_is_found_and_granted() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        cluster.create_database("source").await;
        let target = cluster.plain_owner("tar.get").await;
        let setup = r#"create extension postgres_fdw with schema public; create role "Own.er ""2"; create table t (id int primary key);
                       alter table t owner to "Own.er ""2""#;
        cluster.psql("source", setup).await;
        let source = cluster.superuser_url("source");
        let outcomes = examine_pair(&source, &target, &live()).await;
        let mut codes = vec!["C1", "C10", "D3"];
        if major >= 16 {
            codes.push("C13");
        }
        assert_eq!(with_code(&outcomes, "C13").len(), usize::from(major >= 16));
        assert_eq!(only(&outcomes, "D3").severity, Severity::Blocker);
        for code in &codes {
            let finding = only(&outcomes, code);
            assert_eq!(finding.subject, "target", "{finding:#?}");
            if major >= 16 || *code == "D3" {
                mend(&cluster, "tar.get", finding).await;
            }
        }
        let mended = examine_pair(&source, &target, &live()).await;
        let left: Vec<_> = codes.into_iter().filter(|code| !with_code(&mended, code).is_empty()).collect();
        assert_eq!(left, if major >= 16 { vec![] } else { vec!["C1", "C10"] });
    }
}

#[tokio::test]
async fn extensions_that_are_old_or_elsewhere_on_the_target_are_mended() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        cluster.create_database("source").await;
        cluster.create_database("target").await;
        let setup = r#"create schema "E.xt ""s"; create extension hstore; create extension citext with schema "E.xt ""s""#;
        cluster.psql("source", setup).await;
        cluster.psql("target", "create extension hstore version '1.4'; create extension citext").await;
        let (source, target) = (cluster.superuser_url("source"), cluster.superuser_url("target"));
        let outcomes = examine_pair(&source, &target, &live()).await;
        let (old, elsewhere) = (only(&outcomes, "D2"), only(&outcomes, "D4"));
        assert!(old.objects[0].starts_with("extension hstore (1.8 on the source, 1.4 on the target)"), "{old:#?}");
        assert_eq!(elsewhere.objects, [r#"extension citext (in "E.xt ""s" on the source, in public on the target)"#]);
        mend(&cluster, "target", old).await;
        mend(&cluster, "target", elsewhere).await;
        let mended = examine_pair(&source, &target, &live()).await;
        assert!(with_code(&mended, "D2").is_empty() && with_code(&mended, "D4").is_empty());
    }
}

#[tokio::test]
async fn the_fences_are_what_the_role_can_do() {
    for major in [14, 18] {
        let cluster = Cluster::start(major).await;
        let url = cluster.plain_owner("shop").await;
        let setup = r#"create role "App ü" login; create table public."Ta.ble" (id int primary key)"#;
        cluster.psql("shop", setup).await;
        let ask = async |url: &str| {
            let client = connect(url).await;
            fences(Place::Live(End::from(&client))).await.unwrap()
        };
        let plain = ask(&url).await;
        assert!(!plain.superuser && plain.can_refuse_connections() && plain.can_limit_connections() && plain.can_begin_read_only());
        assert_eq!((plain.roles_out_of_reach.as_slice(), plain.can_take_logins()), (&["App ü".to_owned()][..], false));
        assert_eq!(plain.tables_not_lockable, [("public".to_owned(), "Ta.ble".to_owned())]);
        cluster.psql("shop", r#"grant update on public."Ta.ble" to shop_owner"#).await;
        assert!(ask(&url).await.can_lock_tables());
        let superuser = ask(&cluster.superuser_url("shop")).await;
        assert!(superuser.superuser && superuser.can_take_logins() && superuser.can_lock_tables());
    }
}
