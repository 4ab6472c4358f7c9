//! Sequences, which replication does not carry: where they differ, and bringing those of the target up to the source's.
//!
//! None is ever set backwards: each statement looks at the value that it replaces, so that what the target has given out meanwhile stays given out.

use std::collections::BTreeMap;

use super::{told, told_on_the_way};
use crate::engine::report::Report;
use crate::migration::ends::{Source, Target, in_time};
use crate::migration::error::{Error, Side};
use crate::migration::sequences::{Value, values};
use crate::pg::catalog;
use crate::pg::error::PgError;
use crate::pg::names::QualifiedName;
use crate::pg::sql::Client;
use crate::pg::wire::Conn;

/// How many statements share a trip.
const BATCH: usize = 200;
const DOING: &str = "comparing sequences";

/// How a sequence of the target stands to the source's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The source has given out more numbers; the target's has to follow.
    Behind,
    /// The target has given out more. It stays as it is.
    Ahead,
    /// The target has no sequence of that name.
    Missing,
    /// A role may not read it, or not set it.
    Unseen,
}

/// A sequence that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub name: QualifiedName,
    /// How it stands.
    pub state: State,
    /// What the source's holds, unless it may not be read.
    pub source: Option<Value>,
    /// What the target's holds, likewise, if it is there.
    pub target: Option<Value>,
    descends: bool,
}

impl Difference {
    /// The statement that brings the target's up to the source's.
    pub fn statement(&self) -> Option<String> {
        let value = self.source.as_ref().filter(|_| self.state == State::Behind)?;
        let sign = if self.descends { '>' } else { '<' };
        // The first number of all is told from the same number given out.
        let same = if value.called { format!(" or (last_value = {} and not is_called)", value.last) } else { String::new() };
        Some(format!("select {} from {} where last_value {sign} {}{same};", value.setval(&self.name), self.name, value.last))
    }
}

/// What was compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// How many sequences the source has.
    pub total: usize,
    /// Those that differ.
    pub differences: Vec<Difference>,
}

impl Compared {
    /// Those in a state.
    pub fn in_state(&self, state: State) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(move |difference| difference.state == state)
    }
}

/// What may be done with a sequence.
struct Known {
    descends: bool,
    may_read: bool,
    may_set: bool,
}

/// Compares all sequences of the source with those of the same names on the target. Nothing is written.
///
/// # Errors
/// Any failure of either side.
pub async fn compare(source: &Source, target: &Target) -> Result<Compared, Report> {
    compared(source, target).await.map_err(told)
}

/// Brings those of the target that are behind up to the source's, as they are now. Gives how many were set.
///
/// # Errors
/// Any failure of either side.
pub async fn bring(source: &Source, target: &Target) -> Result<u64, Report> {
    brought(source, target).await.map_err(|error| told_on_the_way(&error))
}

async fn brought(source: &Source, target: &Target) -> Result<u64, Error> {
    let compared = compared(source, target).await?;
    let statements: Vec<String> = compared.differences.iter().filter_map(Difference::statement).collect();
    let failed = |error| Side::Target.failed("setting sequences", error);
    let mut writer = target.wire().await?;
    let mut set = 0;
    // No ledger would tell that a server forgot these.
    writer.query("set synchronous_commit = on").await.map_err(failed)?;
    for batch in statements.chunks(BATCH) {
        let answers = writer.query(&batch.concat()).await.map_err(failed)?;
        set += answers.iter().map(|answer| answer.rows.len() as u64).sum::<u64>();
    }
    writer.close().await;
    Ok(set)
}

async fn compared(source: &Source, target: &Target) -> Result<Compared, Error> {
    let (from, to) = tokio::try_join!(source.sql(), target.sql())?;
    let (here, there) = tokio::try_join!(known(&from, Side::Source), known(&to, Side::Target))?;
    drop((from, to));
    let readable = |known: &BTreeMap<QualifiedName, Known>| -> Vec<QualifiedName> {
        let wanted = here.keys().filter(|name| known.get(name).is_some_and(|known| known.may_read));
        wanted.cloned().collect()
    };
    let (mut reader, mut other) = (source.wire().await?, target.wire().await?);
    let (ours, theirs) =
        tokio::try_join!(read(&mut reader, readable(&here), Side::Source), read(&mut other, readable(&there), Side::Target))?;
    reader.close().await;
    other.close().await;
    let difference = |(name, known): (&QualifiedName, &Known)| {
        let (source, target) = (ours.get(name).cloned(), theirs.get(name).cloned());
        let state = state(source.as_ref(), target.as_ref(), known.descends, there.get(name))?;
        Some(Difference { name: name.clone(), state, source, target, descends: known.descends })
    };
    Ok(Compared { total: here.len(), differences: here.iter().filter_map(difference).collect() })
}

