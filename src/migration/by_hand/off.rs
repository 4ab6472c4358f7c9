//! Turning replication off: the subscription, the slot, the publication.
//!
//! Why nothing is lost. What the target has not applied when the slot goes never comes. So the target has to confirm a position of now first; then
//! the subscription is disabled, which can be undone; then the slot itself is asked whether it holds a change of our tables that was not
//! confirmed. Only if it holds none, or if somebody said that these changes may go, is anything dropped. Else the subscription is enabled again.
//!
//! Why it can be begun again. What is left to do is what is still there. The target lets go of the slot before it drops the subscription, so
//! that it never has to reach the source; the slot is then dropped where it is.

use std::time::Duration;

use super::look::{self, Look, Looker, Seen, Slot, Subscription};
use super::told_on_the_way;
use crate::engine::report::{Exit, Report};
use crate::migration::commands::Names;
use crate::migration::ends::{Source, Target};
use crate::migration::error::{Error, Side};
use crate::pg::error::PgError;
use crate::pg::names::{Ident, human, literal};
use crate::pg::sql::Client;
use crate::pg::types::Lsn;

/// How long a statement may take. Dropping a subscription whose tables are being copied tries to reach the source.
const STATEMENT_LIMIT: Duration = Duration::from_secs(180);
/// How long the target may take to confirm what was written until now. An idle one does so every ten seconds (`wal_receiver_status_interval`).
const CONFIRM_LIMIT: Duration = Duration::from_secs(20);
/// How long the source may take to notice that the target has gone.
const RELEASE_LIMIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Nobody is waited for longer than this.
const SETTINGS: &str = "set lock_timeout to '20s'; set statement_timeout to '170s'";

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The target stops asking for changes.
    Disable,
    /// The target lets go of the slot.
    LetGo,
    /// The subscription goes.
    DropSubscription,
    /// The slots of tables that were being copied go.
    DropSyncSlots,
    /// The slot goes.
    DropSlot,
    /// The publication goes.
    DropPublication,
}

/// A statement, as it is shown before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it does.
    pub what: What,
    /// Where it runs.
    pub side: Side,
    /// The SQL.
    pub sql: String,
    /// What it is for.
    pub why: &'static str,
}

/// What was agreed to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Consent {
    /// The statements were seen, and nothing writes to the source any more.
    pub confirmed: bool,
    /// Changes that the target has not applied may be lost.
    pub although_behind: bool,
}

/// How far it has come, for whoever shows it: the statement, and whether it is done.
pub type Tell<'a> = &'a (dyn Fn(&Statement, bool) + Sync);

/// What there is to run now, in order; nothing if nothing is there any more.
///
/// # Errors
/// A side that could not be looked at.
pub fn statements(look: &Look) -> Result<Vec<Statement>, Report> {
    let (source, target) = (look.source.clone()?, look.target.clone()?);
    let (Seen::Seen(subscription), Seen::Seen(slot), Seen::Seen(publication)) =
        (target.subscription, source.slot, source.publication)
    else {
        return Err(Report::new(
            "replication-unseen",
            Exit::Source,
            "What there is of replication may not be seen with these roles.",
        )
        .with_fix("Turn it off with the commands of step 4, as roles that may."));
    };
    let names = &look.names;
    let mut list = subscription.as_ref().map_or_else(Vec::new, |subscription| on_target(names, subscription));
    if let Some(subscription) =
        subscription.as_ref().filter(|subscription| subscription.relations.seen().is_none_or(|r| r.unready() > 0))
    {
        list.push(drop_sync_slots(subscription, target.cluster.seen().map(String::as_str)));
    }
    if slot.is_some_and(|slot: Slot| slot.is_here) {
        let sql = format!(
            "select slot_name, pg_catalog.pg_drop_replication_slot(slot_name)\n  from pg_catalog.pg_replication_slots\n where slot_name = {} and database = \
             pg_catalog.current_database() and not active;",
            literal(&names.subscription)
        );
        list.push(Statement { what: What::DropSlot, side: Side::Source, sql, why: "The source stops keeping WAL for the target." });
    }
    if publication.is_some() {
        let sql = format!("drop publication if exists {};", Ident::new(&names.publication));
        list.push(Statement { what: What::DropPublication, side: Side::Source, sql, why: "Nothing is published any more." });
    }
    Ok(list)
}

