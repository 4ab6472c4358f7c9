//! Replication that is set up with the lines of `commands`: how it is seen in every state, and how it is ended, on real clusters.

use std::time::Duration;

use neon_migrate::engine::report::Report;
use neon_migrate::migration::by_hand::look::{self, Look, Seen};
use neon_migrate::migration::by_hand::off::{self, Consent, Left, Statement};
use neon_migrate::migration::by_hand::sequences::{self, State};
use neon_migrate::migration::by_hand::words::{Lag, Sentence, Stage, Tone};
use neon_migrate::migration::commands::Names;
use neon_migrate::migration::ends::{Source, Target};
use neon_migrate::pg::conninfo::{Conninfo, Environment};

use crate::commands::Scripts;
use crate::support::cluster::Cluster;
use crate::support::poll;
use crate::support::roles::OWNER_PASSWORD;

const LIMIT: Duration = Duration::from_secs(90);
const AGREED: Consent = Consent { confirmed: true, although_behind: false };
const NOTHING: Left = Left { subscriptions: 0, slots: 0, publications: 0 };

/// What is on the source before anything begins: names that need quotes, sequences in both directions, and what is not ours.
const FILL: &str = r#"create table "It's" (id serial primary key, v text);
    insert into "It's" (v) select 'row ' || n from generate_series(1, 500) n;
    create table big (id int primary key, v text); insert into big select n, repeat('x', 200) from generate_series(1, 2000) n;
    create sequence down increment -1; select nextval('down'), nextval('down');
    create table other (id int primary key); create publication theirs for table other;
    alter table "It's" owner to mover; alter table big owner to mover; alter table other owner to mover; alter sequence down owner to mover;"#;

struct Pair {
    old: Cluster,
    new: Cluster,
    source: Source,
    target: Target,
    scripts: Scripts,
    names: Names,
}

fn info(url: &str) -> Conninfo {
    Conninfo::parse(url, &Environment::default()).unwrap()
}

impl Pair {
    async fn start(from: u32, to: u32) -> Pair {
        let (old, new) = tokio::join!(Cluster::start(from), Cluster::start(to));
        old.psql("postgres", "create role mover login replication password 'm0ver'").await;
        old.psql("postgres", "create database shop owner mover").await;
        old.psql("shop", FILL).await;
        old.psql("postgres", "select pg_create_physical_replication_slot('standby')").await;
        let (source, target) = (old.url("mover", "m0ver", "shop"), new.neon_shaped_target("shop").await);
        let scripts = Scripts::write(&source, &target, &[]).await.with("m0ver", OWNER_PASSWORD);
        let names = Names { publication: "lr_publication".to_owned(), subscription: "lr_subscription".to_owned() };
        Pair { source: Source::new(info(&source)), target: Target::new(info(&target)), old, new, scripts, names }
    }

    async fn look(&self) -> Look {
        look::look(&self.source, &self.target, &self.names).await
    }

    async fn find(&self) -> Option<Names> {
        look::Looker::new(self.source.clone(), self.target.clone()).find().await.unwrap()
    }

    /// Looks until it stands so, and gives that look.
    async fn until(&self, what: &str, so: impl Fn(&Look) -> bool) -> Look {
        poll::until(LIMIT, what, async || Some(self.look().await).filter(&so)).await
    }

    /// Keeps the table `big` from being copied until the session is dropped.
    async fn hold_big(&self) -> tokio_postgres::Client {
        let wait = "create function hold() returns trigger language plpgsql as 'begin perform pg_catalog.pg_advisory_xact_lock_shared(7); return null; end';
                    create trigger hold before insert on big for each statement execute function hold();
                    alter table big enable always trigger hold";
        self.new.psql("shop", wait).await;
        let holder = self.new.connect("shop").await;
        holder.batch_execute("select pg_advisory_lock(7)").await.unwrap();
        holder
    }

