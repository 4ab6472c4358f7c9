//! Large objects: their bytes, in the snapshot, with owner, grants and comment.
//!
//! They are read with `lo_get` and written with `lo_from_bytea` and `lo_put`, which need no right on `pg_largeobject` itself (managed servers give none), in
//! pieces of bounded size, many small objects per statement. Numbers (oids) are kept, because tables refer to them.

use tokio_postgres::Client;

use super::ends::{Source, Target, in_time};
use super::error::{Error, Side};
use super::ledger::{self, Ledger};
use crate::engine::crash;
use crate::engine::event::Outcome;
use crate::engine::phase::Phase;
use crate::engine::report::{Exit, Report};
use crate::engine::step::Cx;
use crate::pg::names::{Ident, literal};
use crate::pg::types::{Oid, SnapshotId};

/// How much of an object is moved at once, in bytes.
const PIECE_BYTES: i32 = 1024 * 1024;
/// How many objects are listed, or begun, at once.
const BATCH: i64 = 64;
/// The ledger's milestone: the generation whose objects are there.
const MARK: &str = "large objects";

/// The copy of all large objects.
pub struct Copy<'a> {
    /// The context.
    pub cx: &'a Cx,
    /// The source.
    pub source: &'a Source,
    /// The target.
    pub target: &'a Target,
    /// The snapshot that they are read in.
    pub snapshot: &'a SnapshotId,
    /// Its number.
    pub generation: u32,
    /// Whether owners and grants are carried over.
    pub keep: super::schema::archive::Keep,
}

/// What is known of an object without reading it.
struct Object {
    oid: Oid,
    owner: String,
    grants: Vec<String>,
    comment: Option<String>,
}