fn on_target(names: &Names, subscription: &Subscription) -> Vec<Statement> {
    let name = Ident::new(&names.subscription);
    let statement = |what, sql, why| Statement { what, side: Side::Target, sql, why };
    let mut list = Vec::new();
    if subscription.enabled {
        list.push(statement(
            What::Disable,
            format!("alter subscription {name} disable;"),
            "The target stops asking for changes. This can be undone.",
        ));
    }
    if subscription.slot.is_some() {
        let why = "The target lets go of the slot, so that it need not reach the source to drop the subscription.";
        list.push(statement(What::LetGo, format!("alter subscription {name} set (slot_name = none);"), why));
    }
    let why = "The subscription goes, with the source's connection string and password that it holds. The rows stay.";
    list.push(statement(What::DropSubscription, format!("drop subscription if exists {name};"), why));
    list
}

/// The name of such a slot says whose it is; the target's cluster is not known to every role.
fn drop_sync_slots(subscription: &Subscription, cluster: Option<&str>) -> Statement {
    let pattern = format!("^pg_{}_sync_[0-9]+_{}$", subscription.oid, cluster.unwrap_or("[0-9]+"));
    let sql = format!(
        "select slot_name, pg_catalog.pg_drop_replication_slot(slot_name)\n  from pg_catalog.pg_replication_slots\n where slot_name ~ {} and database = \
         pg_catalog.current_database() and not active;",
        literal(&pattern)
    );
    let why = "Tables were still being copied; what was kept for them goes too.";
    Statement { what: What::DropSyncSlots, side: Side::Source, sql, why }
}

/// Why turning it off now would lose changes, if it would, as far as a look tells.
pub fn warning(look: &Look) -> Option<String> {
    let subscription = look.target.as_ref().ok()?.subscription.seen()?.as_ref()?;
    if let Some(unready @ 1..) = subscription.relations.seen().map(look::Relations::unready) {
        return Some(format!(
            "{} not copied yet or catching up: what is missing would never come.",
            if unready == 1 { "1 table is".to_owned() } else { format!("{unready} tables are") }
        ));
    }
    match look.lag() {
        super::words::Lag::Bytes(0) | super::words::Lag::None => None,
        super::words::Lag::Lost => {
            Some("The slot is lost: changes since then are not on the target, and will never come.".to_owned())
        }
        super::words::Lag::Unseen => {
            Some("How far the target is behind is not known: changes that it has not applied would never come.".to_owned())
        }
        lag @ super::words::Lag::Bytes(_) => {
            Some(format!("The target is {}: changes that it has not applied would never come.", lag.words()))
        }
    }
}

/// What is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Subscriptions on the target.
    pub subscriptions: u64,
    /// Slots on the source.
    pub slots: u64,
    /// Publications on the source.
    pub publications: u64,
}

impl Left {
    /// What a look found.
    ///
    /// # Errors
    /// A side that could not be looked at.
    pub fn of(look: &Look) -> Result<Left, Report> {
        let list = statements(look)?;
        let some = |what: &[What]| u64::from(list.iter().any(|statement| what.contains(&statement.what)));
        Ok(Left {
            subscriptions: some(&[What::DropSubscription]),
            slots: some(&[What::DropSlot]),
            publications: some(&[What::DropPublication]),
        })
    }

    /// Whether nothing is.
    pub fn is_nothing(self) -> bool {
        self == Left { subscriptions: 0, slots: 0, publications: 0 }
    }
}

