//! Whose key it is, and to which organisation a project would belong.

use crate::engine::report::{Exit, Report};
use crate::neon::client::Client;
use crate::neon::error::ApiError;
use crate::neon::types::{KeyKind, Organization, User};

/// Who is creating a project.
#[derive(Debug, Clone)]
pub struct Account {
    /// Whose key it is.
    pub kind: KeyKind,
    /// The person behind a personal key, if the key may see that.
    pub user: Option<User>,
    /// The organisations of that person.
    pub organizations: Vec<Organization>,
}

/// Where the project would belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrgChoice {
    /// To this organisation; to none, or to the key's own, if there is none.
    Settled(Option<Organization>),
    /// To one of these: somebody has to say.
    Ask(Vec<Organization>),
}

/// What the plan of the account allows, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Whether it is the free plan, which does not let the suspend timeout be changed.
    pub free: bool,
    /// The largest compute.
    pub cu_max: Option<f64>,
}

/// The largest compute of the free plan (Neon's plans page, 2026-07-15).
const FREE_CU_MAX: f64 = 2.0;

impl Account {
    /// Asks Neon.
    ///
    /// # Errors
    /// Any failure of a call. That a key may not see the account behind it is none: a project-scoped key is told so when it is to create.
    pub async fn look(client: &Client) -> Result<Account, ApiError> {
        let kind = client.auth().await?.kind();
        if kind == KeyKind::Organization {
            return Ok(Account { kind, user: None, organizations: Vec::new() });
        }
        let user = or_none(client.me().await)?;
        let organizations = or_none(client.organizations().await)?.unwrap_or_default();
        Ok(Account { kind, user, organizations })
    }

    /// The organisation that a project would belong to.
    ///
    /// # Errors
    /// A name that none of them has.
    pub fn organization(&self, wanted: Option<&str>) -> Result<OrgChoice, Report> {
        let Some(wanted) = wanted else {
            return Ok(match self.organizations.as_slice() {
                [] => OrgChoice::Settled(None),
                [only] => OrgChoice::Settled(Some(only.clone())),
                several => OrgChoice::Ask(several.to_vec()),
            });
        };
        let is_it = |org: &&Organization| org.id == wanted || org.name == wanted;
        let mut found = self.organizations.iter().filter(is_it);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(OrgChoice::Settled(Some(one.clone()))),
            (None, _) if self.organizations.is_empty() => {
                let id = wanted.to_owned();
                Ok(OrgChoice::Settled(Some(Organization { id, ..Organization::default() })))
            }
            _ => Err(Report::new("neon-org-unknown", Exit::Usage, format!("The API key sees no single organization {wanted}."))
                .with_fix(format!("Name one of these by its id:\n{}", list(&self.organizations)))),
        }
    }

    /// What the plan allows for projects of an organisation, or of nobody's.
    pub fn limits(&self, org: Option<&Organization>) -> Limits {
        let is_free = |plan: &str| plan.to_ascii_lowercase().starts_with("free");
        match (org, &self.user) {
            (Some(org), _) => {
                let free = is_free(&org.plan);
                Limits { free, cu_max: free.then_some(FREE_CU_MAX) }
            }
            (None, Some(user)) => {
                let cu_max = Some(user.max_autoscaling_limit).filter(|limit| *limit > 0.0);
                Limits { free: is_free(&user.plan), cu_max }
            }
            (None, None) => Limits::default(),
        }
    }
}

/// What is told when somebody has to say which organisation is meant.
pub fn org_needed(organizations: &[Organization]) -> Report {
    Report::new("neon-org-needed", Exit::Usage, "The API key belongs to a person with several organizations, and none was named.")
        .with_fix(format!("Say which one the project is to belong to:\n{}", list(organizations)))
}

fn list(organizations: &[Organization]) -> String {
    let line = |org: &Organization| format!("--org {}   # {}", org.id, crate::pg::names::human_line(&org.name));
    organizations.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A key may be allowed to create, and not to see who it belongs to.
fn or_none<T>(answer: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.refusal().is_some_and(|refusal| matches!(refusal.status, 403 | 404)) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn org(id: &str, name: &str, plan: &str) -> Organization {
        Organization { id: id.to_owned(), name: name.to_owned(), plan: plan.to_owned() }
    }

    fn account(organizations: &[Organization]) -> Account {
        Account { kind: KeyKind::Personal, user: None, organizations: organizations.to_vec() }
    }

    #[test]
    fn one_organization_is_taken_and_several_are_asked_about() {
        let (a, b) = (org("org-a", "Shop", "free_v3"), org("org-b", "Shop", "scale"));
        assert_eq!(account(&[]).organization(None).unwrap(), OrgChoice::Settled(None));
        let one = account(std::slice::from_ref(&a));
        assert_eq!(one.organization(None).unwrap(), OrgChoice::Settled(Some(a.clone())));
        assert_eq!(one.organization(Some("Shop")).unwrap(), OrgChoice::Settled(Some(a.clone())));
        let both = account(&[a.clone(), b.clone()]);
        assert_eq!(both.organization(None).unwrap(), OrgChoice::Ask(vec![a, b.clone()]));
        assert_eq!(both.organization(Some("org-b")).unwrap(), OrgChoice::Settled(Some(b)));
        for wrong in ["Shop", "org-c"] {
            let report = both.organization(Some(wrong)).unwrap_err();
            assert!(report.fix.unwrap().contains("--org org-b   # Shop"));
        }
    }

    #[test]
    fn plans_limit_the_compute() {
        let user = User { plan: "free".to_owned(), max_autoscaling_limit: 2.0, ..User::default() };
        let personal = Account { user: Some(user), ..account(&[]) };
        assert_eq!(personal.limits(None), Limits { free: true, cu_max: Some(2.0) });
        assert_eq!(personal.limits(Some(&org("o", "n", "scale"))), Limits::default());
        assert_eq!(account(&[]).limits(Some(&org("o", "n", "free_v3"))), Limits { free: true, cu_max: Some(2.0) });
        assert_eq!(account(&[]).limits(None), Limits::default());
    }
}
