//! How replication stands on both sides, as data.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_postgres::{Client, Row};

use super::told;
use crate::engine::report::Report;
use crate::migration::commands::Names;
use crate::migration::ends::{Source, Target};
use crate::migration::error::{Error, Side};
use crate::pg::error::PgError;
use crate::pg::names::QualifiedName;
use crate::pg::sql;
use crate::pg::types::{Lsn, Oid};

/// How long a look at one side may take, with connecting.
const LIMIT: Duration = Duration::from_secs(15);
/// How many names are given of what there may be many.
const NAMES_MAX: i64 = 10;

/// Nothing is written, nobody is waited for long, and no user's function stands in the place of a built-in one.
const BEGIN: &str = "begin read only; set local search_path to pg_catalog, pg_temp; \
                     set local statement_timeout to '10s'; set local lock_timeout to '2s'";

/// Something that the role may be forbidden to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen<T> {
    /// As it is.
    Seen(T),
    /// The server refuses to tell.
    NotSeen,
}

impl<T> Seen<T> {
    /// What was seen.
    pub fn seen(&self) -> Option<&T> {
        if let Seen::Seen(seen) = self { Some(seen) } else { None }
    }
}

/// Both sides at about one time.
#[derive(Debug, Clone)]
pub struct Look {
    /// What is looked for.
    pub names: Names,
    /// The source, or why it could not be looked at.
    pub source: Result<OnSource, Report>,
    /// The target, likewise.
    pub target: Result<OnTarget, Report>,
}

/// What the source says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnSource {
    /// The end of its WAL.
    pub position: Lsn,
    /// Our publication.
    pub publication: Seen<Option<Publication>>,
    /// Our slot.
    pub slot: Seen<Option<Slot>>,
    /// Slots of tables that are being copied, by the target's name for them: ours where the subscription is known.
    pub sync_slots: Seen<Vec<SyncSlot>>,
    /// Other publications of this database.
    pub other_publications: Seen<u64>,
    /// Other slots of this database that nobody is connected to: the name, and how much WAL each keeps.
    pub idle_slots: Seen<Vec<(String, Option<u64>)>>,
    /// Other slots of the server, of all databases.
    pub other_slots: Seen<u64>,
}

/// A publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// How many tables it has now.
    pub tables: u64,
}

/// A replication slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Whether it belongs to the database that is moved. Another one's is not ours.
    pub is_here: bool,
    /// Whether somebody is connected to it.
    pub active: bool,
    /// What it keeps WAL from.
    pub restart: Option<Lsn>,
    /// What the target has confirmed.
    pub confirmed: Option<Lsn>,
    /// How much WAL was written since that.
    pub lag_bytes: Option<u64>,
    /// How much WAL it keeps on the source's disk.
    pub kept_bytes: Option<u64>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// How much more may be written before it is lost; no limit if there is none.
    pub safe_bytes: Option<u64>,
    /// Why it can be used no more, in the server's words.
    pub invalid: Option<String>,
    /// The process that sends from it.
    pub sender: Seen<Option<Sender>>,
}

impl Slot {
    /// Whether the WAL that the target needs is gone.
    pub fn is_lost(&self) -> bool {
        self.invalid.is_some() || self.wal_status.as_deref() == Some("lost")
    }
}

/// A slot that copies a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncSlot {
    /// Its name.
    pub name: String,
    /// The subscription's oid on its target.
    pub subscription: Oid,
    /// The identifier of its target's cluster.
    pub cluster: String,
}

/// A walsender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// `catchup`, `streaming` and so on.
    pub state: String,
    /// How long ago the target confirmed what it applied; none while nothing is written.
    pub replay_lag: Option<Duration>,
}