/// Runs the statements, one by one, and looks at what is left: nothing.
///
/// # Errors
/// Nobody has agreed; the target is behind, and nobody said that this does not matter; any failure of either side. What was done stays done, and the
/// next run goes on from there.
pub async fn run(source: &Source, target: &Target, names: &Names, consent: Consent, tell: Tell<'_>) -> Result<Left, Report> {
    if !consent.confirmed {
        return Err(Report::new(
            "turn-off-not-confirmed",
            Exit::Usage,
            "Replication was not turned off, because nobody confirmed it.",
        )
        .with_fix("Look at the statements, stop what writes to the source, and confirm both."));
    }
    let mut off = Off { looker: Looker::new(source.clone(), target.clone()), source, target, names, consent };
    off.run(tell).await
}

/// Whether the target has still to confirm a position.
enum Waits {
    No,
    Yes,
    InVain,
}

impl Waits {
    fn of(look: &Look, position: Lsn) -> Waits {
        let subscription = look.target.as_ref().ok().and_then(|target| target.subscription.seen()?.as_ref());
        let slot = look.source.as_ref().ok().and_then(|source| source.slot.seen()?.as_ref());
        // Without one of them, or after the target has let go, there is nobody to wait for: an earlier end has waited.
        let (Some(subscription), Some(slot)) = (subscription.filter(|subscription| subscription.slot.is_some()), slot) else {
            return Waits::No;
        };
        let ready = subscription.relations.seen().is_some_and(|relations| relations.unready() == 0);
        match (slot.is_lost(), ready, subscription.enabled) {
            (true, ..) | (_, false, false) => Waits::InVain,
            // Nothing is confirmed any more; the slot itself is asked.
            (_, true, false) => Waits::No,
            (_, true, true) if slot.confirmed.is_some_and(|confirmed| confirmed >= position) => Waits::No,
            _ => Waits::Yes,
        }
    }
}

struct Off<'a> {
    looker: Looker,
    source: &'a Source,
    target: &'a Target,
    names: &'a Names,
    consent: Consent,
}

