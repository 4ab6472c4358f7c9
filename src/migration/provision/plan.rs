//! The proposal: every value of the new project, and why it is that one.

use super::account::Limits;
use super::{SourceFacts, region, size};
use crate::engine::report::{Exit, Report};
use crate::neon::error::ApiError;
use crate::neon::types::{EndpointSettings, NewBranch, NewProject, Organization, RegionInfo};
use crate::pg::names::human;

/// The majors that Neon offers in all regions.
pub const MAJORS: std::ops::RangeInclusive<u32> = 14..=18;
/// Neon's console takes names of so many characters.
const NAME_MAX: usize = 64;
/// Postgres's names have so many bytes at most.
const IDENTIFIER_MAX: usize = 63;
/// While rows are loaded, history is only what was just written.
const HISTORY_WHILE_LOADING: u64 = 3600;
/// Neon's default, for afterwards.
pub const HISTORY_DEFAULT: u64 = 86_400;
/// The compute is never suspended.
const NEVER: i64 = -1;

const RESERVED_ROLES: [&str; 5] = ["neon_superuser", "cloud_admin", "zenith_admin", "public", "none"];
const RESERVED_DATABASES: [&str; 3] = ["postgres", "template0", "template1"];
/// What Neon calls a database that nobody named.
const DATABASE_DEFAULT: &str = "neondb";

/// What the person asked for; what is left open is filled in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wishes {
    /// The project's name.
    pub name: Option<String>,
    /// The id of a region.
    pub region: Option<String>,
    /// The major version of Postgres.
    pub pg_version: Option<u32>,
    /// The database.
    pub database: Option<String>,
    /// The role that owns it.
    pub role: Option<String>,
    /// The smallest compute, in compute units.
    pub min_cu: Option<f64>,
    /// The largest compute, in compute units.
    pub max_cu: Option<f64>,
    /// After how many idle seconds the compute is suspended; 0 is Neon's default, -1 never.
    pub suspend_timeout: Option<i64>,
    /// For how many seconds history is kept.
    pub history_retention: Option<u64>,
}

impl Wishes {
    /// Looks at what can be judged before anybody is asked.
    ///
    /// # Errors
    /// A value that Neon never takes.
    pub fn check(&self) -> Result<(), Report> {
        let refused = |flag: &str, why: &str| {
            Err(Report::new("neon-setting", Exit::Usage, why).with_fix(format!("Choose another with {flag}.")))
        };
        if self.name.as_ref().is_some_and(|name| clean_name(name) != *name || name.is_empty()) {
            return refused("--name", "A project's name has 1 to 64 characters, without line breaks and blanks around it.");
        }
        if self.database.as_ref().is_some_and(|name| database_obstacle(name).is_some()) {
            return refused(
                "--database",
                "Neon takes no database of that name: postgres, template0, template1 and names above 63 bytes are refused.",
            );
        }
        if self.role.as_ref().is_some_and(|name| role_obstacle(name).is_some()) {
            return refused("--role", "Neon takes no role of that name: it is reserved, or longer than 63 bytes.");
        }
        size::choose(None, (self.min_cu, self.max_cu), Limits::default()).map(drop)
    }
}

/// One value, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub name: &'static str,
    /// What is proposed.
    pub value: String,
    /// Why; empty where it goes without saying.
    pub why: String,
    /// What the command line can say instead; empty where there is nothing to add.
    pub instead: String,
}

