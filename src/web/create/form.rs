//! What can be chosen of a project: the proposal, what somebody typed instead, and what is wrong with it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Inner;
use crate::engine::report::Report;
use crate::migration::provision::account::Limits;
use crate::migration::provision::plan::{self, Basis, MAJORS, Plan, Wishes};
use crate::neon::regions;
use crate::neon::types::{NewProject, RegionInfo};
use crate::pg::names::human_line;

/// The fields of the form, as they are sent. What is empty is as proposed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Typed {
    pub(super) name: String,
    pub(super) region: String,
    pub(super) pg_version: String,
    pub(super) org: String,
    pub(super) database: String,
    pub(super) role: String,
    pub(super) min_cu: String,
    pub(super) max_cu: String,
    pub(super) suspend: String,
    pub(super) history: String,
    /// A box that is ticked, or absent.
    pub(super) keep: Option<String>,
}

/// What is wrong, by field.
pub(super) type Errors = BTreeMap<&'static str, String>;

/// What stands in the form for a suspend timeout that is left to the account's plan.
const AS_PLANNED: &str = "plan";

impl Typed {
    /// What a proposal looks like in the form.
    pub(super) fn of(request: &NewProject) -> Typed {
        let settings = &request.default_endpoint_settings;
        let units = |units: Option<f64>| units.map(|units| units.to_string()).unwrap_or_default();
        Typed {
            name: request.name.clone(),
            region: request.region_id.clone(),
            pg_version: request.pg_version.to_string(),
            org: request.org_id.clone().unwrap_or_default(),
            database: request.branch.database_name.clone(),
            role: request.branch.role_name.clone(),
            min_cu: units(settings.autoscaling_limit_min_cu),
            max_cu: units(settings.autoscaling_limit_max_cu),
            suspend: settings.suspend_timeout_seconds.map_or(AS_PLANNED.to_owned(), |seconds| seconds.to_string()),
            history: request.history_retention_seconds.unwrap_or_default().to_string(),
            keep: None,
        }
    }

    /// Only what is not as proposed: the rest follows the proposal when that learns more. Of a range both ends count, or none.
    pub(super) fn beside(mut self, proposed: &Typed) -> Typed {
        let range_is_open = self.min_cu == proposed.min_cu && self.max_cu == proposed.max_cu;
        for (mine, theirs) in [
            (&mut self.name, &proposed.name),
            (&mut self.region, &proposed.region),
            (&mut self.pg_version, &proposed.pg_version),
            (&mut self.database, &proposed.database),
            (&mut self.role, &proposed.role),
            (&mut self.suspend, &proposed.suspend),
            (&mut self.history, &proposed.history),
        ] {
            if mine == theirs {
                mine.clear();
            }
        }
        if range_is_open {
            self.min_cu.clear();
            self.max_cu.clear();
        }
        self
    }

    /// What is shown: what was typed, or else what is proposed.
    pub(super) fn over(&self, proposed: Typed) -> Typed {
        let either = |mine: &String, theirs: String| if mine.is_empty() { theirs } else { mine.clone() };
        Typed {
            name: either(&self.name, proposed.name),
            region: either(&self.region, proposed.region),
            pg_version: either(&self.pg_version, proposed.pg_version),
            org: either(&self.org, proposed.org),
            database: either(&self.database, proposed.database),
            role: either(&self.role, proposed.role),
            min_cu: either(&self.min_cu, proposed.min_cu),
            max_cu: either(&self.max_cu, proposed.max_cu),
            suspend: either(&self.suspend, proposed.suspend),
            history: either(&self.history, proposed.history),
            keep: self.keep.clone(),
        }
    }