impl Off<'_> {
    async fn run(&mut self, tell: Tell<'_>) -> Result<Left, Report> {
        let look = self.looker.look(self.names).await;
        let list = statements(&look)?;
        let careful = !self.consent.although_behind && list.iter().any(|statement| statement.what == What::DropSlot);
        if careful {
            self.wait_for_target(look).await?;
        }
        let disables = list.iter().any(|statement| statement.what == What::Disable);
        for statement in &list {
            tell(statement, false);
            match statement.what {
                What::DropSlot => self.wait_for_release().await?,
                What::LetGo if careful => self.nothing_pending(disables).await?,
                _ => (),
            }
            self.execute(statement).await?;
            tell(statement, true);
        }
        self.left().await
    }

    async fn left(&mut self) -> Result<Left, Report> {
        let left = Left::of(&self.looker.look(self.names).await)?;
        if left.is_nothing() {
            return Ok(left);
        }
        Err(Report::new("replication-left", Exit::Source, "Something of replication is still there after it was turned off.")
            .with_fix("Turn it off once more; somebody may have created it anew."))
    }

    /// Waits until the target has confirmed what was written until now.
    async fn wait_for_target(&mut self, mut look: Look) -> Result<(), Report> {
        let Some(position) = look.source.as_ref().ok().map(|source| source.position) else { return Ok(()) };
        let end = tokio::time::Instant::now() + CONFIRM_LIMIT;
        loop {
            match Waits::of(&look, position) {
                Waits::No => return Ok(()),
                Waits::Yes if tokio::time::Instant::now() < end => (),
                Waits::Yes | Waits::InVain => {
                    let why = "The target has not confirmed what was written until now.";
                    return Err(self.behind(warning(&look).unwrap_or_else(|| why.to_owned())));
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
            look = self.looker.look(self.names).await;
            statements(&look)?;
        }
    }

    fn behind(&self, why: String) -> Report {
        Report::new("target-behind", Exit::Paused, "Replication was not turned off, because the target is behind. Nothing was dropped.")
            .with_cause(why)
            .with_fix("Stop everything that writes to the source, wait until the target has caught up, and turn it off then. Or say that these changes may be lost.")
    }

    /// Asks the slot, which nobody uses any more, whether it holds a change that the target did not confirm. Changes of our publication alone count: the WAL
    /// goes on without any. All of it is looked at, not the first so many: before Postgres 15 transactions without such a change take a place too. If that takes too
    /// long, nothing is dropped.
    async fn nothing_pending(&mut self, enable_again: bool) -> Result<(), Report> {
        self.wait_for_release().await?;
        let sql = format!(
            "select count(*) from pg_catalog.pg_logical_slot_peek_binary_changes({}, null, null, 'proto_version', '1', 'publication_names', {}) \
             where pg_catalog.get_byte(data, 0) in (68, 73, 84, 85)",
            literal(&self.names.subscription),
            literal(&Ident::new(&self.names.publication).to_string())
        );
        let client = self.source.sql().await.map_err(|error| told_on_the_way(&error))?;
        let doing = "asking the slot for changes that are not confirmed";
        let ask = async {
            client.batch_execute(SETTINGS).await?;
            client.query_typed(&sql, &[]).await?.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0))
        };
        let pending = limited(Side::Source, doing, ask).await.map_err(|error| told_on_the_way(&error));
        if matches!(pending, Ok(0)) {
            return Ok(());
        }
        if enable_again {
            self.enable().await?;
        }
        pending?;
        Err(self.behind("Tables were written to on the source, and the target has not confirmed it.".to_owned()))
    }

    async fn enable(&self) -> Result<(), Report> {
        let sql = format!("alter subscription {} enable", Ident::new(&self.names.subscription));
        let client = self.target.sql().await.map_err(|error| told_on_the_way(&error))?;
        execute(&client, Side::Target, "enabling the subscription again", &sql).await.map_err(|error| told_on_the_way(&error))
    }

    /// Waits until the source has noticed that nobody uses the slot any more.
    async fn wait_for_release(&mut self) -> Result<(), Report> {
        let end = tokio::time::Instant::now() + RELEASE_LIMIT;
        loop {
            let source = self.looker.look(self.names).await.source?;
            if !source.slot.seen().and_then(Option::as_ref).is_some_and(|slot| slot.active) {
                return Ok(());
            }
            if tokio::time::Instant::now() >= end {
                let name = human(&self.names.subscription);
                return Err(Report::new("slot-in-use", Exit::Source, format!("The slot {name} is still used by somebody, so it cannot be dropped."))
                    .with_fix(format!(
                        "If it is the target's old connection, end it on the source, and turn replication off again:\nselect pg_terminate_backend(active_pid) from \
                         pg_replication_slots where slot_name = {} and active;",
                        literal(&self.names.subscription)
                    )));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn execute(&self, statement: &Statement) -> Result<(), Report> {
        let client = match statement.side {
            Side::Source => self.source.sql().await,
            Side::Target => self.target.sql().await,
        };
        let client = client.map_err(|error| told_on_the_way(&error))?;
        execute(&client, statement.side, "turning replication off", &statement.sql).await.map_err(|error| told_on_the_way(&error))
    }
}

/// One statement at a time: some of them cannot run in a transaction block.
async fn execute(client: &Client, side: Side, doing: &str, sql: &str) -> Result<(), Error> {
    let work = async {
        client.batch_execute(SETTINGS).await?;
        client.batch_execute(sql).await
    };
    limited(side, doing, work).await
}

async fn limited<T>(side: Side, doing: &str, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Error> {
    match tokio::time::timeout(STATEMENT_LIMIT, work).await {
        Ok(done) => done.map_err(|error| side.failed(doing, error)),
        Err(_) => Err(side.failed(doing, PgError::Timeout { what: doing.to_owned(), limit_s: STATEMENT_LIMIT.as_secs() })),
    }
}