/// What the target says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnTarget {
    /// The identifier of its cluster.
    pub cluster: Seen<String>,
    /// Our subscription.
    pub subscription: Seen<Option<Subscription>>,
    /// How many tables the target has that could be replicated to.
    pub tables: u64,
    /// Other subscriptions of this database.
    pub others: Seen<u64>,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its oid.
    pub oid: Oid,
    /// Whether it is turned on.
    pub enabled: bool,
    /// Its slot; none after it was let go of.
    pub slot: Option<String>,
    /// What it subscribes to.
    pub publications: Vec<String>,
    /// The worker that applies changes.
    pub worker: Seen<Worker>,
    /// How far the tables are.
    pub relations: Seen<Relations>,
    /// Errors since statistics were reset: while applying, and while copying tables. Servers before 15 do not count them.
    pub errors: Seen<Option<(u64, u64)>>,
}

/// The worker of a subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Worker {
    /// Whether it runs.
    pub runs: bool,
    /// How far it has received.
    pub received: Option<Lsn>,
    /// What it last told the source.
    pub latest_end: Option<Lsn>,
    /// How long ago the source was last heard of.
    pub silent: Option<Duration>,
}

/// How many tables are in which state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relations {
    /// To be copied.
    pub waiting: u64,
    /// Being copied.
    pub copying: u64,
    /// Copied, and catching up.
    pub catching_up: u64,
    /// Following the source.
    pub ready: u64,
    /// The first of those that are not ready.
    pub not_ready: Vec<QualifiedName>,
}

impl Relations {
    /// Those that do not follow yet.
    pub fn unready(&self) -> u64 {
        self.waiting + self.copying + self.catching_up
    }

    /// All.
    pub fn total(&self) -> u64 {
        self.unready() + self.ready
    }
}

/// Looks at both sides, over sessions that it keeps from one look to the next.
#[derive(Debug)]
pub struct Looker {
    source: Source,
    target: Target,
    sessions: (Option<sql::Client>, Option<sql::Client>),
}

impl Looker {
    /// Nothing is connected to yet.
    pub fn new(source: Source, target: Target) -> Looker {
        Looker { source, target, sessions: (None, None) }
    }

    /// Looks once. A side that cannot be looked at does not hide the other.
    pub async fn look(&mut self, names: &Names) -> Look {
        let (on_source, on_target) = &mut self.sessions;
        let (source, target) = tokio::join!(
            in_time(Side::Source, on_source, async |session| {
                connected(session, self.source.sql()).await?;
                source(session, names).await
            }),
            in_time(Side::Target, on_target, async |session| {
                connected(session, self.target.sql()).await?;
                target(session, names).await
            })
        );
        Look { names: names.clone(), source, target }
    }

    /// The names of what such lines have set up between these two, if they have.
    ///
    /// # Errors
    /// An end that cannot be asked.
    pub async fn find(&mut self) -> Result<Option<Names>, Report> {
        const PUBLICATIONS: &str = "select pubname::text from pg_catalog.pg_publication";
        const SUBSCRIPTIONS: &str = "select s.subname::text, s.subpublications from pg_catalog.pg_subscription s join pg_catalog.pg_database d \
                                     on d.oid = s.subdbid where d.datname = pg_catalog.current_database()";
        let (on_source, on_target) = &mut self.sessions;
        let (published, subscribed) = tokio::join!(
            in_time(Side::Source, on_source, async |session| {
                connected(session, self.source.sql()).await?;
                rows(session, Side::Source, PUBLICATIONS, |row| row.try_get(0)).await
            }),
            in_time(Side::Target, on_target, async |session| {
                connected(session, self.target.sql()).await?;
                rows(session, Side::Target, SUBSCRIPTIONS, |row| Ok((row.try_get(0)?, row.try_get(1)?))).await
            })
        );
        Ok(Names::paired(&published?, &subscribed?))
    }
}

async fn rows<T>(
    session: &Option<sql::Client>,
    side: Side,
    sql: &str,
    read: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
) -> Result<Vec<T>, Error> {
    let Some(client) = session.as_deref() else { return Err(side.failed(DOING, PgError::Cancelled)) };
    let failed = |error: tokio_postgres::Error| side.failed(DOING, error);
    let rows = client.query_typed(sql, &[]).await.map_err(failed)?;
    rows.iter().map(read).collect::<Result<_, _>>().map_err(failed)
}

