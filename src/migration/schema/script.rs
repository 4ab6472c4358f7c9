//! Reads the script that `pg_restore --verbose --file` writes, entry by entry.
//!
//! pg_restore is left to turn the archive into SQL, and we run the SQL ourselves: so each entry can be committed together with the ledger's note of it,
//! many entries share a transaction, and a statement that the target refuses is known by name.
//!
//! Why the cutting is safe. With `--verbose` every entry is preceded by a comment with its dump id, catalog class and oid, which are known beforehand from
//! the archive's own list. A comment in a function body could look the same; so each listed entry must be found exactly once and nothing that is not
//! listed may be found. A script for which that does not hold is refused, never guessed at.

use std::collections::{HashMap, HashSet};

use crate::pg::types::Oid;

/// One entry of the archive's table of contents, with its SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number within the archive.
    pub dump_id: u32,
    /// The catalog that its oid belongs to, such as 1259 (`pg_class`); 0 for entries without one.
    pub class: Oid,
    /// The oid of the object on the source.
    pub oid: Oid,
    /// `TABLE`, `INDEX`, `FK CONSTRAINT`, ….
    pub kind: String,
    /// Its name, with its schema where it has one, for people.
    pub name: String,
    /// The entries that it needs. Some may not be in this script.
    pub depends_on: Vec<u32>,
    /// The statements that create it.
    pub sql: String,
}

/// Why a script could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// A listed entry is missing, or appears twice.
    #[error("the script of pg_restore holds entry {dump_id} {times} times instead of once")]
    Count {
        /// The entry.
        dump_id: u32,
        /// How often it was found.
        times: usize,
    },
    /// An entry has no description.
    #[error("the script of pg_restore describes entry {dump_id} in a form that is not known")]
    Header {
        /// The entry.
        dump_id: u32,
    },
}

/// The identity of an entry in the archive's list: dump id, class, oid.
pub type ListedEntry = (u32, Oid, Oid);

/// Entries that are in every list, set up the session only, and are never written to a script as objects.
const SESSION_KINDS: [&str; 4] = ["ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE"];

/// Reads the output of `pg_restore --list`: the entries in the order of the archive.
pub fn parse_list(list: &str) -> Vec<ListedEntry> {
    list.lines().filter_map(listed).collect()
}

fn listed(line: &str) -> Option<ListedEntry> {
    let (dump_id, rest) = line.split_once("; ")?;
    let mut words = rest.splitn(4, ' ');
    let (class, oid) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let kind = words.next()?;
    if SESSION_KINDS.contains(&kind) {
        return None;
    }
    Some((dump_id.parse().ok()?, class, oid))
}

/// Cuts a script into its entries, in the script's order.
///
/// # Errors
/// A script in which an entry of `list` does not appear exactly once.
pub fn parse(script: &str, list: &[ListedEntry]) -> Result<Vec<Entry>, ScriptError> {
    let known: HashSet<ListedEntry> = list.iter().copied().collect();
    let mut found: HashMap<u32, usize> = HashMap::new();
    let starts: Vec<(usize, ListedEntry)> = headers(script).filter(|(_, id)| known.contains(id)).collect();
    for (_, id) in &starts {
        *found.entry(id.0).or_default() += 1;
    }
    for (dump_id, _, _) in list {
        let times = found.get(dump_id).copied().unwrap_or(0);
        if times != 1 {
            return Err(ScriptError::Count { dump_id: *dump_id, times });
        }
    }
    let end = script_end(script);
    let ends = starts.iter().skip(1).map(|(start, _)| *start).chain([end]);
    let texts = starts.iter().zip(ends).map(|((start, id), end)| entry(*id, &script[*start..end.max(*start)]));
    let mut entries: Vec<Entry> = texts.collect::<Result<_, _>>()?;
    make_self_contained(&mut entries);
    Ok(entries)
}

