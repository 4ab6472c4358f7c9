//! Projects, and how one of them is created exactly once.
//!
//! The API knows no key that would make a repeated creation harmless, and names are not unique. So the projects that bear the name are listed
//! before the call, and after an answer that was lost they are listed again: one that was not there before, with the same name,
//! region and version, is ours; if there is none, the call was not carried out and is made once more. Which projects are new is told by
//! their ids and not by the time of their creation, because this machine's clock may be wrong. A creation may still be under way while we
//! look, so that we look several times before we conclude that there was none.

use std::collections::BTreeSet;

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::client::{Call, Client};
use super::error::{ApiError, CREATING, Way};
use super::types::{Created, NewProject, Operation, Project, ProjectUpdate};

/// As many projects as the API gives at once.
const PAGE: &str = "400";
/// No list goes on for longer: 10,000 projects of one name are nobody's.
const PAGES_MAX: usize = 25;
/// How often we look for a project whose creation was not answered.
const LOOKS: u32 = 4;
/// How often a creation is sent at most when its answer is lost, and when the API has no capacity.
const CREATIONS: (u32, u32) = (2, 4);

/// A project that was created.
#[derive(Debug)]
pub struct Made {
    /// The project.
    pub project: Project,
    /// The answer to the creation; nothing if it was lost and the project was found by looking.
    pub answer: Option<Box<Created>>,
    /// Other new projects of the same name: an earlier call, whose answer was lost, may have made them after we had looked.
    pub others: Vec<Project>,
}

/// A project as it is after a change, and what Neon still has to do.
#[derive(Debug, Deserialize)]
pub struct Updated {
    /// The project.
    pub project: Project,
    /// What Neon still has to do.
    #[serde(default)]
    pub operations: Vec<Operation>,
}

impl Client {
    /// The projects whose name or id holds `search`.
    ///
    /// # Errors
    /// Any failure of a call.
    pub async fn projects(&self, search: &str, org: Option<&str>) -> Result<Vec<Project>, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            projects: Vec<Project>,
            #[serde(default)]
            pagination: Option<Pagination>,
        }
        #[derive(Deserialize)]
        struct Pagination {
            #[serde(default)]
            cursor: Option<String>,
        }
        let mut found = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut call = Call::get("listing projects", &["projects"]).query("limit", PAGE).query("search", search);
            if let Some(org) = org {
                call = call.query("org_id", org);
            }
            if let Some(cursor) = &cursor {
                call = call.query("cursor", cursor);
            }
            let answer: Answer = self.call(call).await?;
            let next = answer.pagination.and_then(|pagination| pagination.cursor).filter(|next| !next.is_empty());
            let is_last = answer.projects.is_empty() || next.is_none() || next == cursor;
            found.extend(answer.projects);
            if is_last {
                break;
            }
            cursor = next;
        }
        Ok(found)
    }

    /// A project.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn project(&self, id: &str) -> Result<Project, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            project: Project,
        }
        let answer: Answer = self.call(Call::get("looking at the project", &["projects", id])).await?;
        Ok(answer.project)
    }

    /// Changes a project.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn update_project(&self, id: &str, update: &ProjectUpdate) -> Result<Updated, ApiError> {
        let path = ["projects", id];
        self.call(Call::new(Method::PATCH, "changing the project", &path).body(json!({ "project": update }))).await
    }

    /// Deletes a project, with everything in it.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn delete_project(&self, id: &str) -> Result<(), ApiError> {
        let path = ["projects", id];
        self.call::<serde_json::Value>(Call::new(Method::DELETE, "deleting the project", &path)).await.map(drop)
    }

    /// Creates a project, once, whatever is lost on the way.
    ///
    /// # Errors
    /// A refusal; any failure of a call; [`ApiError::Lost`] if it cannot be told whether the project was created, [`ApiError::Ambiguous`] if it
    /// cannot be told which one it is.
    pub async fn create_project(&self, new: &NewProject) -> Result<Made, ApiError> {
        let before: BTreeSet<String> = self.like(new).await?.into_iter().map(|project| project.id).collect();
        let mut sent = 1;
        loop {
            let call = Call { looks: true, ..Call::new(Method::POST, CREATING, &["projects"]) };
            let lost = match self.call::<Created>(call.body(json!({ "project": new }))).await {
                Ok(answer) => return self.answered(new, &before, answer, sent).await,
                Err(error) if error.is_uncertain() => error,
                Err(error) => return Err(error),
            };
            let creations_max = if lost.is_refused_for_now() { CREATIONS.1 } else { CREATIONS.0 };
            let mut found = match self.look(new, &before).await {
                Ok(found) => found,
                // Nobody knows now; why the creation failed says more than why the looking did.
                Err(_) => return Err(as_lost(lost)),
            };
            match (found.pop(), found.is_empty()) {
                (Some(project), true) => return Ok(Made { project, answer: None, others: Vec::new() }),
                (Some(last), false) => {
                    let ids = found.into_iter().chain([last]).map(|project| project.id).collect();
                    return Err(ApiError::Ambiguous { name: new.name.clone(), ids });
                }
                (None, _) if sent < creations_max => sent += 1,
                (None, _) => return Err(lost),
            }
        }
    }

    async fn answered(&self, new: &NewProject, before: &BTreeSet<String>, answer: Created, sent: u32) -> Result<Made, ApiError> {
        let project = answer.project.clone();
        let mut others = Vec::new();
        if sent > 1 {
            // The project is there; that this list fails takes nothing from it.
            others = self.appeared(new, before).await.unwrap_or_default();
            others.retain(|other| other.id != project.id);
        }
        Ok(Made { project, answer: Some(Box::new(answer)), others })
    }

    /// Looks for projects that have appeared, several times if there is none.
    async fn look(&self, new: &NewProject, before: &BTreeSet<String>) -> Result<Vec<Project>, ApiError> {
        for look in 0..LOOKS {
            let found = self.appeared(new, before).await?;
            if !found.is_empty() {
                return Ok(found);
            }
            self.pause(self.pace().poll.saturating_mul(2_u32.pow(look))).await?;
        }
        self.appeared(new, before).await
    }

    async fn appeared(&self, new: &NewProject, before: &BTreeSet<String>) -> Result<Vec<Project>, ApiError> {
        let mut found = self.like(new).await?;
        found.retain(|project| !before.contains(&project.id));
        Ok(found)
    }

    /// The projects that could be this one.
    async fn like(&self, new: &NewProject) -> Result<Vec<Project>, ApiError> {
        let mut found = self.projects(&new.name, new.org_id.as_deref()).await?;
        found.retain(|project| {
            (project.name.as_str(), project.region_id.as_str(), project.pg_version)
                == (new.name.as_str(), new.region_id.as_str(), new.pg_version)
        });
        Ok(found)
    }
}

/// The same failure, as one of which nobody knows what it did.
fn as_lost(error: ApiError) -> ApiError {
    let (detail, request_id) = match error {
        ApiError::Refused(refusal) => (format!("status {}: {}", refusal.status, refusal.message), refusal.request_id),
        ApiError::NotUnderstood { detail, request_id, .. } => (detail, request_id),
        other => return other,
    };
    ApiError::Lost { doing: CREATING, way: Way::Network, detail, request_id }
}