/// Looks once.
pub async fn look(source: &Source, target: &Target, names: &Names) -> Look {
    Looker::new(source.clone(), target.clone()).look(names).await
}

const DOING: &str = "looking at replication";

fn too_long() -> PgError {
    PgError::Timeout { what: DOING.to_owned(), limit_s: LIMIT.as_secs() }
}

/// A session that failed or hangs is not used again.
async fn in_time<T>(
    side: Side,
    session: &mut Option<sql::Client>,
    look: impl AsyncFnOnce(&mut Option<sql::Client>) -> Result<T, Error>,
) -> Result<T, Report> {
    let looked = tokio::time::timeout(LIMIT, look(session)).await.unwrap_or_else(|_| Err(side.failed(DOING, too_long())));
    if looked.is_err() {
        *session = None;
    }
    looked.map_err(told)
}

async fn connected(
    session: &mut Option<sql::Client>,
    connect: impl Future<Output = Result<sql::Client, Error>>,
) -> Result<(), Error> {
    if session.as_ref().is_none_or(sql::Client::is_closed) {
        *session = Some(connect.await?);
    }
    Ok(())
}

/// A question that the role may be forbidden to ask.
async fn ask(client: &Client, sql: &str, values: &[(&str, tokio_postgres::types::Type)]) -> Result<Seen<Vec<Row>>, PgError> {
    let params: Vec<(&(dyn tokio_postgres::types::ToSql + Sync), tokio_postgres::types::Type)> =
        values.iter().map(|(value, kind)| (value as &(dyn tokio_postgres::types::ToSql + Sync), kind.clone())).collect();
    // A refusal must not end the transaction that the other questions are asked in.
    client.batch_execute("savepoint question").await?;
    match client.query_typed(sql, &params).await.map_err(PgError::from) {
        Ok(rows) => Ok(Seen::Seen(rows)),
        Err(error) if error.sqlstate() == Some("42501") => {
            client.batch_execute("rollback to question").await?;
            Ok(Seen::NotSeen)
        }
        Err(error) => Err(error),
    }
}

impl<T> Seen<T> {
    fn read<U>(self, read: impl FnOnce(T) -> Result<U, tokio_postgres::Error>) -> Result<Seen<U>, PgError> {
        Ok(match self {
            Seen::Seen(seen) => Seen::Seen(read(seen)?),
            Seen::NotSeen => Seen::NotSeen,
        })
    }

    fn map<U>(self, map: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Seen::Seen(seen) => Seen::Seen(map(seen)),
            Seen::NotSeen => Seen::NotSeen,
        }
    }
}

/// The end of the WAL, on a standby of what it has replayed.
const POSITION: &str =
    "select (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end - '0/0')::text";

const PUBLICATION: &str = "
select p.pubname = $1 as is_ours, (select count(*) from pg_publication_tables t where t.pubname = p.pubname and p.pubname = $1) as tables
  from pg_publication p";

/// Columns that only some versions have are read as JSON.
const SLOTS: &str = "
select s.slot_name::text as name, s.slot_name = $1 as is_ours, s.database = current_database() as is_here, s.active, s.active_pid,
       (s.restart_lsn - '0/0')::text as restart, (s.confirmed_flush_lsn - '0/0')::text as confirmed, s.wal_status,
       s.safe_wal_size, to_jsonb(s) ->> 'invalidation_reason' as invalid, s.slot_type = 'logical' as is_logical
  from pg_replication_slots s";

const SENDER: &str = "
select state, extract(epoch from replay_lag)::float8 as lag from pg_stat_replication where pid = $1::int4";