/// pg_restore sets the session's table access method only where it changes, and does so before the header of the entry that needs it, which is at
/// the end of the one before. An entry may be created without the one before it, so each that needs another than heap gets its own.
fn make_self_contained(entries: &mut [Entry]) {
    let mut current: Option<String> = None;
    for entry in entries {
        let needed = current.clone();
        while let Some((rest, last)) = split_last_line(&entry.sql) {
            let Some(method) = last.strip_prefix(SET_ACCESS_METHOD).and_then(|rest| rest.strip_suffix(';')) else { break };
            current = Some(method.to_owned());
            entry.sql = rest.trim_end().to_owned();
        }
        if let Some(method) =
            needed.filter(|method| method != "heap" && matches!(entry.kind.as_str(), "TABLE" | "MATERIALIZED VIEW"))
        {
            entry.sql = format!(
                "SET LOCAL default_table_access_method = {method};\n{}\n;SET LOCAL default_table_access_method = heap;",
                entry.sql
            );
        }
    }
}

const SET_ACCESS_METHOD: &str = "SET default_table_access_method = ";

fn split_last_line(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once('\n').or_else(|| (!text.is_empty()).then_some(("", text)))
}

/// The lines that look like the header of an entry, with their positions.
fn headers(script: &str) -> impl Iterator<Item = (usize, ListedEntry)> {
    let mut offset = 0;
    let mut previous = "";
    script.split_inclusive('\n').filter_map(move |line| {
        let text = line.trim_end_matches(['\n', '\r']);
        let header = if previous == "--" { toc_comment(text).map(|id| (offset, id)) } else { None };
        previous = text;
        offset += line.len();
        header
    })
}

/// Where the last entry ends: before the closing `\unrestrict` of newer versions, whose token the script's head announces.
fn script_end(script: &str) -> usize {
    let token = script.lines().take(20).find_map(|line| line.strip_prefix("\\restrict "));
    token.and_then(|token| script.rfind(&format!("\n\\unrestrict {token}"))).map_or(script.len(), |at| at + 1)
}

/// `-- TOC entry 215 (class 1259 OID 16385)`
fn toc_comment(line: &str) -> Option<ListedEntry> {
    let rest = line.strip_prefix("-- TOC entry ")?;
    let (dump_id, rest) = rest.split_once(" (class ")?;
    let (class, rest) = rest.split_once(" OID ")?;
    Some((dump_id.parse().ok()?, class.parse().ok()?, rest.strip_suffix(')')?.parse().ok()?))
}

fn entry((dump_id, class, oid): ListedEntry, text: &str) -> Result<Entry, ScriptError> {
    let mut entry =
        Entry { dump_id, class, oid, kind: String::new(), name: String::new(), depends_on: Vec::new(), sql: String::new() };
    let mut consumed = 0;
    for line in text.split_inclusive('\n') {
        consumed += line.len();
        let line = line.trim_end();
        if let Some(ids) = line.strip_prefix("-- Dependencies: ") {
            entry.depends_on = ids.split_whitespace().filter_map(|id| id.parse().ok()).collect();
        } else if let Some(description) = line.strip_prefix("-- Name: ") {
            let (name, kind, schema) = describe(description).ok_or(ScriptError::Header { dump_id })?;
            entry.kind = kind.to_owned();
            entry.name = if schema == "-" { name.to_owned() } else { format!("{schema}.{name}") };
        } else if line == "--" {
            entry.sql = without_next_header(&text[consumed..]).to_owned();
            return Ok(entry);
        }
    }
    Err(ScriptError::Header { dump_id })
}

/// The lone `--` that opens the next entry's header belongs to that entry.
fn without_next_header(sql: &str) -> &str {
    let sql = sql.trim_end();
    sql.strip_suffix("\n--").map_or(sql, str::trim_end).trim_start()
}