fn state(source: Option<&Value>, target: Option<&Value>, descends: bool, there: Option<&Known>) -> Option<State> {
    let Some(there) = there else { return Some(State::Missing) };
    let (Some(source), Some(target)) = (source, target) else { return Some(State::Unseen) };
    let place = |value: &Value| (if descends { -i128::from(value.last) } else { i128::from(value.last) }, value.called);
    match place(source).cmp(&place(target)) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Less => Some(State::Ahead),
        std::cmp::Ordering::Greater if !there.may_set => Some(State::Unseen),
        std::cmp::Ordering::Greater => Some(State::Behind),
    }
}

async fn read(reader: &mut Conn, names: Vec<QualifiedName>, side: Side) -> Result<BTreeMap<QualifiedName, Value>, Error> {
    let values = values(reader, &names).await.map_err(|error| side.failed(DOING, error))?;
    Ok(names.into_iter().zip(values).collect())
}

async fn known(client: &Client, side: Side) -> Result<BTreeMap<QualifiedName, Known>, Error> {
    const KNOWN: &str =
        "select seqrelid as oid, seqincrement < 0 as descends, pg_catalog.has_sequence_privilege(seqrelid, 'SELECT') as may_read,
                                pg_catalog.has_sequence_privilege(seqrelid, 'UPDATE') as may_set
                           from pg_catalog.pg_sequence where pg_catalog.has_sequence_privilege(seqrelid, 'SELECT') is not null";
    let ask = async {
        let names: BTreeMap<u32, QualifiedName> = catalog::sequences(client).await?.into_iter().collect();
        let mut known = BTreeMap::new();
        for row in client.query_typed(KNOWN, &[]).await? {
            if let Some(name) = names.get(&row.try_get("oid")?) {
                let (descends, may_read, may_set) = (row.try_get("descends")?, row.try_get("may_read")?, row.try_get("may_set")?);
                known.insert(name.clone(), Known { descends, may_read, may_set });
            }
        }
        Ok::<_, PgError>(known)
    };
    in_time(side, DOING, async { ask.await.map_err(|error| side.failed(DOING, error)) }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: i64, called: bool) -> Value {
        Value { last, called }
    }

    #[test]
    fn a_sequence_is_behind_ahead_or_equal_in_its_own_direction() {
        let may = Known { descends: false, may_read: true, may_set: true };
        let state = |source, target, descends| super::state(Some(&source), Some(&target), descends, Some(&may));
        assert_eq!(state(at(5, true), at(5, true), false), None);
        assert_eq!(state(at(1, true), at(1, false), false), Some(State::Behind));
        assert_eq!(state(at(1, false), at(1, true), false), Some(State::Ahead));
        assert_eq!(state(at(9, true), at(2, true), false), Some(State::Behind));
        assert_eq!(state(at(-9, true), at(-2, true), true), Some(State::Behind));
        assert_eq!(state(at(i64::MIN, true), at(-2, true), true), Some(State::Behind));
        assert_eq!(state(at(-2, true), at(-9, true), true), Some(State::Ahead));
    }

    #[test]
    fn what_may_not_be_seen_or_set_is_never_taken_for_equal() {
        let may = |may_set| Known { descends: false, may_read: true, may_set };
        assert_eq!(super::state(Some(&at(1, true)), None, false, None), Some(State::Missing));
        assert_eq!(super::state(None, Some(&at(1, true)), false, Some(&may(true))), Some(State::Unseen));
        assert_eq!(super::state(Some(&at(2, true)), Some(&at(1, true)), false, Some(&may(false))), Some(State::Unseen));
    }

    #[test]
    fn a_statement_goes_in_one_direction_only() {
        let name = QualifiedName::new("app", "it's");
        let difference =
            |state, descends, called| Difference { name: name.clone(), state, source: Some(at(7, called)), target: None, descends };
        assert_eq!(
            difference(State::Behind, false, true).statement().as_deref(),
            Some(
                "select pg_catalog.setval('\"app\".\"it''s\"'::pg_catalog.regclass, 7, true) from \"app\".\"it's\" where last_value < 7 or (last_value = 7 and not \
                 is_called);"
            )
        );
        assert!(difference(State::Behind, true, false).statement().is_some_and(|sql| sql.ends_with("where last_value > 7;")));
        assert_eq!(difference(State::Ahead, false, true).statement(), None);
    }
}