fn lsn(row: &Row, column: &str) -> Result<Option<Lsn>, tokio_postgres::Error> {
    Ok(row.try_get::<_, Option<String>>(column)?.and_then(|text| text.parse().ok()).map(Lsn))
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// What a session does, in one transaction that writes nothing.
async fn source(session: &mut Option<sql::Client>, names: &Names) -> Result<OnSource, Error> {
    let Some(client) = session.as_deref() else { return Err(Side::Source.failed(DOING, PgError::Cancelled)) };
    on_source(client, names).await.map_err(|error| Side::Source.failed(DOING, error))
}

async fn on_source(client: &Client, names: &Names) -> Result<OnSource, PgError> {
    use tokio_postgres::types::Type;
    client.batch_execute(BEGIN).await?;
    let position = client.query_typed(POSITION, &[]).await?;
    let position = position.first().and_then(|row| row.try_get::<_, Option<String>>(0).ok().flatten());
    let position = Lsn(position.and_then(|text| text.parse().ok()).unwrap_or(0));
    let publications = ask(client, PUBLICATION, &[(&names.publication, Type::TEXT)]).await?;
    let publications = publications.read(|rows| {
        let ours = rows.iter().find(|row| row.try_get("is_ours").unwrap_or(false));
        let ours = ours.map(|row| Ok::<_, tokio_postgres::Error>(Publication { tables: unsigned(row.try_get("tables")?) }));
        let ours = ours.transpose()?;
        let others = rows.len() as u64 - u64::from(ours.is_some());
        Ok((ours, others))
    })?;
    let rows = ask(client, SLOTS, &[(&names.subscription, Type::TEXT)]).await?;
    let (mut slots, pid) = match rows {
        Seen::Seen(rows) => read_slots(&rows, position).map(|(slots, pid)| (Seen::Seen(slots), pid))?,
        Seen::NotSeen => (Seen::NotSeen, None),
    };
    if let (Seen::Seen(Slots { ours: Some(slot), .. }), Some(pid)) = (&mut slots, pid) {
        slot.sender = sender(client, pid).await?;
    }
    client.batch_execute("rollback").await?;
    let (publication, other_publications) = (publications.clone().map(|(ours, _)| ours), publications.map(|(_, others)| others));
    Ok(OnSource {
        position,
        publication,
        other_publications,
        slot: slots.clone().map(|slots| slots.ours),
        sync_slots: slots.clone().map(|slots| slots.sync),
        idle_slots: slots.clone().map(|slots| slots.idle),
        other_slots: slots.map(|slots| slots.others),
    })
}

async fn sender(client: &Client, pid: i32) -> Result<Seen<Option<Sender>>, PgError> {
    let rows = ask(client, SENDER, &[(&pid.to_string(), tokio_postgres::types::Type::TEXT)]).await?;
    let Seen::Seen(rows) = rows else { return Ok(Seen::NotSeen) };
    let Some(row) = rows.first() else { return Ok(Seen::Seen(None)) };
    // To a role that may not see it the row is there, and empty.
    let Some(state) = row.try_get::<_, Option<String>>("state")? else { return Ok(Seen::NotSeen) };
    let replay_lag = row.try_get::<_, Option<f64>>("lag")?.and_then(|lag| Duration::try_from_secs_f64(lag).ok());
    Ok(Seen::Seen(Some(Sender { state, replay_lag })))
}

#[derive(Debug, Clone, Default)]
struct Slots {
    ours: Option<Slot>,
    sync: Vec<SyncSlot>,
    idle: Vec<(String, Option<u64>)>,
    others: u64,
}

/// All slots of the server, sorted, and the process that is connected to ours.
fn read_slots(rows: &[Row], position: Lsn) -> Result<(Slots, Option<i32>), tokio_postgres::Error> {
    let (mut slots, mut pid) = (Slots::default(), None);
    for row in rows {
        let is_here = row.try_get::<_, Option<bool>>("is_here")?.unwrap_or(false);
        let (restart, confirmed) = (lsn(row, "restart")?, lsn(row, "confirmed")?);
        let since = |from: Option<Lsn>| from.map(|from| position.0.saturating_sub(from.0));
        let (name, active) = (row.try_get::<_, String>("name")?, row.try_get("active")?);
        if row.try_get("is_ours")? {
            pid = row.try_get("active_pid")?;
            slots.ours = Some(Slot {
                is_here,
                active,
                restart,
                confirmed,
                lag_bytes: since(confirmed),
                kept_bytes: since(restart),
                wal_status: row.try_get("wal_status")?,
                safe_bytes: row.try_get::<_, Option<i64>>("safe_wal_size")?.map(unsigned),
                invalid: row.try_get("invalid")?,
                sender: Seen::Seen(None),
            });
        } else if let Some(sync) = sync_slot(&name).filter(|_| is_here) {
            slots.sync.push(sync);
        } else {
            slots.others += 1;
            if is_here && !active && slots.idle.len() < NAMES_MAX as usize {
                slots.idle.push((name, since(restart)));
            }
        }
    }
    Ok((slots, pid))
}

/// `pg_<subscription>_sync_<table>_<cluster>` (`ReplicationSlotNameForTablesync`).
fn sync_slot(name: &str) -> Option<SyncSlot> {
    let (subscription, rest) = name.strip_prefix("pg_")?.split_once("_sync_")?;
    let (table, cluster) = rest.split_once('_')?;
    let _table: Oid = table.parse().ok()?;
    Some(SyncSlot { name: name.to_owned(), subscription: subscription.parse().ok()?, cluster: cluster.to_owned() })
}

const CLUSTER: &str = "select system_identifier::text from pg_control_system()";

const SUBSCRIPTIONS: &str = "
select s.oid, s.subname = $1 as is_ours, s.subenabled, s.subslotname::text, s.subpublications
  from pg_subscription s join pg_database d on d.oid = s.subdbid where d.datname = current_database()";

const WORKER: &str = "
select pid is not null as runs, (received_lsn - '0/0')::text as received, (latest_end_lsn - '0/0')::text as latest_end,
       extract(epoch from clock_timestamp() - last_msg_receipt_time)::float8 as silent
  from pg_stat_subscription w where subid = $1::oid and relid is null and to_jsonb(w) ->> 'leader_pid' is null limit 1";

const RELATIONS: &str = "
select r.srsubstate::text as state, count(*) as n from pg_subscription_rel r join pg_subscription s on s.oid = r.srsubid
  join pg_database d on d.oid = s.subdbid where d.datname = current_database() and s.subname = $1 group by 1";

const NOT_READY: &str = "
select n.nspname::text, c.relname::text from pg_subscription_rel r join pg_subscription s on s.oid = r.srsubid
  join pg_database d on d.oid = s.subdbid join pg_class c on c.oid = r.srrelid join pg_namespace n on n.oid = c.relnamespace
 where d.datname = current_database() and s.subname = $1 and r.srsubstate <> 'r'
 order by r.srsubstate = 'i', 1, 2 limit $2::int8";

const ERRORS: &str = "
select apply_error_count, sync_error_count from pg_stat_subscription_stats where subid = $1::oid";

/// The tables of users, for what has to be there before a subscription.
const TABLES: &str = "
select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence = 'p' and c.oid >= 16384
   and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'neon_migrate')
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')";

