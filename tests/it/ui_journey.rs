//! Whole migrations in a real browser and on real clusters: from the connection string to the new one, replication with the lines that are shown, a
//! program that is killed on the way, somebody who watches, and very many tables.

use std::path::Path;
use std::time::Duration;

use crate::support::browser::{self, Ui};
use crate::support::child::Run;
use crate::support::cluster::Cluster;
use crate::support::postgres::client_bin;
use crate::support::proxy::{Direction, Proxy};
use crate::support::recording::{recording, write};

const SOURCE_PASSWORD: &str = "plantedSourcePw5501";
const TARGET_PASSWORD: &str = "plantedTargetPw5502";
/// So slow that a copy of the shop does not end by itself, in bytes a second for each connection.
const SLOW: u64 = 60_000;

/// More than twenty tables, with keys, sequences, names that are markup, and one table that takes its time.
const SHOP: &str = r#"set role shop_owner;
    create table customer (id bigint generated always as identity primary key, name text not null, email text unique);
    insert into customer (name, email) select 'c' || n, 'c' || n || '@example.org' from generate_series(1, 500) n;
    do $$ declare name text; begin
      foreach name in array array['address', 'basket', 'brand', 'carrier', 'coupon', 'discount', 'invoice', 'label', 'note', 'parcel', 'payment',
        'price', 'product', 'refund', 'review', 'shelf', 'supplier', 'tax', 'voucher', 'Wish "list"', '<b>bold</b>'] loop
        execute format('create table %I (id serial primary key, customer bigint not null references customer, body text)', name);
        execute format('insert into %I (customer, body) select 1 + n %% 500, md5(n::text) from generate_series(1, 200) n', name);
      end loop;
    end $$;
    create table item (id bigserial primary key, customer bigint not null references customer, body text not null);
    insert into item (customer, body) select 1 + n % 500, repeat(md5(n::text), 8) from generate_series(1, 60000) n;
    create index item_customer on item (customer);
    create view busy as select customer, count(*) from item group by customer having count(*) > 100;"#;

/// A shop that is to be moved, behind a network whose speed can be set, and an empty database as at Neon.
struct Shop {
    old: Cluster,
    new: Cluster,
    slow: Proxy,
    state: tempfile::TempDir,
}

impl Shop {
    async fn start() -> Shop {
        let (old, new) = tokio::join!(Cluster::start(17), Cluster::start(18));
        tokio::join!(old.plain_owner("shop"), new.neon_shaped_target("shop"));
        old.psql("shop", &format!("alter role shop_owner password '{SOURCE_PASSWORD}'")).await;
        new.psql("shop", &format!("alter role shop_owner password '{TARGET_PASSWORD}'")).await;
        old.psql("shop", SHOP).await;
        let slow = Proxy::start(old.port).await;
        Shop { old, new, slow, state: tempfile::tempdir().unwrap() }
    }

    fn source(&self) -> String {
        self.slow.through(&self.old.url("shop_owner", SOURCE_PASSWORD, "shop"))
    }

    fn target(&self) -> String {
        self.new.url("shop_owner", TARGET_PASSWORD, "shop")
    }

    fn command(&self, more: &[&str]) -> Run {
        let bin = client_bin();
        Ui::command(self.state.path(), &[&["--pg-bin-dir", bin.to_str().unwrap()], more].concat())
    }

    fn throttle(&self, rate: u64) -> String {
        self.slow.throttle(Direction::ToClient, rate);
        String::new()
    }

    /// Every row is there once, and no file of ours holds a password.
    async fn assert_moved(&self) {
        let sum = "select count(*), count(distinct id), sum(hashtext(body)) from item";
        assert_eq!(self.new.query("shop", sum).await, self.old.query("shop", sum).await);
        let tables = "select count(*) from pg_tables where schemaname = 'public'";
        assert_eq!(self.new.query("shop", tables).await, "23");
        assert_holds_no_password(self.state.path());
    }
}

fn assert_holds_no_password(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_holds_no_password(&path);
            continue;
        }
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        for secret in [SOURCE_PASSWORD, TARGET_PASSWORD] {
            assert!(!text.contains(secret), "{secret} is in {}", path.display());
        }
    }
}

fn assert_printed_no_password(ui: &Ui) {
    let printed = ui.running.stdout() + &ui.running.stderr();
    assert!(![SOURCE_PASSWORD, TARGET_PASSWORD].iter().any(|secret| printed.contains(secret)), "{printed}");
}

