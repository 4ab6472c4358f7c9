//! Settings by which the same statement means something else on the target.

use std::collections::HashMap;

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Side, count, fix_sql};
use super::assign;
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{Ident, human_line};

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            code: "B13",
            title: "Settings that change results",
            about: "whether the same statements give the same results",
            grant: CATALOGS,
            explain: "The settings that decide what statements mean and how values look, such as the time zone, the form of \
                      dates, the search path and the text search configuration, as new sessions of the connected roles begin \
                      with them on both sides.\n\n\
                      If they differ, the same application reads other times, finds other tables, or gets errors, though every \
                      row is the same. What the application sets by itself after it has connected is not touched by this.\n\n\
                      Give the target's database the source's values; new sessions obey. A locale has to exist on the target's \
                      machine.",
            look: Look::Pair { source: BEHAVIOUR, target: BEHAVIOUR, evaluate: differences },
        },
        Check {
            code: "B20",
            title: "Binary forms",
            about: "whether both servers store times in the same form",
            grant: CATALOGS,
            explain: "integer_datetimes on both sides.\n\n\
                      Rows travel in the binary format where every type of a table has one, and times are only understood if \
                      both servers store them in the same form. All servers from Postgres 10 on do; a fork may not.\n\n\
                      Encodings need no look here: both ends speak UTF8 with us.",
            look: Look::Pair { source: DATETIMES, target: DATETIMES, evaluate: other_times },
        },
    ]
}

/// `reset_val` is what the session began with, whatever we set since.
const BEHAVIOUR: &str = "
select name::text, reset_val as value
  from pg_settings
 where name in ('TimeZone', 'timezone_abbreviations', 'DateStyle', 'IntervalStyle', 'bytea_output', 'standard_conforming_strings',
                'backslash_quote', 'escape_string_warning', 'search_path', 'default_transaction_isolation',
                'default_transaction_deferrable', 'default_text_search_config', 'lc_monetary', 'lc_numeric', 'lc_time', 'array_nulls',
                'xmlbinary', 'xmloption', 'extra_float_digits', 'default_toast_compression', 'default_table_access_method',
                'transform_null_equals', 'row_security', 'check_function_bodies', 'lo_compat_privileges', 'gin_fuzzy_search_limit')
 order by name";

#[derive(Deserialize)]
struct Setting {
    name: String,
    value: String,
}

fn differences(cx: &Context<'_>, source: &Rows, target: &Rows) -> Evaluated {
    let there: HashMap<String, String> = target.parse::<Setting>()?.into_iter().map(|one| (one.name, one.value)).collect();
    let mut objects = Vec::new();
    let mut statements = Vec::new();
    let database = Ident::new(cx.of(Side::Target).map_or("", |end| &end.database));
    for Setting { name, value } in source.parse::<Setting>()? {
        let Some(other) = there.get(&name).filter(|other| !assign::same(&name, &value, other)) else { continue };
        objects.push(format!("{name}: {} on the source, {} on the target", shown(&value), shown(other)));
        statements.push(format!("alter database {database} set {} = {};", Ident::new(&name), assign::value(&name, &value)));
    }
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let which = count(objects.len(), "setting that changes results differs", "settings that change results differ");
    let why = "The same statements give other results, or errors, though the rows are the same.";
    let fix = fix_sql("Give the target's database the source's values; new sessions obey", &statements);
    let finding = Finding::new("B13", Severity::Warning, "target", format!("{which} between source and target."), why);
    Ok(vec![finding.with_fix(fix).with_objects(objects)])
}

fn shown(value: &str) -> String {
    if value.is_empty() { "empty".to_owned() } else { human_line(value) }
}

const DATETIMES: &str = "select current_setting('integer_datetimes') as value, 'integer_datetimes' as name";

fn other_times(_: &Context<'_>, source: &Rows, target: &Rows) -> Evaluated {
    let (Some(left), Some(right)) = (source.first::<Setting>()?, target.first::<Setting>()?) else { return Ok(Vec::new()) };
    if left.value == right.value {
        return Ok(Vec::new());
    }
    let sentence = format!("The servers store times in different forms ({} is {} and {}).", left.name, left.value, right.value);
    let why = "Rows travel in the binary format, and times would arrive as other times.";
    let fix = "Use a target that was built as Postgres is by default, with times as integers.";
    Ok(vec![Finding::new("B20", Severity::Blocker, "target", sentence, why).with_fix(fix)])
}