async fn target(session: &mut Option<sql::Client>, names: &Names) -> Result<OnTarget, Error> {
    let Some(client) = session.as_ref() else { return Err(Side::Target.failed(DOING, PgError::Cancelled)) };
    on_target(client, names).await.map_err(|error| Side::Target.failed(DOING, error))
}

async fn on_target(client: &sql::Client, names: &Names) -> Result<OnTarget, PgError> {
    use tokio_postgres::types::Type;
    let major = client.server_version().major();
    client.batch_execute(BEGIN).await?;
    let cluster = match ask(client, CLUSTER, &[]).await? {
        Seen::Seen(rows) => rows.first().map_or(Ok(Seen::NotSeen), |row| row.try_get(0).map(Seen::Seen))?,
        Seen::NotSeen => Seen::NotSeen,
    };
    let name = (names.subscription.as_str(), Type::TEXT);
    let (subscription, others) = match ask(client, SUBSCRIPTIONS, std::slice::from_ref(&name)).await? {
        Seen::NotSeen => (Seen::NotSeen, Seen::NotSeen),
        Seen::Seen(rows) => {
            let ours = rows.iter().find(|row| row.try_get("is_ours").unwrap_or(false));
            let others = rows.len() as u64 - u64::from(ours.is_some());
            let ours = match ours {
                Some(row) => Some(subscription(client, row, &names.subscription, major).await?),
                None => None,
            };
            (Seen::Seen(ours), Seen::Seen(others))
        }
    };
    let tables = client.query_typed(TABLES, &[]).await?;
    let tables = tables.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0).map(unsigned))?;
    client.batch_execute("rollback").await?;
    Ok(OnTarget { cluster, subscription, tables, others })
}