#[tokio::test]
async fn from_the_connection_string_to_the_new_one() {
    let shop = Shop::start().await;
    let act = async |cue: &str| match cue {
        "slow" => shop.throttle(SLOW),
        "fast" => shop.throttle(0),
        "move" => shop.old.psql("shop", "select setval('item_id_seq', 777777); select setval('brand_id_seq', 4242)").await,
        "sequences" => {
            shop.new.query("shop", "select last_value from item_id_seq union all select last_value from brand_id_seq").await
        }
        other => panic!("the story asks for {other}"),
    };
    let (source, target) = (shop.source(), shop.target());
    let given = [
        ("SOURCE", source.as_str()),
        ("TARGET", target.as_str()),
        ("SOURCE_PASSWORD", SOURCE_PASSWORD),
        ("TARGET_PASSWORD", TARGET_PASSWORD),
    ];
    let ui = Ui::start(shop.command(&[])).await;
    ui.tell_with("journey.mjs", &given, &[SOURCE_PASSWORD], act).await;
    shop.assert_moved().await;
    assert_printed_no_password(&ui);
}

#[tokio::test]
async fn replication_by_the_lines_that_are_shown() {
    let shop = Shop::start().await;
    shop.old.psql("shop", "alter role shop_owner replication").await;
    let holder = shop.new.connect("shop").await;
    let act = async |cue: &str| {
        match cue {
            "hold" => holder.batch_execute("begin; lock table item in access exclusive mode").await.unwrap(),
            "release" => holder.batch_execute("rollback").await.unwrap(),
            "write" => {
                let rows = "insert into item (customer, body) select 1 + n % 500, repeat(md5(n::text), 40) from generate_series(1, 3000) n";
                shop.old.psql("shop", rows).await;
            }
            "left" => {
                let source = "select (select count(*) from pg_replication_slots) + (select count(*) from pg_publication)";
                let target = "select count(*) from pg_subscription";
                return shop.old.query("shop", source).await + " " + &shop.new.query("shop", target).await;
            }
            other => panic!("the story asks for {other}"),
        }
        String::new()
    };
    // The target's server connects to the source itself, without the proxy.
    let (source, target) = (shop.old.url("shop_owner", SOURCE_PASSWORD, "shop"), shop.target());
    let run = shop.command(&[]).env("NEON_MIGRATE_SOURCE", &source).env("NEON_MIGRATE_TARGET", &target);
    let bin = client_bin();
    let given = [("BIN", bin.to_str().unwrap()), ("SOURCE_PASSWORD", SOURCE_PASSWORD), ("TARGET_PASSWORD", TARGET_PASSWORD)];
    let ui = Ui::start(run).await;
    ui.tell_with("replication.mjs", &given, &[SOURCE_PASSWORD, TARGET_PASSWORD], act).await;
    shop.assert_moved().await;
    assert_printed_no_password(&ui);
}

#[tokio::test]
async fn killed_in_the_middle_of_a_copy_and_started_again() {
    let shop = Shop::start().await;
    let mut ui = Ui::start(shop.command(&[])).await;
    let (url, port) = (ui.url.clone(), ui.origin().rsplit(':').next().unwrap().to_owned());
    let act = async |cue: &str| match cue {
        "slow" => shop.throttle(SLOW),
        "fast" => shop.throttle(0),
        "kill" => {
            ui.running.signal(libc::SIGKILL);
            ui.running.ends_within(Duration::from_secs(20)).await.expect("it was killed");
            shop.throttle(0)
        }
        "start" => {
            ui = Ui::start(shop.command(&["--port", &port])).await;
            ui.url.clone()
        }
        other => panic!("the story asks for {other}"),
    };
    let secrets = serde_json::to_string(&[SOURCE_PASSWORD, TARGET_PASSWORD]).unwrap();
    let (source, target) = (shop.source(), shop.target());
    let given =
        [("UI_URL", url.as_str()), ("UI_SECRETS", secrets.as_str()), ("SOURCE", source.as_str()), ("TARGET", target.as_str())];
    let told = browser::tell_with("killed.mjs", &given, act).await;
    told.unwrap_or_else(|words| panic!("{words}"));
    shop.assert_moved().await;
    assert_printed_no_password(&ui);
}

/// A recording on the page, which waits to be played.
async fn replay(tables: u32) -> (Ui, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    let (file, state) = (home.path().join("migration.jsonl"), home.path().join("state"));
    write(&file, &recording(tables));
    let ui = Ui::start(Ui::command(&state, &["--replay", file.to_str().unwrap(), "--speed", "0.01"])).await;
    (ui, home)
}

#[tokio::test]
async fn who_watches_sees_the_same_and_cannot_act() {
    let (ui, _home) = replay(300).await;
    ui.tell("watching.mjs", &[], &[]).await;
}

#[tokio::test]
async fn ten_thousand_tables_stay_smooth() {
    let (ui, _home) = replay(10_000).await;
    ui.tell("smooth.mjs", &[], &[]).await;
}
