//! What can be chosen for a copy, as it was typed.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::migration::run::copy::Options;
use crate::migration::schema::archive::Keep;
use crate::migration::scope::{Pattern, Scope};
use crate::migration::verify::Method;
use crate::pg::tools::Search;

/// How many patterns there may be.
const PATTERNS_MAX: usize = 1000;
/// How many jobs there may be.
const JOBS_MAX: u32 = 256;

/// The form.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Typed {
    pub method: String,
    pub jobs: String,
    pub include: String,
    pub exclude: String,
    pub keep_owners: Option<String>,
    pub keep_grants: Option<String>,
    pub replace: Option<String>,
    pub allow_downgrade: Option<String>,
    /// `copy` or `plan`.
    pub action: String,
    #[serde(skip)]
    pub errors: BTreeMap<&'static str, String>,
}

impl Typed {
    /// What is asked for; nothing if something typed cannot be, and then it is said at its field.
    pub fn options(&mut self, tools: Search) -> Option<Options> {
        self.errors.clear();
        let method = self.method();
        let jobs = self.jobs();
        let include = self.patterns("include");
        let exclude = self.patterns("exclude");
        let dry_run = self.action == "plan";
        self.errors.is_empty().then(|| Options {
            scope: Scope { include, exclude },
            keep: Keep { owners: self.keep_owners.is_some(), grants: self.keep_grants.is_some() },
            method,
            jobs,
            split_bytes: None,
            dry_run,
            resume: false,
            replace_target: self.replace.is_some() && !dry_run,
            allow_downgrade: self.allow_downgrade.is_some(),
            tools,
        })
    }

    fn method(&mut self) -> Option<Method> {
        match self.method.as_str() {
            "none" => None,
            "counts" => Some(Method::Counts),
            "strict" => Some(Method::Strict),
            _ => Some(Method::Hash),
        }
    }

    fn jobs(&mut self) -> Option<u32> {
        let typed = self.jobs.trim();
        if typed.is_empty() {
            return None;
        }
        let jobs = typed.parse().ok().filter(|jobs| (1..=JOBS_MAX).contains(jobs));
        if jobs.is_none() {
            self.errors.insert("jobs", format!("Give a whole number from 1 to {JOBS_MAX}, or leave it empty."));
        }
        jobs
    }

    fn patterns(&mut self, field: &'static str) -> Vec<Pattern> {
        let text = if field == "include" { &self.include } else { &self.exclude };
        let mut patterns = Vec::new();
        let mut error = None;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.parse::<Pattern>() {
                Ok(pattern) => patterns.push(pattern),
                Err(why) => error = error.or(Some(format!("{line}: {why}."))),
            }
        }
        if patterns.len() > PATTERNS_MAX {
            error = Some(format!("Give at most {PATTERNS_MAX} patterns; a star takes many tables at once."));
        }
        self.errors.extend(error.map(|error| (field, error)));
        patterns
    }

    /// What is wrong with a field.
    pub fn error(&self, field: &str) -> Option<&String> {
        self.errors.get(field)
    }

    /// Whether something other than the defaults was chosen.
    pub fn is_special(&self) -> bool {
        let texts = [&self.jobs, &self.include, &self.exclude];
        let ticks = [&self.keep_owners, &self.keep_grants, &self.replace, &self.allow_downgrade];
        !self.errors.is_empty() || texts.iter().any(|text| !text.trim().is_empty()) || ticks.iter().any(|tick| tick.is_some())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_typed_is_read_or_said_at_its_field() {
        let mut typed = Typed { include: "shop\n\n audit.log_* \n".to_owned(), jobs: "8".to_owned(), ..Typed::default() };
        let options = typed.options(Search::default()).unwrap();
        assert!(options.scope.matches("audit", "log_1") && !options.scope.matches("other", "t"));
        assert_eq!((options.jobs, options.method), (Some(8), Some(Method::Hash)));
        for (jobs, exclude, field) in [("0", "", "jobs"), ("many", "", "jobs"), ("", "a.b.c.d", "exclude")] {
            let mut typed = Typed { jobs: jobs.to_owned(), exclude: exclude.to_owned(), ..Typed::default() };
            assert!(typed.options(Search::default()).is_none());
            assert!(typed.error(field).is_some() && typed.is_special(), "{field}");
        }
    }

    #[test]
    fn a_plan_removes_nothing() {
        let ticked = |action: &str| Typed { replace: Some("on".to_owned()), action: action.to_owned(), ..Typed::default() };
        assert!(!ticked("plan").options(Search::default()).unwrap().replace_target);
        assert!(ticked("copy").options(Search::default()).unwrap().replace_target);
    }
}