impl Item {
    /// Why, and what to say instead, for the command line.
    pub fn reason(&self) -> String {
        [self.why.as_str(), self.instead.as_str()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// Why a value was chosen, and what the command line can say instead.
type Reason = (String, String);

fn because(why: impl Into<String>) -> Reason {
    (why.into(), String::new())
}

/// The project that is to be created.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// As it is sent.
    pub request: NewProject,
    /// As it is shown.
    pub items: Vec<Item>,
    /// The regions that were open to choice.
    pub regions: Vec<RegionInfo>,
    /// The label of the source, if there is one.
    pub source: Option<String>,
    wishes: Wishes,
}

/// What a plan is made from.
#[derive(Debug)]
pub struct Basis<'a> {
    /// What the person asked for.
    pub wishes: &'a Wishes,
    /// What the source says.
    pub source: Option<&'a SourceFacts>,
    /// The organisation that the project would belong to.
    pub org: Option<&'a Organization>,
    /// What the account's plan allows.
    pub limits: Limits,
    /// What the API offers.
    pub regions: &'a [RegionInfo],
}

/// Fills in what the person left open.
///
/// # Errors
/// A wish that Neon does not fulfil.
pub fn make(basis: &Basis<'_>) -> Result<Plan, Report> {
    let wishes = basis.wishes;
    wishes.check()?;
    let chosen = region::choose(wishes.region.as_deref(), basis.source, basis.regions)?;
    let (pg_version, why_version) = version(wishes.pg_version, basis.source);
    let (name, why_name) = name(wishes, basis.source);
    let (database_name, why_database) = database(wishes, basis.source);
    let (role_name, why_role) = role(wishes, basis.source, &database_name);
    let range = size::choose(basis.source.and_then(|source| source.bytes), (wishes.min_cu, wishes.max_cu), basis.limits)?;
    let suspend = wishes.suspend_timeout.or((!basis.limits.free).then_some(NEVER));
    let history = wishes.history_retention.unwrap_or(HISTORY_WHILE_LOADING);
    let region_name = basis.regions.iter().find(|region| region.region_id == chosen.id).map(|region| region.name.clone());
    let item = |name, value: String, (why, instead): Reason| Item { name, value, why, instead };
    let instead = if chosen.by_default { "--region names another." } else { "" };
    let mut items = vec![
        item("name", human_text(&name), why_name),
        item("region", with_name(&chosen.id, region_name.as_deref()), (chosen.why, instead.to_owned())),
        item("Postgres", pg_version.to_string(), why_version),
        item("database", human(&database_name), why_database),
        item("role", human(&role_name), why_role),
        item("compute", format!("{} to {} compute units", range.min, range.max), because(why_size(basis))),
        item("suspend", suspend_text(suspend), because(why_suspend(wishes, suspend))),
        item("history", time_text(history), because(why_history(wishes))),
    ];
    if let Some(org) = basis.org {
        items.insert(1, item("organization", with_name(&org.id, Some(&org.name)), because("")));
    }
    Ok(Plan {
        request: NewProject {
            name,
            region_id: chosen.id,
            pg_version,
            org_id: basis.org.map(|org| org.id.clone()),
            branch: NewBranch { database_name, role_name },
            default_endpoint_settings: EndpointSettings {
                autoscaling_limit_min_cu: Some(range.min),
                autoscaling_limit_max_cu: Some(range.max),
                suspend_timeout_seconds: suspend,
            },
            history_retention_seconds: Some(history),
            store_passwords: true,
        },
        items,
        regions: basis.regions.to_vec(),
        source: basis.source.map(|source| source.label.clone()),
        wishes: wishes.clone(),
    })
}

impl Plan {
    /// The request without what Neon has just refused, if nobody asked for it and the project is as good without it; and a sentence about it.
    pub(super) fn without_what_is_refused(&self, request: &NewProject, error: &ApiError) -> Option<(NewProject, String)> {
        let refusal = error.refusal().filter(|refusal| matches!(refusal.status, 400 | 402 | 403 | 422))?;
        let words = refusal.message.to_ascii_lowercase();
        let mut less = request.clone();
        let settings = &mut less.default_endpoint_settings;
        if self.wishes.suspend_timeout.is_none() && words.contains("suspend") && settings.suspend_timeout_seconds.take().is_some() {
            let sentence = "The account's plan does not let a compute stay awake, so the project is created without that. It may be suspended when nothing \
                            happens for five minutes; the migration connects again.";
            return Some((less, sentence.to_owned()));
        }
        let is_history = words.contains("history") || words.contains("retention");
        if self.wishes.history_retention.is_none() && is_history && less.history_retention_seconds.take().is_some() {
            let sentence = "The account's plan does not let history be that short, so the project is created with Neon's own; loading may cost more storage.";
            return Some((less, sentence.to_owned()));
        }
        None
    }
}

fn version(wanted: Option<u32>, source: Option<&SourceFacts>) -> (u32, Reason) {
    let newest = *MAJORS.end();
    match (wanted, source) {
        (Some(wanted), _) => (wanted, because("Asked for.")),
        (None, None) => (newest, because("The newest that Neon offers everywhere.")),
        (None, Some(source)) if MAJORS.contains(&source.major) => (source.major, because("As the source.")),
        (None, Some(source)) if source.major < *MAJORS.start() => {
            let why = format!(
                "Neon does not offer the source's {}, so the application changes its major anyway; the newest is the one that is supported longest.",
                source.major
            );
            (newest, (why, format!("--pg-version {} is the nearest to the source.", MAJORS.start())))
        }
        (None, Some(source)) => {
            let major = source.major;
            let why = format!("Neon does not offer {major} everywhere. Copying to an older major may lose features.");
            (newest, (why, format!("--pg-version {major} tries it; copying to an older one needs --allow-downgrade.")))
        }
    }
}

fn name(wishes: &Wishes, source: Option<&SourceFacts>) -> (String, Reason) {
    if let Some(name) = &wishes.name {
        return (name.clone(), because(""));
    }
    let from = source.map(|source| source.database.as_str()).or(wishes.database.as_deref()).unwrap_or_default();
    match clean_name(from) {
        name if name.is_empty() => ("migrated".to_owned(), (String::new(), "Choose another with --name.".to_owned())),
        name => (name, because("The database's name.")),
    }
}

/// A name as the console takes it.
fn clean_name(from: &str) -> String {
    let visible: String = from.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let cut: String = visible.trim().chars().take(NAME_MAX).collect();
    cut.trim_end().to_owned()
}

fn database(wishes: &Wishes, source: Option<&SourceFacts>) -> (String, Reason) {
    if let Some(name) = &wishes.database {
        return (name.clone(), because(""));
    }
    let Some(source) = source else { return (DATABASE_DEFAULT.to_owned(), because("Neon's default.")) };
    match database_obstacle(&source.database) {
        None => (source.database.clone(), because("As the source.")),
        Some(obstacle) => {
            let why = format!("The source's {} {obstacle}, so this is Neon's default.", human(&source.database));
            (DATABASE_DEFAULT.to_owned(), (why, "--database names another.".to_owned()))
        }
    }
}

fn role(wishes: &Wishes, source: Option<&SourceFacts>, database: &str) -> (String, Reason) {
    if let Some(name) = &wishes.role {
        return (name.clone(), because(""));
    }
    let mut of_database: String = database.to_owned();
    while of_database.len() + "_owner".len() > IDENTIFIER_MAX {
        of_database.pop();
    }
    let default = format!("{of_database}_owner");
    let default = if role_obstacle(&default).is_some() { format!("{DATABASE_DEFAULT}_owner") } else { default };
    let Some(source) = source else { return (default, because("Neon's default.")) };
    match role_obstacle(&source.owner) {
        None => (source.owner.clone(), because("The owner of the source's database.")),
        Some(obstacle) => {
            let why = format!("The source's owner {} {obstacle}.", human(&source.owner));
            (default, (why, "--role names another.".to_owned()))
        }
    }
}

/// Why Neon takes no database of that name.
fn database_obstacle(name: &str) -> Option<&'static str> {
    if RESERVED_DATABASES.contains(&name) { Some("is reserved on Neon") } else { identifier_obstacle(name) }
}