    /// What was asked for.
    ///
    /// # Errors
    /// What Neon never takes, by field.
    pub(super) fn wishes(&self) -> Result<Wishes, Errors> {
        let mut errors = Errors::new();
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let wishes = Wishes {
            name: text(&self.name),
            region: text(&self.region),
            pg_version: number("pg_version", &self.pg_version, &mut errors),
            database: text(&self.database),
            role: text(&self.role),
            min_cu: number("min_cu", &self.min_cu, &mut errors),
            max_cu: number("max_cu", &self.max_cu, &mut errors),
            suspend_timeout: match self.suspend.as_str() {
                AS_PLANNED => None,
                seconds => number("suspend", seconds, &mut errors),
            },
            history_retention: number("history", &self.history, &mut errors),
        };
        let only = |field, wish: Wishes, errors: &mut Errors| {
            if let Err(report) = wish.check() {
                errors.entry(field).or_insert(sentence_of(&report));
            }
        };
        only("name", Wishes { name: wishes.name.clone(), ..Wishes::default() }, &mut errors);
        only("database", Wishes { database: wishes.database.clone(), ..Wishes::default() }, &mut errors);
        only("role", Wishes { role: wishes.role.clone(), ..Wishes::default() }, &mut errors);
        only("max_cu", Wishes { min_cu: wishes.min_cu, max_cu: wishes.max_cu, ..Wishes::default() }, &mut errors);
        if errors.is_empty() { Ok(wishes) } else { Err(errors) }
    }
}

fn number<T: std::str::FromStr>(field: &'static str, text: &str, errors: &mut Errors) -> Option<T> {
    if text.is_empty() {
        return None;
    }
    let number = text.trim().parse().ok();
    if number.is_none() {
        errors.insert(field, "This is not a number that can be used here.".to_owned());
    }
    number
}

/// What is wrong, and why, without what the command line would do about it.
pub(super) fn sentence_of(report: &Report) -> String {
    std::iter::once(&report.message).chain(&report.causes).cloned().collect::<Vec<_>>().join(" ")
}

/// The proposal, before anybody has changed anything.
pub(super) fn proposal(inner: &Inner) -> Result<Plan, Report> {
    let known = inner.account.known();
    let org = known.and_then(|known| known.organization(&inner.typed.org));
    let limits = known.map_or(Limits::default(), |known| known.account.limits(org.as_ref()));
    let regions = known.map_or_else(published, |known| known.regions.clone());
    plan::make(&Basis {
        wishes: &Wishes::default(),
        source: inner.source.facts.known(),
        org: org.as_ref(),
        limits,
        regions: &regions,
    })
}

/// The regions that Neon has published: all that is known before there is a key.
fn published() -> Vec<RegionInfo> {
    let open = regions::all().iter().filter(|region| region.new_projects);
    open.map(|region| RegionInfo::new(region.id.clone(), region.name.clone())).collect()
}

/// Something to choose.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) label: String,
}

fn choice(value: impl Into<String>, label: impl Into<String>) -> Choice {
    Choice { value: value.into(), label: label.into() }
}

/// The regions, the proposed one first.
pub(super) fn region_choices(plan: &Plan) -> Vec<Choice> {
    let label = |region: &RegionInfo| match region.name.as_str() {
        "" => human_line(&region.region_id),
        name => format!("{} ({})", human_line(name), human_line(&region.region_id)),
    };
    let mut choices: Vec<Choice> = plan.regions.iter().map(|region| choice(region.region_id.clone(), label(region))).collect();
    choices.sort_by(|a, b| a.label.cmp(&b.label));
    choices.sort_by_key(|choice| choice.value != plan.request.region_id);
    choices
}

/// The majors.
pub(super) fn version_choices() -> Vec<Choice> {
    MAJORS.rev().map(|major| choice(major.to_string(), format!("Postgres {major}"))).collect()
}

/// The sizes of a compute: scaled up to 16, fixed above.
pub(super) fn size_choices() -> Vec<Choice> {
    let small = [0.25, 0.5].into_iter();
    let scaled = (1..=16).map(f64::from);
    let fixed = (18..=56).step_by(2).map(f64::from);
    small
        .chain(scaled)
        .chain(fixed)
        .map(|units| choice(units.to_string(), format!("{units} CU, about {} GB", units * 4.0)))
        .collect()
}

