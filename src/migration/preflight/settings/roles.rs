//! Settings of roles and databases, which a dump of one database leaves behind.

use std::collections::HashMap;

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Side, count, fix_sql};
use super::assign;
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{Ident, human};

/// Looks at the source alone while there is no target, and compares both when there is one.
pub(super) fn checks() -> Vec<Check> {
    vec![
        check(Look::Pair { source: SETTINGS, target: SETTINGS, evaluate: missing }),
        check(Look::Rows { side: Side::Source, query: SETTINGS, evaluate: all }),
    ]
}

fn check(look: Look) -> Check {
    Check {
        code: "B14",
        title: "Settings of roles and databases",
        about: "which settings roles and databases have",
        grant: CATALOGS,
        explain: "The settings that the database, and roles in it or everywhere, give to their sessions (pg_db_role_setting), \
                  without those of the provider's own roles. With a target, only what it does not have already is told.\n\n\
                  A dump of one database does not carry them. Without them sessions on the target get another search path, \
                  other timeouts or another time zone, and functions that read settings of the application find nothing.\n\n\
                  Execute the statements on the target once the roles exist there; new sessions obey. The values of settings \
                  whose names sound like a secret are neither read nor compared: carry them over by hand.",
        look,
    }
}

/// The value of what sounds like a secret does not leave the server.
const SETTINGS: &str = "
select r.rolname::text as role, s.setdatabase <> 0 as here, split_part(c, '=', 1) as setting,
       case when split_part(c, '=', 1) !~* 'secret|password|passwd|token|credential|jwt|key' then substr(c, strpos(c, '=') + 1) end as value
  from pg_db_role_setting s
  cross join lateral unnest(s.setconfig) c
  left join pg_roles r on r.oid = s.setrole
 where s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
   and (s.setrole = 0 or r.rolname !~ '^pg_')
 order by r.rolname nulls first, here desc, setting";

#[derive(Deserialize)]
struct Setting {
    /// Nothing for every role.
    role: Option<String>,
    /// In this database, or else in all.
    here: bool,
    setting: String,
    /// Nothing if it sounds like a secret.
    value: Option<String>,
}

impl Setting {
    fn label(&self) -> String {
        let of = match (&self.role, self.here) {
            (Some(role), true) => format!("of role {} in the database", human(role)),
            (Some(role), false) => format!("of role {}", human(role)),
            (None, true) => "of the database".to_owned(),
            (None, false) => "of all roles".to_owned(),
        };
        format!("{} {of}", self.setting)
    }

    fn statement(&self, database: &Ident) -> Option<String> {
        let value = assign::value(&self.setting, self.value.as_deref()?);
        let of = match (&self.role, self.here) {
            (Some(role), true) => format!("role {} in database {database}", Ident::new(role)),
            (Some(role), false) => format!("role {}", Ident::new(role)),
            (None, true) => format!("database {database}"),
            (None, false) => "role all".to_owned(),
        };
        Some(format!("alter {of} set {} = {value};", Ident::new(&self.setting)))
    }
}

fn all(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let compared = cx.known.target.is_some() && !cx.known.assumed;
    Ok(if compared { Vec::new() } else { finding(cx, rows.parse()?) })
}

fn missing(cx: &Context<'_>, source: &Rows, target: &Rows) -> Evaluated {
    let there: HashMap<_, _> =
        target.parse::<Setting>()?.into_iter().map(|one| ((one.role, one.here, one.setting), one.value)).collect();
    let is_there = |one: &Setting| {
        let other = there.get(&(one.role.clone(), one.here, one.setting.clone()))?;
        Some(other.as_deref().zip(one.value.as_deref()).is_none_or(|(left, right)| assign::same(&one.setting, left, right)))
    };
    let missing = source.parse::<Setting>()?.into_iter().filter(|one| !is_there(one).unwrap_or(false)).collect();
    Ok(finding(cx, missing))
}

fn finding(cx: &Context<'_>, mut settings: Vec<Setting>) -> Vec<Finding> {
    let platform = &cx.host(Side::Source).leave_out_roles;
    settings.retain(|setting| setting.role.as_ref().is_none_or(|role| !platform.contains(role)));
    if settings.is_empty() {
        return Vec::new();
    }
    let target = cx.of(Side::Target).filter(|_| !cx.known.assumed);
    let database = Ident::new(&target.unwrap_or(cx.source()).database);
    let statements: Vec<String> = settings.iter().filter_map(|setting| setting.statement(&database)).collect();
    let hidden = settings.len() - statements.len();
    let by_hand = format!(
        "{} not shown, because its name sounds like a secret; psql shows it with \\drds",
        count(hidden, "value is", "values are")
    );
    let fix = match (hidden, statements.is_empty()) {
        (0, _) => fix_sql(WORDS, &statements),
        (_, true) => format!("Set them on the target by hand: {by_hand}."),
        (_, false) => fix_sql(&format!("{WORDS} ({by_hand})"), &statements),
    };
    let which =
        count(settings.len(), "setting of a role or a database stays behind", "settings of roles and databases stay behind");
    let why = "A dump of one database does not carry them, and without them sessions on the target behave differently.";
    let finding = Finding::new("B14", Severity::Warning, "source", format!("{which}."), why).with_fix(fix);
    vec![finding.with_objects(settings.iter().map(Setting::label).collect())]
}

const WORDS: &str = "Execute these on the target, once the roles exist there";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::Options;
    use super::super::super::facts::Known;
    use super::*;

    #[test]
    fn a_secret_is_named_and_not_told() {
        let known = Known::plain();
        let options = Options::check();
        let secret = Setting { role: None, here: true, setting: "app.jwt".into(), value: None };
        let plain =
            Setting { role: Some("a\"b".into()), here: false, setting: "search_path".into(), value: Some("\"A\", b".into()) };
        let found = finding(&Context { known: &known, options: &options }, vec![secret, plain]);
        assert_eq!(found[0].objects, ["app.jwt of the database", "search_path of role \"a\"\"b\""]);
        let fix = found[0].fix.clone().unwrap_or_default();
        assert!(fix.contains("1 value is not shown"), "{fix}");
        assert!(fix.ends_with("\nalter role \"a\"\"b\" set \"search_path\" = 'A', 'b';"), "{fix}");
    }

    #[test]
    fn what_the_target_has_in_another_spelling_is_there() {
        let known = Known::plain();
        let options = Options::check();
        let row = |value: Option<&str>| Rows(vec![json!({"role": "r", "here": false, "setting": "search_path", "value": value})]);
        let found = |here: Option<&str>, there: Rows| {
            missing(&Context { known: &known, options: &options }, &row(here), &there).unwrap_or_default().len()
        };
        assert_eq!(found(Some("a,\"b\", \"\""), row(Some("a, b"))), 0);
        assert_eq!(found(Some("a"), row(Some("b"))), 1);
        assert_eq!(found(Some("a"), Rows::default()), 1);
        assert_eq!(found(None, row(None)), 0);
    }
}