/// `tab; Type: TABLE; Schema: public; Owner: -`, where the name may hold anything but a line break. Some kinds have no owner, and nothing after the colon.
fn describe(text: &str) -> Option<(&str, &str, &str)> {
    let text = text.rsplit_once("; Owner:")?.0;
    let (text, schema) = text.rsplit_once("; Schema: ")?;
    let (name, kind) = text.rsplit_once("; Type: ")?;
    Some((name, kind, schema))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SCRIPT: &str = r#"--
-- PostgreSQL database dump
--

\restrict t0ken

SET statement_timeout = 0;

--
-- TOC entry 2 (class 3079 OID 16385)
-- Name: hstore; Type: EXTENSION; Schema: -; Owner: -
-- Data Pos: 0
--

CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;


--
-- TOC entry 286 (class 1255 OID 16543)
-- Dependencies: 2 7
-- Name: odd; Type: TABLE; Schema: x(); Type: FUNCTION; Schema: public; Owner: 
-- Data Pos: 0
--

CREATE FUNCTION public.f() RETURNS integer
    AS $$select 1
-- TOC entry 215 (class 1259 OID 16385)
--
$$;


-- Completed on 2026-01-01

--
-- PostgreSQL database dump complete
--

\unrestrict t0ken
"#;

    #[test]
    fn entries_are_cut_at_their_headers() {
        let entries = parse(SCRIPT, &[(2, 3079, 16385), (286, 1255, 16543)]).unwrap();
        assert_eq!(entries[0].sql, "CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;");
        assert_eq!(entries[0].name, "hstore");
        assert_eq!(entries[1].kind, "FUNCTION");
        assert_eq!(entries[1].depends_on, [2, 7]);
        assert!(entries[1].sql.starts_with("CREATE FUNCTION") && !entries[1].sql.contains("unrestrict"));
        assert!(entries[1].sql.contains("-- TOC entry 215"));
    }

    #[test]
    fn a_header_that_stands_twice_or_not_at_all_is_refused() {
        let twice = SCRIPT.replace("select 1", "select 1\n--\n-- TOC entry 2 (class 3079 OID 16385)");
        let list = [(2, 3079, 16385), (286, 1255, 16543)];
        assert_eq!(parse(&twice, &list), Err(ScriptError::Count { dump_id: 2, times: 2 }));
        let more = [(2, 3079, 16385), (286, 1255, 16543), (287, 1255, 16544)];
        assert_eq!(parse(SCRIPT, &more), Err(ScriptError::Count { dump_id: 287, times: 0 }));
    }

    #[test]
    fn an_access_method_goes_with_the_table_that_needs_it() {
        let header = |id: u32, kind: &str| {
            format!("--\n-- TOC entry {id} (class 1259 OID {id})\n-- Name: t{id}; Type: {kind}; Schema: s; Owner: -\n--\n\n")
        };
        let script = [
            "SET default_table_access_method = heap;\n\n",
            &header(1, "TABLE"),
            "CREATE TABLE s.t1 ();\n\n\nSET default_table_access_method = other;\n\n",
            &header(2, "TABLE"),
            "CREATE TABLE s.t2 ();\n\n\n",
            &header(3, "VIEW"),
            "CREATE VIEW s.t3 AS\n SELECT;\n\n\n",
            &header(4, "TABLE"),
            "CREATE TABLE s.t4 ();\n\n\nSET default_table_access_method = heap;\n\n",
            &header(5, "TABLE"),
            "CREATE TABLE s.t5 ();\n",
        ];
        let entries = parse(&script.concat(), &[1, 2, 3, 4, 5].map(|id| (id, 1259, id))).unwrap();
        let with_other = |entry: &Entry| entry.sql.starts_with("SET LOCAL default_table_access_method = other;\nCREATE TABLE");
        assert_eq!(entries.iter().map(with_other).collect::<Vec<_>>(), [false, true, false, true, false]);
        assert!([0, 2, 4].iter().all(|at| !entries[*at].sql.contains("access_method")), "{entries:#?}");
    }

    #[test]
    fn the_list_names_objects_only() {
        let list = "; a comment\n3415; 0 0 ENCODING - ENCODING \n2; 3079 16385 EXTENSION - hstore \n;\tdepends on: 2\n";
        assert_eq!(parse_list(list), [(2, 3079, 16385)]);
    }
}