impl Copy<'_> {
    /// Copies all of them, unless the ledger says that they are there.
    ///
    /// # Errors
    /// Any failure of either side.
    pub async fn run(&self, ledger: &Ledger) -> Result<(), Error> {
        if ledger.marks.get(MARK) == Some(&self.generation.to_string()) {
            return Ok(());
        }
        let source = self.source.sql_in(self.snapshot).await?;
        let failed = |error: tokio_postgres::Error| Side::Source.failed("listing large objects", error);
        let ask = async { source.query_one("select count(*) from pg_catalog.pg_largeobject_metadata", &[]).await.map_err(failed) };
        let row = in_time(Side::Source, "listing large objects", ask).await?;
        let count: i64 = row.try_get(0).map_err(failed)?;
        let target = self.target.sql().await?;
        let failed = |error: tokio_postgres::Error| Side::Target.failed("setting up a session", error);
        // No other session would notice that a server forgot these.
        let set = async { target.batch_execute("set synchronous_commit = on").await.map_err(failed) };
        in_time(Side::Target, "setting up a session", set).await?;
        if count == 0 && !ledger.marks.contains_key(MARK) {
            return Ok(());
        }
        let work = async {
            let bytes = self.copy_all(&source, &target, ledger).await?;
            Ok::<_, Error>(((), Outcome::Success, format!("{count} large objects with {bytes} bytes were copied and compared.")))
        };
        self.cx.step("copy.large-objects", Phase::Copy, "Copying large objects", work).await
    }

    async fn copy_all(&self, source: &Client, target: &Client, ledger: &Ledger) -> Result<u64, Error> {
        if ledger.marks.contains_key(MARK) {
            self.clear(target).await?;
        }
        let doing = |error: tokio_postgres::Error| Side::Target.failed("copying large objects", error);
        let note = async |value: &str| target.batch_execute(&ledger::note_mark(MARK, value)).await.map_err(doing);
        in_time(Side::Target, "copying large objects", note("0")).await?;
        let (mut last, mut bytes) = (0, 0);
        loop {
            let objects = in_time(Side::Source, "listing large objects", list(source, last)).await?;
            let Some(end) = objects.last() else { break };
            last = end.oid;
            let begin = async { target.batch_execute("begin").await.map_err(doing) };
            in_time(Side::Target, "copying large objects", begin).await?;
            for object in &objects {
                bytes += self.copy_one(source, target, object).await?;
                self.cx.safe_point()?;
            }
            let commit = async { target.batch_execute("commit").await.map_err(doing) };
            in_time(Side::Target, "copying large objects", commit).await?;
            crash::point("copy.large-objects");
        }
        in_time(Side::Target, "copying large objects", note(&self.generation.to_string())).await?;
        Ok(bytes)
    }

    /// Removes what an earlier round put there.
    async fn clear(&self, target: &Client) -> Result<(), Error> {
        let sql = "select count(pg_catalog.lo_unlink(oid)) from (select oid from pg_catalog.pg_largeobject_metadata limit 1000) o";
        loop {
            let failed = |error: tokio_postgres::Error| Side::Target.failed("removing large objects of an earlier run", error);
            let remove = async { target.query_one(sql, &[]).await.map_err(failed) };
            let row = in_time(Side::Target, "removing large objects of an earlier run", remove).await?;
            let gone: i64 = row.try_get(0).map_err(failed)?;
            if gone == 0 {
                return Ok(());
            }
        }
    }

    async fn copy_one(&self, source: &Client, target: &Client, object: &Object) -> Result<u64, Error> {
        let oid = object.oid;
        let doing = format!("copying large object {oid}");
        let from = |error: tokio_postgres::Error| Side::Source.failed(doing.clone(), error);
        let to = |error: tokio_postgres::Error| Side::Target.failed(doing.clone(), error);
        let create = async { target.execute("select pg_catalog.lo_create($1)", &[&oid]).await.map_err(to) };
        in_time(Side::Target, &doing, create).await?;
        let mut offset: i64 = 0;
        loop {
            let read = async {
                source.query_one("select pg_catalog.lo_get($1, $2, $3)", &[&oid, &offset, &PIECE_BYTES]).await.map_err(from)
            };
            let row = in_time(Side::Source, &doing, read).await?;
            let piece: &[u8] = row.try_get(0).map_err(from)?;
            if piece.is_empty() {
                break;
            }
            let write = async {
                target.execute("select pg_catalog.lo_put($1, $2, $3)", &[&oid, &offset, &piece]).await.map_err(to)?;
                target.query_one("select pg_catalog.lo_get($1, $2, $3)", &[&oid, &offset, &PIECE_BYTES]).await.map_err(to)
            };
            let row = in_time(Side::Target, &doing, write).await?;
            if row.try_get::<_, &[u8]>(0).map_err(to)? != piece {
                return Err(Report::new(
                    "large-object",
                    Exit::Mismatch,
                    format!("Large object {oid} is not the same on the target after it was copied."),
                )
                .with_fix("Run the same command again; if it happens again, please report it.")
                .into());
            }
            offset += i64::try_from(piece.len()).unwrap_or(i64::MAX);
        }
        let finish = async { target.batch_execute(&self.properties(object)).await.map_err(to) };
        in_time(Side::Target, &doing, finish).await?;
        Ok(offset.unsigned_abs())
    }

    /// The statements for what belongs to an object beside its bytes.
    fn properties(&self, object: &Object) -> String {
        let mut sql = String::new();
        if let Some(comment) = &object.comment {
            sql.push_str(&format!("comment on large object {} is {};", object.oid, literal(comment)));
        }
        if self.keep.grants {
            for grant in &object.grants {
                sql.push_str(grant);
            }
        }
        if self.keep.owners {
            sql.push_str(&format!("alter large object {} owner to {};", object.oid, Ident::new(object.owner.clone())));
        }
        sql
    }
}

async fn list(source: &Client, after: Oid) -> Result<Vec<Object>, Error> {
    const LIST: &str = "select m.oid, pg_catalog.pg_get_userbyid(m.lomowner)::text as owner,
            pg_catalog.obj_description(m.oid, 'pg_largeobject') as comment,
            array(select pg_catalog.format('grant %s on large object %s to %s%s;', a.privilege_type, m.oid,
                    case a.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) end,
                    case when a.is_grantable then ' with grant option' else '' end)
                from pg_catalog.aclexplode(m.lomacl) a where a.grantee <> m.lomowner) as grants
        from pg_catalog.pg_largeobject_metadata m where m.oid > $1 order by m.oid limit $2";
    let failed = |error: tokio_postgres::Error| Side::Source.failed("listing large objects", error);
    let rows = source.query(LIST, &[&after, &BATCH]).await.map_err(failed)?;
    rows.iter()
        .map(|row| {
            Ok(Object {
                oid: row.try_get("oid").map_err(failed)?,
                owner: row.try_get("owner").map_err(failed)?,
                grants: row.try_get("grants").map_err(failed)?,
                comment: row.try_get("comment").map_err(failed)?,
            })
        })
        .collect()
}