async fn subscription(client: &Client, row: &Row, name: &str, major: u32) -> Result<Subscription, PgError> {
    use tokio_postgres::types::Type;
    let oid: Oid = row.try_get("oid")?;
    let number = oid.to_string();
    let key = (number.as_str(), Type::TEXT);
    let worker =
        ask(client, WORKER, std::slice::from_ref(&key)).await?.read(|rows| rows.first().map_or(Ok(Worker::default()), worker))?;
    let errors = match major {
        ..15 => Seen::Seen(None),
        _ => ask(client, ERRORS, std::slice::from_ref(&key)).await?.read(|rows| {
            let count = |row: &Row| Ok((unsigned(row.try_get(0)?), unsigned(row.try_get(1)?)));
            rows.first().map(count).transpose()
        })?,
    };
    Ok(Subscription {
        oid,
        enabled: row.try_get("subenabled")?,
        slot: row.try_get("subslotname")?,
        publications: row.try_get("subpublications")?,
        worker,
        relations: relations(client, (name, Type::TEXT)).await?,
        errors,
    })
}

fn worker(row: &Row) -> Result<Worker, tokio_postgres::Error> {
    let silent = row.try_get::<_, Option<f64>>("silent")?.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
    Ok(Worker { runs: row.try_get("runs")?, received: lsn(row, "received")?, latest_end: lsn(row, "latest_end")?, silent })
}

async fn relations(client: &Client, key: (&str, tokio_postgres::types::Type)) -> Result<Seen<Relations>, PgError> {
    let Seen::Seen(counts) = ask(client, RELATIONS, std::slice::from_ref(&key)).await? else { return Ok(Seen::NotSeen) };
    let counts: Result<BTreeMap<String, i64>, tokio_postgres::Error> =
        counts.iter().map(|row| Ok((row.try_get("state")?, row.try_get("n")?))).collect();
    let counts = counts?;
    let of = |state: &str| unsigned(counts.get(state).copied().unwrap_or(0));
    let max = NAMES_MAX.to_string();
    let names = ask(client, NOT_READY, &[key, (&max, tokio_postgres::types::Type::TEXT)]).await?;
    let names = names.read(|rows| {
        rows.iter().map(|row| Ok(QualifiedName::new(row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?))).collect()
    })?;
    Ok(names.map(|not_ready| Relations {
        waiting: of("i"),
        copying: of("d"),
        catching_up: of("f") + of("s"),
        ready: of("r"),
        not_ready,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_of_a_table_says_whose_it_is() {
        let slot = sync_slot("pg_16394_sync_16385_7390000000000000001");
        let slot = slot.map(|slot| (slot.subscription, slot.cluster));
        assert_eq!(slot, Some((16394, "7390000000000000001".to_owned())));
        for name in ["lr_subscription", "pg_x_sync_1_2", "pg_1_sync_2", "pg_1_sync_x_2"] {
            assert_eq!(sync_slot(name), None, "{name}");
        }
    }
}
