//! Comparing a table right after its copy, inside the copy's own snapshot: the result is exact although the source is being written to.

use super::plan::CtidRange;
use super::worker::{GroupWork, Hands, Purpose, Round, lock};
use crate::engine::event::{EventKind, TableVerdict, Verdict};
use crate::migration::ends::{begin_in, snapshot_error};
use crate::migration::error::{Error, Side};
use crate::migration::verify::{self, Differences, KeyedSql, Sums};
use crate::pg::error::PgError;
use crate::pg::wire::{Answer, Conn};

impl Round {
    /// Sums up one range on both sides at once; with the last range comes the verdict.
    pub(super) async fn verify(&self, hands: &mut Hands, work: &GroupWork, part: usize) -> Result<(), Error> {
        let title = self.title(work);
        let (source, target) = hands.both(self).await?;
        let on_target = self.target_range(target, work, part).await?;
        let source_sql = format!(
            "{}; {}; {}; commit",
            begin_in(&self.snapshot),
            self.sums_sql(work, work.group.ranges[part]).join("; "),
            self.rewritten_sql(work)
        );
        let target_sql = each_alone(&self.sums_sql(work, on_target));
        let (on_source, on_target) = tokio::join!(source.query(&source_sql), target.query(&target_sql));
        let mut on_source = on_source.map_err(|error| snapshot_error(&format!("comparing {title}"), error))?;
        on_source.retain(|answer| answer.tag.starts_with("SELECT"));
        // A table that was truncated after the snapshot looks empty in it.
        self.refuse_rewritten(on_source.pop().as_ref())?;
        let on_target = on_target.map_err(|error| Side::Target.failed(format!("comparing {title}"), error))?;
        let sums = pair(sums(&on_source, Side::Source, &title)?, sums(&on_target, Side::Target, &title)?);
        let total = {
            let mut total = lock(&work.sums);
            for (total, sums) in total.iter_mut().zip(sums) {
                total[0] += sums[0];
                total[1] += sums[1];
            }
            let mut left = lock(&work.verifies_left);
            *left = left.saturating_sub(1);
            if *left > 0 {
                return Ok(());
            }
            total.clone()
        };
        for (position, sums) in work.group.tables.iter().zip(total) {
            self.judge(*position, sums).await?;
        }
        Ok(())
    }

    fn sums_sql(&self, work: &GroupWork, range: CtidRange) -> Vec<String> {
        let range = verify::CtidRange::new(range.from, range.until);
        let sql = |position: &usize| {
            let table = &self.tables[*position];
            if table.is_root {
                return verify::table_sql(&table.name, false, &self.hashes[*position], None);
            }
            let condition = self.compared.table(table.oid).and_then(|compared| compared.condition.as_deref());
            verify::conditional_sql(&table.name, condition, &self.hashes[*position], range)
        };
        work.group.tables.iter().map(sql).collect()
    }

    /// The target's table has its rows elsewhere than the source's; it is cut into as many ranges of its own.
    async fn target_range(&self, target: &mut Conn, work: &GroupWork, part: usize) -> Result<CtidRange, Error> {
        let (true, [position]) = (work.group.is_split(), work.group.tables.as_slice()) else { return Ok(work.group.ranges[part]) };
        let table = &self.tables[*position];
        let name = crate::pg::names::literal(&table.name.to_string());
        let pages = work.target_pages.get_or_try_init(|| async {
            let failed = |error| Side::Target.failed(format!("comparing {}", table.name.human()), error);
            let sql =
                format!("select pg_catalog.pg_relation_size({name}::pg_catalog.regclass) / current_setting('block_size')::bigint");
            let answers = target.query(&sql).await.map_err(failed)?;
            let pages = answers.first().and_then(|a| a.rows.first()?.first()?.as_deref()?.parse().ok());
            pages.ok_or_else(|| failed(PgError::Protocol("the size of a table is not a number".to_owned())))
        });
        let parts = u32::try_from(work.group.ranges.len()).unwrap_or(u32::MAX);
        let ranges = CtidRange::cut(*pages.await?, parts);
        // A table that shrank to fewer pages than there are ranges has nothing left for the last ones.
        Ok(ranges.get(part).copied().unwrap_or(CtidRange { from: u64::from(u32::MAX) - 1, until: Some(u64::from(u32::MAX) - 1) }))
    }

