//! What a project consists of: branches, computes, roles, databases, and how to connect.

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::client::{Call, Client};
use super::error::ApiError;
use super::types::{Branch, ConnectionUri, Database, Endpoint, EndpointSettings, Operation, Role};

/// The answer to a change: what was changed, and what Neon still has to do.
#[derive(Debug, Clone, Deserialize)]
pub struct Changed<T> {
    /// What was changed.
    #[serde(alias = "endpoint", alias = "role", alias = "database")]
    pub changed: T,
    /// What Neon still has to do.
    #[serde(default)]
    pub operations: Vec<Operation>,
}

impl Client {
    /// A project's branches.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn branches(&self, project: &str) -> Result<Vec<Branch>, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            branches: Vec<Branch>,
        }
        let answer: Answer = self.call(Call::get("listing branches", &["projects", project, "branches"])).await?;
        Ok(answer.branches)
    }

    /// A project's computes.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn endpoints(&self, project: &str) -> Result<Vec<Endpoint>, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            endpoints: Vec<Endpoint>,
        }
        let answer: Answer = self.call(Call::get("listing computes", &["projects", project, "endpoints"])).await?;
        Ok(answer.endpoints)
    }

    /// Changes a compute; another size restarts it.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn update_endpoint(
        &self,
        project: &str,
        endpoint: &str,
        settings: &EndpointSettings,
    ) -> Result<Changed<Endpoint>, ApiError> {
        let path = ["projects", project, "endpoints", endpoint];
        self.call(Call::new(Method::PATCH, "changing a compute", &path).body(json!({ "endpoint": settings }))).await
    }

    /// Wakes a compute up.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn start_endpoint(&self, project: &str, endpoint: &str) -> Result<Changed<Endpoint>, ApiError> {
        let path = ["projects", project, "endpoints", endpoint, "start"];
        self.call(Call::new(Method::POST, "starting a compute", &path)).await
    }

    /// A branch's roles.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn roles(&self, project: &str, branch: &str) -> Result<Vec<Role>, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            roles: Vec<Role>,
        }
        let path = ["projects", project, "branches", branch, "roles"];
        let answer: Answer = self.call(Call::get("listing roles", &path)).await?;
        Ok(answer.roles)
    }

    /// Makes a role; the answer holds its password. Connections of the compute may be dropped.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn create_role(&self, project: &str, branch: &str, name: &str) -> Result<Changed<Role>, ApiError> {
        let path = ["projects", project, "branches", branch, "roles"];
        self.call(Call::new(Method::POST, "creating a role", &path).body(json!({ "role": { "name": name } }))).await
    }

    /// A branch's databases.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn databases(&self, project: &str, branch: &str) -> Result<Vec<Database>, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            databases: Vec<Database>,
        }
        let path = ["projects", project, "branches", branch, "databases"];
        let answer: Answer = self.call(Call::get("listing databases", &path)).await?;
        Ok(answer.databases)
    }

    /// Makes a database for a role that is there.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn create_database(
        &self,
        project: &str,
        branch: &str,
        name: &str,
        owner: &str,
    ) -> Result<Changed<Database>, ApiError> {
        let path = ["projects", project, "branches", branch, "databases"];
        let body = json!({ "database": { "name": name, "owner_name": owner } });
        self.call(Call::new(Method::POST, "creating a database", &path).body(body)).await
    }

    /// The string for direct connections to a database, with the role's password.
    ///
    /// # Errors
    /// Any failure of the call; a password that Neon does not store.
    pub async fn connection_uri(&self, project: &str, database: &str, role: &str) -> Result<ConnectionUri, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            uri: ConnectionUri,
        }
        let path = ["projects", project, "connection_uri"];
        let call = Call::get("asking for the connection string", &path)
            .query("database_name", database)
            .query("role_name", role)
            .query("pooled", "false");
        let answer: Answer = self.call(call).await?;
        Ok(answer.uri)
    }
}