    async fn turn_off(&self, consent: Consent) -> Result<Left, Report> {
        off::run(&self.source, &self.target, &self.names, consent, &|_: &Statement, _| ()).await
    }
}

#[track_caller]
fn assert_next(look: &Look, stage: Stage, step: Option<&str>) {
    let next = look.next();
    assert_eq!((next.stage, next.step), (stage, step), "{next:?}\n{:?}\n{:?}", look.about_source(), look.about_target());
}

#[track_caller]
fn assert_says(sentences: &[Sentence], tone: Tone, words: &str) {
    assert!(sentences.iter().any(|said| said.tone == tone && said.text.contains(words)), "{words}: {sentences:#?}");
}

async fn walk(from: u32, to: u32) {
    let pair = Pair::start(from, to).await;
    let look = pair.look().await;
    assert_next(&look, Stage::Nothing, Some("live-1-publication"));
    assert_says(&look.about_source(), Tone::Plain, "The publication lr_publication is not there.");
    assert_says(&look.about_source(), Tone::Plain, "The source has 1 other publication and 1 other slot.");
    assert_eq!((look.lag(), off::statements(&look).unwrap()), (Lag::None, vec![]));
    assert_eq!(pair.find().await, None);

    pair.scripts.run("live-1-publication.sh").await;
    let look = pair.look().await;
    assert_next(&look, Stage::Published, Some("live-2-schema"));
    assert_says(&look.about_source(), Tone::Good, "The publication lr_publication has 3 tables.");
    pair.scripts.run("live-2-schema.sh").await;
    assert_next(&pair.look().await, Stage::Published, Some("live-3-subscription"));

    let holder = pair.hold_big().await;
    pair.scripts.run("live-3-subscription.sh").await;
    let look = pair.until("two tables follow, and one is copied", |look| {
        look.about_target().iter().any(|said| said.text.contains("2 ready") && said.text.contains("Not ready: public.big."))
    });
    let look = look.await;
    assert_next(&look, Stage::Copying, Some("live-4-progress"));
    assert!(off::warning(&look).is_some_and(|words| words.starts_with("1 table is not copied yet")), "{look:?}");
    drop(holder);
    let look = pair.until("all tables follow, and nothing is behind", |look| {
        look.next().stage == Stage::Following && look.lag() == Lag::Bytes(0)
    });
    let look = look.await;
    assert_next(&look, Stage::Following, Some("live-5-drain"));
    assert_says(&look.about_source(), Tone::Good, "The target is connected to the slot lr_subscription.");
    assert_says(&look.about_target(), Tone::Good, "All 3 tables follow the source.");
    assert_eq!((look.lag().words().as_str(), off::warning(&look)), ("caught up", None));
    assert_eq!(pair.find().await.as_ref(), Some(&pair.names));
    behind(&pair).await;
    disabled(&pair).await;
    bring_sequences(&pair).await;
    end(&pair).await;
}

/// A writer writes while the target cannot apply.
async fn behind(pair: &Pair) {
    let mut holder = pair.new.connect("shop").await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute("lock table big in access exclusive mode").await.unwrap();
    pair.old.psql("shop", "insert into big select n, repeat(md5(n::text), 40) from generate_series(10001, 30000) n").await;
    let look = pair.until("the target is behind", |look| matches!(look.lag(), Lag::Bytes(bytes) if bytes > 8 << 20)).await;
    assert!(look.lag().words().ends_with(" MiB behind"), "{:?}", look.lag());
    assert_next(&look, Stage::Following, Some("live-4-progress"));
    let refused = pair.turn_off(AGREED).await.unwrap_err();
    assert_eq!(refused.code, "target-behind");
    assert!(refused.causes[0].contains("MiB behind"), "{refused:?}");
    held.rollback().await.unwrap();
    pair.until("the target has caught up", |look| look.lag() == Lag::Bytes(0)).await;
}