    async fn judge(&self, position: usize, [source, target]: [Sums; 2]) -> Result<(), Error> {
        let table = &self.tables[position];
        let verdict = verify::compare(source, target);
        if verdict != Verdict::Match {
            lock(&self.differing).push(position);
        }
        if verdict != Verdict::Match && self.purpose == Purpose::Reconcile {
            return Ok(());
        }
        let mut result = TableVerdict {
            id: table.oid,
            name: table.name.human(),
            verdict,
            method: self.hashes[position].method.as_str().to_owned(),
            source_rows: source.rows,
            target_rows: target.rows,
            differences: Vec::new(),
            reason: None,
        };
        if verdict != Verdict::Match {
            let found = self.differences(position, source.rows.max(target.rows)).await?;
            result.differences = found.listed;
            if found.capped {
                result.reason = Some("More rows differ than are listed.".to_owned());
            }
        }
        self.cx.emit(EventKind::TableVerified { result }).await?;
        lock(&self.verified).insert(table.oid, self.generation);
        Ok(())
    }

    async fn differences(&self, position: usize, rows: u64) -> Result<Differences, Error> {
        let (table, hash) = (&self.tables[position], &self.hashes[position]);
        let Some(row) = hash.row() else { return Ok(Differences::default()) };
        let source = self.source.sql_in(&self.snapshot).await?;
        let target = self.target.sql().await?;
        let compared = self.compared.table(table.oid);
        let key = compared.map(|compared| self.compared.key(compared)).unwrap_or_default();
        let sql = KeyedSql {
            table: &table.name,
            only: !table.is_root,
            condition: compared.and_then(|compared| compared.condition.as_deref()),
            key: &key,
            row,
            encodings_differ: self.encodings_differ,
        };
        let side = |client| verify::Side { client, sql: sql.clone() };
        let found = verify::differences(&side(&source), &side(&target), rows).await;
        found.map_err(|error| Side::Target.failed(format!("looking for rows of {} that differ", table.name.human()), error))
    }
}

/// Gives each statement a transaction of its own. Statements of one simple query share one otherwise, with the locks of all tables until its end; a session that
/// adds keys to the same tables beside it, several in one transaction, would meet it in a deadlock.
fn each_alone(statements: &[String]) -> String {
    statements.iter().map(|statement| format!("begin; {statement}; commit")).collect::<Vec<_>>().join("; ")
}

/// Reads the sums out of the answers.
fn sums(answers: &[Answer], side: Side, title: &str) -> Result<Vec<Sums>, Error> {
    let text = |row: &[Option<String>], column: usize| row.get(column).cloned().flatten();
    let sum = |answer: &Answer| {
        let row = answer.rows.first()?;
        verify::parse_sums(text(row, 0).as_deref(), text(row, 1).as_deref())
    };
    let selects = answers.iter().filter(|answer| answer.tag.starts_with("SELECT"));
    let sums: Option<Vec<Sums>> = selects.map(sum).collect();
    sums.ok_or_else(|| side.failed(format!("comparing {title}"), PgError::Protocol("sums that are not numbers".to_owned())))
}

fn pair(source: Vec<Sums>, target: Vec<Sums>) -> impl Iterator<Item = [Sums; 2]> {
    source.into_iter().zip(target).map(|(source, target)| [source, target])
}

#[cfg(test)]
mod tests {
    use super::each_alone;

    #[test]
    fn no_two_tables_are_locked_at_once_on_the_target() {
        let sql = each_alone(&["select 1".to_owned(), "select 2".to_owned()]);
        assert_eq!(sql, "begin; select 1; commit; begin; select 2; commit");
    }
}
