//! Whether the extensions that the target offers are those that the source has.

use std::cmp::Ordering;

use crate::engine::finding::{Finding, Severity};
use crate::migration::preflight::check::{Check, Context, Look, Side, count, fix_sql};
use crate::migration::preflight::facts::{Installed, Offered, ServerFacts};
use crate::neon::extensions::compare_versions;
use crate::pg::names::{Ident, human, human_line, literal};

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            code: "D2",
            title: "Versions of extensions",
            about: "which versions of the extensions the target offers",
            grant: "",
            explain: "A dump says which extension to create, and not in which version, so the target makes the version that it prefers. \
                      Where that is older than the source's, functions and types that the database uses may be missing. PostGIS and \
                      TimescaleDB are particular: PostGIS keeps its own tables and functions per minor version, and TimescaleDB's \
                      catalog can be restored only into the very version that it came from.\n\n\
                      The check compares each extension's version on the source with the one that is installed on the target, or that \
                      the target would install. Only the first two numbers count, but for TimescaleDB all of them; PostGIS and \
                      TimescaleDB must be equal, of all others the target's must not be older.\n\n\
                      Update the side that is behind, with the statement in the finding, and try it on a copy of the source first: an \
                      update of an extension cannot be undone.",
            look: Look::Both(versions),
        },
        Check {
            code: "D3",
            title: "Creating extensions",
            about: "which extensions the role may create on the target",
            grant: "",
            explain: "Extensions whose control file calls them trusted can be created by everyone who may create in the database. The \
                      others take a superuser, unless the provider has a list of its own of what its customers may create.\n\n\
                      The check reads `pg_available_extension_versions` on the target. On a server of one's own, what takes a superuser \
                      stands in the way. On a known provider's server the catalog does not know about the provider's list, so it is a \
                      warning there. Have a superuser create the extensions before the migration: an extension that is there already \
                      is left as it is.",
            look: Look::Both(superusers_only),
        },
    ]
}

/// The extensions of the source that the target offers, side by side.
fn offered<'a>(cx: &Context<'a>) -> Vec<(&'a Installed, &'a Offered)> {
    let Some(offered) = &cx.known.offered else { return Vec::new() };
    let find = |installed: &'a Installed| Some((installed, offered.iter().find(|one| one.name == installed.name)?));
    cx.known.extensions.iter().filter_map(find).collect()
}

/// Extensions that belong together and keep per-version state.
fn must_be_equal(name: &str) -> bool {
    name == "timescaledb" || name == "postgis" || name.starts_with("postgis_")
}

/// The order of the source's version to the target's. Some versions are published shorter than `pg_extension` has them, so only the
/// parts that both have count.
fn order(name: &str, source: &str, target: &str) -> Ordering {
    if name == "timescaledb" {
        return compare_versions(source, target);
    }
    let minor = |version: &str| version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    compare_versions(&minor(source), &minor(target))
}

fn versions(cx: &Context<'_>, _: &ServerFacts) -> Vec<Finding> {
    let (mut behind, mut ahead) = (Vec::new(), Vec::new());
    for (installed, offered) in offered(cx) {
        match order(&installed.name, &installed.version, &offered.version) {
            Ordering::Greater => behind.push((installed, offered)),
            Ordering::Less if must_be_equal(&installed.name) => ahead.push((installed, offered)),
            _ => {}
        }
    }
    [older_on_target(&behind), newer_on_target(&ahead)].into_iter().flatten().collect()
}

type Pair<'a> = (&'a Installed, &'a Offered);

fn labels(pairs: &[Pair<'_>]) -> Vec<String> {
    let label = |(installed, offered): &Pair<'_>| {
        let name = human(&installed.name);
        format!(
            "extension {name} ({} on the source, {} on the target)",
            human_line(&installed.version),
            human_line(&offered.version)
        )
    };
    pairs.iter().map(label).collect()
}