/// Why Neon takes no role of that name.
fn role_obstacle(name: &str) -> Option<&'static str> {
    if RESERVED_ROLES.contains(&name) || name.starts_with("pg_") { Some("is reserved on Neon") } else { identifier_obstacle(name) }
}

fn identifier_obstacle(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("is empty"),
        name if name.len() > IDENTIFIER_MAX => Some("is longer than 63 bytes"),
        name if name.chars().any(char::is_control) => Some("holds a control character"),
        _ => None,
    }
}

fn why_size(basis: &Basis<'_>) -> String {
    if basis.wishes.min_cu.is_some() && basis.wishes.max_cu.is_some() {
        return String::new();
    }
    let size = match basis.source.map(|source| source.bytes) {
        Some(Some(bytes)) => format!("The database has {}", size::human(bytes)),
        Some(None) => "The database's size is not known".to_owned(),
        None => "There is no source to measure".to_owned(),
    };
    let cap = match basis.limits.cu_max {
        Some(cap) => format!(" The account's plan allows {cap}."),
        None => String::new(),
    };
    format!("{size}; one compute unit is about 4 GB of memory, and the smallest size decides what an index build gets of it.{cap}")
}

fn suspend_text(suspend: Option<i64>) -> String {
    match suspend {
        None => "as the account's plan has it".to_owned(),
        Some(NEVER) => "never".to_owned(),
        Some(0) => "after Neon's default of 5 minutes without work".to_owned(),
        Some(seconds) => format!("after {} without work", time_text(seconds.unsigned_abs())),
    }
}

