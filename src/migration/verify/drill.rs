//! Which rows differ: in bounded memory, whatever the size of the table.
//!
//! Every row belongs to a bucket by the hash of its key. One scan per side sums up the buckets; a second one fetches keys and
//! hashes of some buckets that differ, about a thousand rows each. A table without a key is compared as a multiset of rows: the
//! row itself is the key.

use std::collections::{BTreeMap, HashMap};

use futures_util::{TryStreamExt, pin_mut};
use tokio_postgres::Client;

use super::plan::{KeyedSql, Sums, parse_sums};
use crate::pg::error::PgError;
use crate::pg::names::human;

/// How many differing rows are listed for one table.
pub const LISTED_MAX: usize = 20;
/// How many rows of each side are held while buckets are compared.
const HELD_MAX: usize = 100_000;
/// About how many rows share a bucket.
const BUCKET_ROWS: u64 = 1_000;
const BUCKETS_MAX: u64 = 65_536;

/// One side of the search.
pub struct Side<'a> {
    /// A session with [`super::SESSION_SETTINGS`], in the snapshot that was compared.
    pub client: &'a Client,
    /// The statements for this side.
    pub sql: KeyedSql<'a>,
}

/// Rows that differ. They hold keys, which are rows' values: to be shown, never to be stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Differences {
    /// One entry per row, as `missing on the target (id)=(5)`, at most [`LISTED_MAX`].
    pub listed: Vec<String>,
    /// Whether there may be more than are listed.
    pub capped: bool,
}

/// Finds rows that differ, at most [`LISTED_MAX`]. `rows` is the larger number of rows of both sides.
pub async fn differences(source: &Side<'_>, target: &Side<'_>, rows: u64) -> Result<Differences, PgError> {
    let buckets = (rows / BUCKET_ROWS).clamp(1, BUCKETS_MAX).next_power_of_two();
    let mask = u32::try_from(buckets - 1).unwrap_or(u32::MAX);
    let (source_sums, target_sums) = tokio::try_join!(bucket_sums(source, mask), bucket_sums(target, mask))?;
    let (chosen, mut capped) = choose(&source_sums, &target_sums);
    if chosen.is_empty() {
        return Ok(Differences::default());
    }
    let mut groups: HashMap<i64, Group> = HashMap::new();
    capped |= fetch(source, mask, &chosen, &mut groups, |group| &mut group.source).await?;
    capped |= fetch(target, mask, &chosen, &mut groups, |group| &mut group.target).await?;
    let keyless = source.sql.key.is_empty();
    let mut listed: Vec<String> = groups.values_mut().filter_map(|group| group.sentence(keyless, source.sql.key)).collect();
    listed.sort_unstable();
    capped |= listed.len() > LISTED_MAX;
    listed.truncate(LISTED_MAX);
    Ok(Differences { listed, capped })
}

async fn bucket_sums(side: &Side<'_>, mask: u32) -> Result<BTreeMap<i64, Sums>, PgError> {
    let mut sums = BTreeMap::new();
    for message in side.client.simple_query(&side.sql.buckets(mask)).await? {
        let tokio_postgres::SimpleQueryMessage::Row(row) = message else { continue };
        let bucket = row.get(0).and_then(|text| text.parse().ok());
        match (bucket, parse_sums(row.get(1), row.get(2))) {
            (Some(bucket), Some(found)) => sums.insert(bucket, found),
            _ => return Err(PgError::Protocol("a bucket's sums are not numbers".to_owned())),
        };
    }
    Ok(sums)
}

/// The buckets that differ, as many as can be held; and whether some are left out.
fn choose(source: &BTreeMap<i64, Sums>, target: &BTreeMap<i64, Sums>) -> (Vec<i64>, bool) {
    let none = Sums::default();
    let of = |sums: &BTreeMap<i64, Sums>, bucket: &i64| *sums.get(bucket).unwrap_or(&none);
    let mut all: Vec<i64> = source.keys().chain(target.keys()).copied().collect();
    all.sort_unstable();
    all.dedup();
    let differing: Vec<i64> = all.into_iter().filter(|bucket| of(source, bucket) != of(target, bucket)).collect();
    let mut held = 0;
    let mut chosen = Vec::new();
    for bucket in &differing {
        held += of(source, bucket).rows.max(of(target, bucket).rows);
        if chosen.len() == LISTED_MAX || (held > HELD_MAX as u64 && !chosen.is_empty()) {
            break;
        }
        chosen.push(*bucket);
    }
    let capped = chosen.len() < differing.len();
    (chosen, capped)
}

/// The rows of one key on both sides: more than one where the key is the whole row, or the target has no unique index yet.
#[derive(Default)]
struct Group {
    label: Vec<Option<String>>,
    source: Vec<(i64, String)>,
    target: Vec<(i64, String)>,
}

impl Group {
    fn sentence(&mut self, keyless: bool, key: &[super::Column]) -> Option<String> {
        self.source.sort_unstable();
        self.target.sort_unstable();
        let hashes = |rows: &[(i64, String)]| rows.iter().map(|(hash, _)| *hash).collect::<Vec<_>>();
        if hashes(&self.source) == hashes(&self.target) {
            return None;
        }
        let (source, target) = (self.source.len(), self.target.len());
        if keyless {
            let (word, side, rows) =
                if source > target { ("missing", "source", &self.source) } else { ("extra", "target", &self.target) };
            let place = rows.first().map_or("", |(_, ctid)| ctid.as_str());
            return Some(format!(
                "{word} on the target: a row that the source has {source} and the target {target} times, at ctid {place} of the {side}"
            ));
        }
        let names: Vec<String> = key.iter().map(|column| human(column.name.as_str())).collect();
        let values: Vec<&str> = self.label.iter().map(|value| value.as_deref().unwrap_or("null")).collect();
        let key = format!("({})=({})", names.join(", "), values.join(", "));
        Some(match (source, target) {
            (_, 0) => format!("missing on the target {key}"),
            (0, _) => format!("extra on the target {key}"),
            _ if source == target => format!("different {key}"),
            _ => format!("different {key}, {source} times on the source and {target} times on the target"),
        })
    }
}

/// Reads the rows of the chosen buckets into groups; says whether the limit cut them.
async fn fetch(
    side: &Side<'_>,
    mask: u32,
    chosen: &[i64],
    groups: &mut HashMap<i64, Group>,
    rows_of: impl Fn(&mut Group) -> &mut Vec<(i64, String)>,
) -> Result<bool, PgError> {
    let sql = side.sql.rows(mask, chosen, HELD_MAX);
    let rows = side.client.query_raw(&sql, std::iter::empty::<i32>()).await?;
    pin_mut!(rows);
    let mut count = 0;
    while let Some(row) = rows.try_next().await? {
        count += 1;
        let group = groups.entry(row.try_get(0)?).or_default();
        if group.label.is_empty() {
            group.label = (3..row.len()).map(|i| row.try_get(i)).collect::<Result<_, _>>()?;
        }
        rows_of(group).push((row.try_get(1)?, row.try_get(2)?));
    }
    Ok(count == HELD_MAX)
}