fn older_on_target(pairs: &[Pair<'_>]) -> Option<Finding> {
    if pairs.is_empty() {
        return None;
    }
    let sentence = format!("The target has an older version of {} of the source.", count(pairs.len(), "extension", "extensions"));
    let why = "What the newer version brought is missing on the target: functions, operators and types that the database may use.";
    let sql: Vec<String> =
        pairs.iter().map(|(installed, _)| format!("alter extension {} update;", Ident::new(&installed.name))).collect();
    let words = "If the target has the extension already and its server has a newer version of it, execute this in the target database; \
                 otherwise use a target whose server has the newer version, or make sure that the database does without what is new";
    let finding = Finding::new("D2", Severity::Warning, "target", sentence, why);
    Some(finding.with_fix(fix_sql(words, &sql)).with_objects(labels(pairs)))
}

fn newer_on_target(pairs: &[Pair<'_>]) -> Option<Finding> {
    if pairs.is_empty() {
        return None;
    }
    let sentence = format!(
        "The target has a newer version of {} of the source that should be equal on both.",
        count(pairs.len(), "extension", "extensions")
    );
    let why = "PostGIS and TimescaleDB keep state and functions that belong to their version, and what was written by an older one does \
               not always fit a newer one.";
    let update = |(installed, offered): &Pair<'_>| {
        format!("alter extension {} update to {};", Ident::new(&installed.name), literal(&offered.version))
    };
    let words = "Where the source's server has that version, execute this on the source as the extension's owner, and first on a copy of \
                 it: the update cannot be undone, and locks what it changes. Otherwise create the source's version on the target \
                 beforehand (create extension … version …), if its server has it";
    let finding = Finding::new("D2", Severity::Warning, "target", sentence, why);
    Some(finding.with_fix(fix_sql(words, &pairs.iter().map(update).collect::<Vec<_>>())).with_objects(labels(pairs)))
}

fn superusers_only(cx: &Context<'_>, target: &ServerFacts) -> Vec<Finding> {
    let refused: Vec<&Installed> =
        offered(cx).into_iter().filter(|(_, offered)| offered.superuser_only).map(|(installed, _)| installed).collect();
    if refused.is_empty() || target.can.superuser {
        return Vec::new();
    }
    let role = cx.role(Side::Target);
    let extensions = count(refused.len(), "extension", "extensions");
    let (severity, may) = match &target.provider {
        Some(_) => (Severity::Warning, "may not be allowed to"),
        None => (Severity::Blocker, "may not"),
    };
    let sentence = format!("On the target the role {} {may} create {extensions} of the source.", human(role.as_str()));
    let why = "They are not trusted, so Postgres lets only superusers create them; a provider may have a list of its own. Without an \
               extension everything that depends on it is missing on the target.";
    let mut sql = Vec::new();
    for Installed { name, schema, .. } in &refused {
        let (name, schema) = (Ident::new(name), Ident::new(schema));
        sql.push(format!(
            "create schema if not exists {schema}; create extension if not exists {name} with schema {schema} cascade;"
        ));
    }
    let words = "Execute this in the target database as a superuser, or as the provider's administrative role";
    let objects = refused.iter().map(|installed| format!("extension {}", human(&installed.name))).collect();
    vec![Finding::new("D3", severity, "target", sentence, why).with_fix(fix_sql(words, &sql)).with_objects(objects)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::preflight::Options;
    use crate::migration::preflight::facts::Known;

    fn with(name: &str, source: &str, target: &str, superuser_only: bool) -> Known {
        let mut known = Known::plain();
        known.extensions = vec![Installed { name: name.into(), version: source.into(), schema: "My \"Ext".into() }];
        known.offered = Some(vec![Offered { name: name.into(), version: target.into(), superuser_only }]);
        known
    }

    fn fix(name: &str, source: &str, target: &str) -> Option<String> {
        let (known, options) = (with(name, source, target, false), Options::check());
        let cx = Context { known: &known, options: &options };
        let fix = versions(&cx, known.target.as_ref()?).pop()?.fix?;
        fix.lines().last().map(str::to_owned)
    }

    #[test]
    fn a_target_may_be_newer_but_for_postgis_and_timescaledb() {
        let update = |name: &str| Some(format!("alter extension \"{name}\" update;"));
        assert_eq!(fix("hstore", "1.8", "1.10"), None);
        assert_eq!(fix("hstore", "1.8", "1.4"), update("hstore"));
        assert_eq!(fix("vector", "0.8.1", "0.8.0"), None);
        assert_eq!(fix("vector", "0.8", "0.7.4"), update("vector"));
        assert_eq!(fix("postgis", "3.5.2", "3.5.7"), None);
        assert_eq!(fix("postgis_topology", "3.6.0", "3.5.7"), update("postgis_topology"));
        assert_eq!(fix("postgis", "3.4.2", "3.5.7").as_deref(), Some("alter extension \"postgis\" update to '3.5.7';"));
        assert_eq!(fix("timescaledb", "2.20.0", "2.20.0"), None);
        assert_eq!(fix("timescaledb", "2.20.0", "2.20.1").as_deref(), Some("alter extension \"timescaledb\" update to '2.20.1';"));
        assert_eq!(fix("timescaledb", "2.20.1", "2.20.0"), update("timescaledb"));
    }

    #[test]
    fn what_takes_a_superuser_depends_on_the_role_and_the_provider() {
        let severity = |provider: Option<&str>, superuser: bool| {
            let mut known = with("Odd \"one", "1.0", "1.0", true);
            known.target_mut().provider = provider.map(str::to_owned);
            known.target_mut().can.superuser = superuser;
            let options = Options::check();
            let found = superusers_only(&Context { known: &known, options: &options }, known.target.as_ref()?);
            found.first().map(|finding| finding.severity)
        };
        assert_eq!(severity(None, false), Some(Severity::Blocker));
        assert_eq!(severity(Some("Amazon RDS"), false), Some(Severity::Warning));
        assert_eq!(severity(None, true), None);
    }
}