/// When an idle compute is suspended; a plan that decides that itself is a choice only where it is the proposal.
pub(super) fn suspend_choices(proposed: &str) -> Vec<Choice> {
    let all = [
        ("-1", "Never"),
        ("0", "After 5 minutes, Neon's default"),
        ("1800", "After 30 minutes"),
        ("3600", "After 1 hour"),
        ("21600", "After 6 hours"),
        (AS_PLANNED, "As the account's plan has it"),
    ];
    let open = all.into_iter().filter(|(value, _)| *value != AS_PLANNED || proposed == AS_PLANNED);
    open.map(|(value, label)| choice(value, label)).collect()
}

/// For how long history is kept.
pub(super) fn history_choices() -> Vec<Choice> {
    [
        ("0", "None"),
        ("3600", "1 hour"),
        ("21600", "6 hours"),
        ("86400", "1 day, Neon's default"),
        ("604800", "7 days"),
        ("2592000", "30 days"),
    ]
    .map(|(value, label)| choice(value, label))
    .into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn proposed() -> Typed {
        let plan = plan::make(&Basis {
            wishes: &Wishes::default(),
            source: None,
            org: None,
            limits: Limits::default(),
            regions: &published(),
        });
        Typed::of(&plan.unwrap().request)
    }

    #[test]
    fn what_is_left_as_proposed_is_no_wish() {
        let sent = proposed();
        assert_eq!(sent.clone().beside(&proposed()).wishes(), Ok(Wishes::default()));
        let one = Typed { name: "shop".to_owned(), max_cu: "6".to_owned(), ..sent };
        let wishes = one.beside(&proposed()).wishes().unwrap();
        let expected = Wishes { name: Some("shop".to_owned()), min_cu: Some(1.0), max_cu: Some(6.0), ..Wishes::default() };
        assert_eq!(wishes, expected, "a range is asked for as a whole");
    }

    #[test]
    fn what_neon_never_takes_is_said_at_its_field() {
        let typed = |change: fn(&mut Typed)| {
            let mut typed = Typed::default();
            change(&mut typed);
            typed.wishes().map_err(|errors| errors.into_keys().collect::<Vec<_>>())
        };
        assert_eq!(typed(|typed| typed.name = "x".repeat(65)), Err(vec!["name"]));
        assert_eq!(typed(|typed| typed.database = "postgres".to_owned()), Err(vec!["database"]));
        assert_eq!(typed(|typed| typed.role = "pg_x".to_owned()), Err(vec!["role"]));
        assert_eq!(typed(|typed| typed.pg_version = "new".to_owned()), Err(vec!["pg_version"]));
        assert_eq!(typed(|typed| typed.min_cu = "a lot".to_owned()), Err(vec!["min_cu"]));
        let range = |typed: &mut Typed| (typed.min_cu, typed.max_cu) = ("4".to_owned(), "2".to_owned());
        assert_eq!(typed(range), Err(vec!["max_cu"]));
    }

    #[test]
    fn every_proposal_can_be_chosen() {
        let proposed = proposed();
        let plan = plan::make(&Basis {
            wishes: &Wishes::default(),
            source: None,
            org: None,
            limits: Limits::default(),
            regions: &published(),
        })
        .unwrap();
        let has = |choices: Vec<Choice>, value: &str| choices.iter().any(|choice| choice.value == value);
        assert_eq!(region_choices(&plan)[0].value, proposed.region);
        assert!(has(version_choices(), &proposed.pg_version));
        assert!(has(size_choices(), &proposed.min_cu) && has(size_choices(), &proposed.max_cu));
        assert!(
            has(suspend_choices(&proposed.suspend), &proposed.suspend)
                && has(suspend_choices(AS_PLANNED), AS_PLANNED)
                && has(history_choices(), &proposed.history)
        );
    }
}