/// A subscription that is turned off has not got what is written then; the slot itself knows.
async fn disabled(pair: &Pair) {
    pair.new.psql("shop", "alter subscription lr_subscription disable").await;
    let look = pair.until(
        "the target is not connected",
        |look| !matches!(&look.source, Ok(on) if matches!(&on.slot, Seen::Seen(Some(slot)) if slot.active)),
    );
    let look = look.await;
    assert_next(&look, Stage::Broken, None);
    assert_says(&look.about_target(), Tone::Attention, "The subscription lr_subscription is there, and turned off.");
    pair.old.psql("shop", "insert into big values (-1, 'written while nobody read')").await;
    let refused = pair.turn_off(AGREED).await.unwrap_err();
    assert_eq!(refused.code, "target-behind");
    let look = pair.look().await;
    assert_eq!(off::statements(&look).unwrap().len(), 4, "nothing was dropped: {look:?}");
    pair.new.psql("shop", "alter subscription lr_subscription enable").await;
    pair.until("the target has caught up again", |look| look.next().stage == Stage::Following && look.lag() == Lag::Bytes(0)).await;
}

async fn bring_sequences(pair: &Pair) {
    pair.new.psql("shop", "create sequence more; alter sequence more owner to shop_owner; select setval('more', 70)").await;
    pair.old
        .psql(
            "shop",
            "create sequence more; alter sequence more owner to mover; create sequence new; alter sequence new owner to mover",
        )
        .await;
    let compared = sequences::compare(&pair.source, &pair.target).await.unwrap();
    let states: Vec<_> = compared.differences.iter().map(|found| (found.name.human(), found.state)).collect();
    let expected = [
        ("public.\"It's_id_seq\"", State::Behind),
        ("public.down", State::Behind),
        ("public.more", State::Ahead),
        ("public.new", State::Missing),
    ];
    assert_eq!((compared.total, states), (4, expected.map(|(name, state)| (name.to_owned(), state)).to_vec()));
    assert_eq!(sequences::bring(&pair.source, &pair.target).await.unwrap(), 2);
    let values = "select (select last_value from \"It's_id_seq\"), (select last_value from down), (select last_value from more)";
    assert_eq!(pair.new.query("shop", values).await, "500|-2|70");
    let compared = sequences::compare(&pair.source, &pair.target).await.unwrap();
    assert_eq!((compared.in_state(State::Behind).count(), compared.differences.len()), (0, 2));
    assert_eq!(sequences::bring(&pair.source, &pair.target).await.unwrap(), 0);
}

async fn end(pair: &Pair) {
    let refused = pair.turn_off(Consent::default()).await.unwrap_err();
    assert_eq!(refused.code, "turn-off-not-confirmed");
    assert_eq!(Left::of(&pair.look().await).unwrap(), Left { subscriptions: 1, slots: 1, publications: 1 });
    assert_eq!(pair.turn_off(AGREED).await.unwrap(), NOTHING);
    assert_next(&pair.look().await, Stage::Nothing, Some("live-1-publication"));
    assert_eq!(pair.turn_off(AGREED).await.unwrap(), NOTHING);
    let left = "select (select count(*) from pg_replication_slots where slot_name <> 'standby'), (select string_agg(pubname, ',') from pg_publication)";
    assert_eq!(pair.old.query("shop", left).await, "0|theirs");
    assert_eq!(pair.new.query("shop", "select count(*) from pg_subscription").await, "0");
    let rows = "select (select count(*) from big), (select count(*) from \"It's\")";
    assert_eq!(pair.new.query("shop", rows).await, "22001|500");
}

#[tokio::test]
async fn replication_is_seen_and_ended_from_14_to_18() {
    walk(14, 18).await;
}

#[tokio::test]
async fn replication_is_seen_and_ended_from_17_to_18() {
    walk(17, 18).await;
}