fn time_text(seconds: u64) -> String {
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let whole = units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    match whole {
        None => "none".to_owned(),
        Some((unit, name)) if seconds == unit => format!("1 {name}"),
        Some((unit, name)) => format!("{} {name}s", seconds / unit),
    }
}

fn why_suspend(wishes: &Wishes, suspend: Option<i64>) -> String {
    match (wishes.suspend_timeout, suspend) {
        (None, None) => "The free plan does not let it be changed.".to_owned(),
        (None, _) => {
            "A compute that is suspended drops its connections, which interrupts a load. It costs while it is idle: change it back afterwards.".to_owned()
        }
        _ => String::new(),
    }
}

fn why_history(wishes: &Wishes) -> String {
    match wishes.history_retention {
        Some(_) => String::new(),
        None => "All that is loaded counts as history for so long, and costs storage. Raise it afterwards.".to_owned(),
    }
}

fn with_name(id: &str, name: Option<&str>) -> String {
    match name {
        Some(name) if !name.is_empty() => format!("{id}, {}", human_text(name)),
        _ => id.to_owned(),
    }
}

fn human_text(text: &str) -> String {
    crate::pg::names::human_line(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::neon::error::Refusal;

    fn source(major: u32, database: &str, owner: &str) -> SourceFacts {
        SourceFacts {
            label: "u@h:5432/d".to_owned(),
            host: Some("shop.c9akciq32.us-east-2.rds.amazonaws.com".to_owned()),
            major,
            database: database.to_owned(),
            owner: owner.to_owned(),
            bytes: Some(42 << 30),
        }
    }

    fn plan(wishes: &Wishes, source: Option<&SourceFacts>, limits: Limits) -> Result<Plan, Report> {
        let regions = [RegionInfo::new("aws-us-east-1", "N. Virginia"), RegionInfo::new("aws-us-east-2", "Ohio")];
        make(&Basis { wishes, source, org: None, limits, regions: &regions })
    }

    fn of_source(source: &SourceFacts) -> NewProject {
        plan(&Wishes::default(), Some(source), Limits::default()).unwrap().request
    }

    #[test]
    fn everything_is_filled_in_from_the_source() {
        let request = of_source(&source(16, "shop", "app"));
        let sent = serde_json::to_value(&request).unwrap();
        let expected = serde_json::json!({
            "name": "shop", "region_id": "aws-us-east-2", "pg_version": 16, "store_passwords": true,
            "branch": {"database_name": "shop", "role_name": "app"},
            "default_endpoint_settings": {"autoscaling_limit_min_cu": 2.0, "autoscaling_limit_max_cu": 8.0, "suspend_timeout_seconds": -1},
            "history_retention_seconds": 3600,
        });
        assert_eq!(sent, expected);
    }

    #[test]
    fn without_a_source_neons_defaults_are_taken() {
        let request = plan(&Wishes::default(), None, Limits::default()).unwrap().request;
        assert_eq!((request.name.as_str(), request.pg_version, request.region_id.as_str()), ("migrated", 18, "aws-us-east-1"));
        assert_eq!((request.branch.database_name.as_str(), request.branch.role_name.as_str()), ("neondb", "neondb_owner"));
    }

    #[test]
    fn reserved_names_are_avoided() {
        for (database, owner, expected) in [
            ("postgres", "postgres", ("neondb", "postgres")),
            ("template1", "pg_monitor", ("neondb", "neondb_owner")),
            ("shop", "cloud_admin", ("shop", "shop_owner")),
            ("shop", "public", ("shop", "shop_owner")),
            ("none", "none", ("none", "none_owner")),
            ("pg_x", "pg_x", ("pg_x", "neondb_owner")),
            ("Odd \"name\".é", "App owner", ("Odd \"name\".é", "App owner")),
            ("two\nlines", "app", ("neondb", "app")),
        ] {
            let branch = of_source(&source(16, database, owner)).branch;
            assert_eq!((branch.database_name.as_str(), branch.role_name.as_str()), expected);
        }
        let long = "ü".repeat(31);
        let branch = of_source(&source(16, &long, "none")).branch;
        assert_eq!((branch.database_name.as_str(), branch.role_name.len() <= 63), (long.as_str(), true));
    }

    #[test]
    fn names_of_projects_are_short_and_visible() {
        assert_eq!(clean_name(" two\nlines "), "two lines");
        assert_eq!(clean_name(&"é".repeat(100)).chars().count(), 64);
        assert_eq!(of_source(&source(16, "\n", "app")).name, "migrated");
    }

    #[test]
    fn the_major_is_the_sources_or_one_that_neon_offers() {
        for (major, expected) in [(9, 18), (13, 18), (14, 14), (17, 17), (18, 18), (19, 18)] {
            let plan = plan(&Wishes::default(), Some(&source(major, "shop", "app")), Limits::default()).unwrap();
            let item = plan.items.iter().find(|item| item.name == "Postgres").unwrap();
            assert_eq!(plan.request.pg_version, expected);
            assert_eq!(item.instead.contains("--pg-version"), major != expected, "{}", item.instead);
            assert!(!item.why.contains("--"), "the page has no flags: {}", item.why);
        }
    }

    #[test]
    fn wishes_come_first_and_are_judged_at_once() {
        let wishes = Wishes {
            name: Some("n".to_owned()),
            region: Some("aws-us-east-1".to_owned()),
            pg_version: Some(18),
            database: Some("d".to_owned()),
            role: Some("r".to_owned()),
            min_cu: Some(1.0),
            max_cu: Some(1.0),
            suspend_timeout: Some(0),
            history_retention: Some(0),
        };
        let request = plan(&wishes, Some(&source(16, "shop", "app")), Limits::default()).unwrap().request;
        assert_eq!((request.name.as_str(), request.region_id.as_str(), request.pg_version), ("n", "aws-us-east-1", 18));
        assert_eq!(request.branch, NewBranch { database_name: "d".to_owned(), role_name: "r".to_owned() });
        assert_eq!(
            (request.default_endpoint_settings.suspend_timeout_seconds, request.history_retention_seconds),
            (Some(0), Some(0))
        );
        let text = |text: &str| Some(text.to_owned());
        for wrong in [
            Wishes { name: text(""), ..Wishes::default() },
            Wishes { name: text(&"x".repeat(65)), ..Wishes::default() },
            Wishes { database: text("postgres"), ..Wishes::default() },
            Wishes { role: text("pg_x"), ..Wishes::default() },
            Wishes { role: text(&"x".repeat(64)), ..Wishes::default() },
            Wishes { min_cu: Some(4.0), max_cu: Some(2.0), ..Wishes::default() },
        ] {
            assert_eq!(wrong.check().unwrap_err().code, "neon-setting", "{wrong:?}");
        }
    }

    #[test]
    fn times_are_in_their_largest_whole_unit() {
        assert_eq!(
            [0, 1, 90, 3600, 21_600, 604_800].map(time_text),
            ["none", "1 second", "90 seconds", "1 hour", "6 hours", "7 days"]
        );
    }

    #[test]
    fn the_free_plan_keeps_its_suspend() {
        let free = Limits { free: true, cu_max: Some(2.0) };
        let request = plan(&Wishes::default(), Some(&source(16, "shop", "app")), free).unwrap().request;
        let settings = request.default_endpoint_settings;
        assert_eq!((settings.suspend_timeout_seconds, settings.autoscaling_limit_max_cu), (None, Some(2.0)));
    }

    #[test]
    fn what_the_plan_refuses_is_left_out_unless_it_was_asked_for() {
        let refused = |status: u16, message: &str| {
            ApiError::Refused(Box::new(Refusal {
                doing: "x",
                status,
                code: String::new(),
                message: message.to_owned(),
                request_id: String::new(),
                retry_after: None,
            }))
        };
        let suspend = refused(422, "Suspend timeout cannot be changed on this plan");
        let plan = |wishes: &Wishes| plan(wishes, Some(&source(16, "shop", "app")), Limits::default()).unwrap();
        let free = plan(&Wishes::default());
        let (less, _) = free.without_what_is_refused(&free.request, &suspend).unwrap();
        assert_eq!(less.default_endpoint_settings.suspend_timeout_seconds, None);
        assert_eq!(free.without_what_is_refused(&less, &suspend), None, "it is left out once");
        let (less, _) = free.without_what_is_refused(&less, &refused(400, "history_retention_seconds too low")).unwrap();
        assert_eq!(less.history_retention_seconds, None);
        assert_eq!(free.without_what_is_refused(&free.request, &refused(503, "suspend")), None);
        assert_eq!(free.without_what_is_refused(&free.request, &refused(422, "name taken")), None);
        let asked = plan(&Wishes { suspend_timeout: Some(-1), ..Wishes::default() });
        assert_eq!(asked.without_what_is_refused(&asked.request, &suspend), None);
    }
}