/// An end that was interrupted goes on from what is left, and so does one of a copy under way.
#[tokio::test]
async fn an_interrupted_end_goes_on() {
    let pair = Pair::start(17, 18).await;
    for step in ["live-1-publication.sh", "live-2-schema.sh"] {
        pair.scripts.run(step).await;
    }
    let holder = pair.hold_big().await;
    pair.scripts.run("live-3-subscription.sh").await;
    pair.until(
        "the table's own slot is there",
        |look| matches!(&look.source, Ok(on) if matches!(&on.sync_slots, Seen::Seen(slots) if slots.len() == 1)),
    )
    .await;
    let look = pair.look().await;
    assert_says(&look.about_source(), Tone::Plain, "1 more slot belongs to a table that is being copied.");
    let refused = pair.turn_off(AGREED).await.unwrap_err();
    assert_eq!(refused.code, "target-behind");
    drop(holder);
    pair.until("all tables follow", |look| look.next().stage == Stage::Following).await;
    pair.new
        .psql("shop", "alter subscription lr_subscription disable; alter subscription lr_subscription set (slot_name = none)")
        .await;
    let look = pair.look().await;
    assert_says(&look.about_target(), Tone::Attention, "It has let go of its slot");
    pair.new.psql("shop", "drop subscription lr_subscription").await;
    let look = pair.look().await;
    assert_next(&look, Stage::LeftOver, None);
    assert_says(&look.about_source(), Tone::Attention, "The slot lr_subscription is there, and nobody is connected to it.");
    assert_eq!(Left::of(&look).unwrap(), Left { subscriptions: 0, slots: 1, publications: 1 });
    assert_eq!(pair.turn_off(AGREED).await.unwrap(), NOTHING);
}

/// What a role may not see is said to be unseen; another's slot of the same name is not ours.
#[tokio::test]
async fn what_is_not_seen_or_not_ours_is_said_to_be_so() {
    let mut pair = Pair::start(17, 18).await;
    for step in ["live-1-publication.sh", "live-2-schema.sh", "live-3-subscription.sh"] {
        pair.scripts.run(step).await;
    }
    pair.until("all tables follow", |look| look.next().stage == Stage::Following).await;
    pair.old.psql("postgres", "create role peeker login password 'p'").await;
    pair.source = Source::new(info(&pair.old.url("peeker", "p", "shop")));
    let look = pair.look().await;
    assert_says(&look.about_source(), Tone::Unseen, "What its sender does may not be seen with this role");
    pair.old.psql("shop", "revoke select on pg_replication_slots from public").await;
    let look = pair.look().await;
    assert_next(&look, Stage::Unknown, None);
    assert_says(&look.about_source(), Tone::Unseen, "The role may not see replication slots");
    assert_eq!((look.lag(), off::statements(&look).unwrap_err().code.as_str()), (Lag::Unseen, "replication-unseen"));

    pair.source = Source::new(info(&pair.old.url("mover", "m0ver", "shop")));
    pair.old.psql("shop", "grant select on pg_replication_slots to public").await;
    assert_eq!(pair.turn_off(AGREED).await.unwrap(), NOTHING);
    pair.old.psql("postgres", "select pg_create_logical_replication_slot('lr_subscription', 'pgoutput')").await;
    let look = pair.look().await;
    assert_says(&look.about_source(), Tone::Attention, "belongs to another database. It is left alone.");
    assert_eq!(Left::of(&look).unwrap(), NOTHING);
    pair.old.psql("postgres", "select pg_drop_replication_slot('lr_subscription')").await;
}

/// A side that is gone does not hide the other.
#[tokio::test]
async fn a_side_that_is_gone_does_not_hide_the_other() {
    let mut pair = Pair::start(17, 18).await;
    pair.scripts.run("live-1-publication.sh").await;
    pair.new.stop().await;
    let look = pair.look().await;
    assert_says(&look.about_source(), Tone::Good, "The publication lr_publication has 3 tables.");
    assert!(look.target.is_err());
    assert_next(&look, Stage::Unknown, None);
}
