//! What the API takes and gives, as far as it is needed here. Fields and values that are not known are accepted.

use std::fmt;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// Whose key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// A person's: it sees all organisations of that person, so that a project's must be said.
    Personal,
    /// An organisation's: its projects belong to that organisation.
    Organization,
}

/// The answer to who is calling.
#[derive(Debug, Clone, Deserialize)]
pub struct Auth {
    /// The user or the organisation.
    pub account_id: String,
    /// How the caller was known: `api_key_user`, `api_key_org`, and others that no key of a program has.
    pub auth_method: String,
}

impl Auth {
    /// Whose key it is.
    pub fn kind(&self) -> KeyKind {
        if self.auth_method == "api_key_org" { KeyKind::Organization } else { KeyKind::Personal }
    }
}

/// The person behind a personal key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct User {
    /// Its id.
    pub id: String,
    /// The plan of projects that belong to no organisation.
    pub plan: String,
    /// How many projects there may be; 0 if it is not said.
    pub projects_limit: i64,
    /// The largest compute in compute units; 0 if it is not said.
    pub max_autoscaling_limit: f64,
}

/// An organisation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Organization {
    /// Its id, such as `org-morning-bread-81040908`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its plan.
    pub plan: String,
}

/// A region in which projects can be created.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RegionInfo {
    /// Its id, such as `aws-us-east-1`.
    pub region_id: String,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// Whether it is taken where none is named.
    #[serde(default)]
    pub default: bool,
    #[serde(default)]
    geo_lat: String,
    #[serde(default)]
    geo_long: String,
}

impl RegionInfo {
    /// A region of which only id and name are known.
    pub fn new(region_id: impl Into<String>, name: impl Into<String>) -> RegionInfo {
        RegionInfo {
            region_id: region_id.into(),
            name: name.into(),
            default: false,
            geo_lat: String::new(),
            geo_long: String::new(),
        }
    }

    /// Degrees north and east; the API may leave them empty.
    pub fn position(&self) -> Option<(f64, f64)> {
        Some((self.geo_lat.trim().parse().ok()?, self.geo_long.trim().parse().ok()?))
    }
}

/// A project.
#[derive(Debug, Clone, Deserialize)]
pub struct Project {
    /// Its id.
    pub id: String,
    /// Its name; names are not unique.
    pub name: String,
    /// The region that it is in for good.
    pub region_id: String,
    /// The major version of Postgres.
    pub pg_version: u32,
    /// When it was created, by Neon's clock.
    pub created_at: Timestamp,
    /// The organisation that it belongs to.
    #[serde(default)]
    pub org_id: Option<String>,
    /// For how long history is kept, in seconds.
    #[serde(default)]
    pub history_retention_seconds: Option<u64>,
    /// How large a branch may become, in bytes; 0 or nothing where there is no limit.
    #[serde(default)]
    pub branch_logical_size_limit_bytes: Option<u64>,
}

/// A branch.
#[derive(Debug, Clone, Deserialize)]
pub struct Branch {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it is the project's main one.
    #[serde(default)]
    pub default: bool,
    /// Its size in bytes, if it was measured already.
    #[serde(default)]
    pub logical_size: Option<u64>,
}

/// A compute that serves a branch.
#[derive(Debug, Clone, Deserialize)]
pub struct Endpoint {
    /// Its id, the first label of its host.
    pub id: String,
    /// The branch.
    pub branch_id: String,
    /// The host name of direct connections.
    pub host: String,
    /// What it may do.
    #[serde(rename = "type")]
    pub kind: EndpointKind,
    /// `init`, `active`, `idle` or a state that is newer than this program.
    #[serde(default)]
    pub current_state: String,
}

/// What a compute may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointKind {
    /// Read and write.
    ReadWrite,
    /// Read only.
    ReadOnly,
    /// Something newer than this program.
    #[serde(other)]
    Other,
}

/// A role that was made by the API.
#[derive(Debug, Clone, Deserialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Its password, where the answer holds it.
    #[serde(default)]
    pub password: Option<SecretString>,
}

/// A database.
#[derive(Debug, Clone, Deserialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// The role that owns it.
    pub owner_name: String,
}

/// A piece of work that Neon does on a project.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Operation {
    /// Its id.
    pub id: String,
    /// The project.
    pub project_id: String,
    /// What it does, such as `create_compute`; new ones appear.
    pub action: String,
    /// How far it is.
    pub status: OperationStatus,
    /// How often it failed so far.
    #[serde(default)]
    pub failures_count: i64,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// When it is, or was, tried again.
    #[serde(default)]
    pub retry_at: Option<Timestamp>,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationStatus {
    /// It waits for its turn.
    Scheduling,
    /// It is at work.
    Running,
    /// It is done.
    Finished,
    /// It failed; Neon may try it again.
    Failed,
    /// It failed by a fault; Neon may try it again.
    Error,
    /// It is being cancelled.
    Cancelling,
    /// It was cancelled.
    Cancelled,
    /// It was not needed.
    Skipped,
    /// Something newer than this program.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for OperationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OperationStatus::Scheduling => "scheduling",
            OperationStatus::Running => "running",
            OperationStatus::Finished => "finished",
            OperationStatus::Failed => "failed",
            OperationStatus::Error => "error",
            OperationStatus::Cancelling => "cancelling",
            OperationStatus::Cancelled => "cancelled",
            OperationStatus::Skipped => "skipped",
            OperationStatus::Unknown => "in a state that this version does not know",
        })
    }
}

/// A connection string with its password. Neither `Debug` nor anything else shows it unasked.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct ConnectionUri(SecretString);

impl ConnectionUri {
    /// With the password, for whoever asked for it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The same without its password; nothing if it is no URI.
    pub fn without_password(&self) -> Option<String> {
        let mut url = self.url()?;
        url.set_password(None).ok()?;
        let kept: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(key, _)| !key.to_ascii_lowercase().contains("password"))
            .map(|(k, v)| (k.into(), v.into()))
            .collect();
        url.set_query(None);
        if !kept.is_empty() {
            url.query_pairs_mut().extend_pairs(kept);
        }
        Some(url.to_string())
    }

    /// The host; nothing if it is no URI.
    pub fn host(&self) -> Option<String> {
        self.url()?.host_str().map(str::to_owned)
    }

    fn url(&self) -> Option<reqwest::Url> {
        let url = reqwest::Url::parse(self.expose()).ok()?;
        matches!(url.scheme(), "postgres" | "postgresql").then_some(url)
    }
}

/// One of a new project's connection strings.
#[derive(Debug, Clone, Deserialize)]
pub struct Connection {
    /// For direct connections.
    pub connection_uri: ConnectionUri,
}

/// The answer to the creation of a project.
#[derive(Debug, Clone, Deserialize)]
pub struct Created {
    /// The project.
    pub project: Project,
    /// How to connect, with passwords.
    #[serde(default)]
    pub connection_uris: Vec<Connection>,
    /// What Neon still has to do.
    #[serde(default)]
    pub operations: Vec<Operation>,
}

/// The project to be created.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NewProject {
    /// Its name.
    pub name: String,
    /// Where.
    pub region_id: String,
    /// The major version of Postgres. Always said: what Neon takes otherwise changes.
    pub pg_version: u32,
    /// The organisation that it is to belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org_id: Option<String>,
    /// The first database and its owner.
    pub branch: NewBranch,
    /// The size of computes.
    pub default_endpoint_settings: EndpointSettings,
    /// For how long history is kept, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_retention_seconds: Option<u64>,
    /// Whether passwords can be asked for later.
    pub store_passwords: bool,
}

/// The first database and its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewBranch {
    /// The database.
    pub database_name: String,
    /// The role that owns it.
    pub role_name: String,
}

/// The size of computes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct EndpointSettings {
    /// The smallest size in compute units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_min_cu: Option<f64>,
    /// The largest size in compute units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_max_cu: Option<f64>,
    /// After how many idle seconds it is suspended; 0 is Neon's default, -1 never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend_timeout_seconds: Option<i64>,
}

/// What is to be changed about a project.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ProjectUpdate {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For how long history is kept, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_retention_seconds: Option<u64>,
    /// The size of computes that are made later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_endpoint_settings: Option<EndpointSettings>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn uri(text: &str) -> ConnectionUri {
        ConnectionUri(SecretString::from(text))
    }

    #[test]
    fn what_is_new_is_accepted() {
        let operation: Operation = serde_json::from_str(
            r#"{"id":"o","project_id":"p","action":"polish_compute","status":"dreaming","failures_count":0,"more":{"a":1}}"#,
        )
        .unwrap();
        assert_eq!((operation.action.as_str(), operation.status), ("polish_compute", OperationStatus::Unknown));
        let endpoint: Endpoint =
            serde_json::from_str(r#"{"id":"e","branch_id":"b","host":"h","type":"quantum","current_state":"foggy"}"#).unwrap();
        assert_eq!(endpoint.kind, EndpointKind::Other);
    }

    #[test]
    fn a_connection_string_is_shown_without_its_password_only() {
        let given =
            uri("postgresql://app%40x:planted%2Fsecret@ep-x.us-east-2.aws.neon.tech/a%20b?sslmode=require&channel_binding=require");
        let shown = "postgresql://app%40x@ep-x.us-east-2.aws.neon.tech/a%20b?sslmode=require&channel_binding=require";
        assert_eq!(given.without_password().as_deref(), Some(shown));
        assert_eq!(given.host().as_deref(), Some("ep-x.us-east-2.aws.neon.tech"));
        assert_eq!(uri("postgresql://h/d?password=x").without_password().as_deref(), Some("postgresql://h/d"));
        assert_eq!(uri("planted").without_password(), None);
        assert!(!format!("{given:?}").contains("planted"));
    }

    #[test]
    fn positions_may_be_missing() {
        let region: RegionInfo =
            serde_json::from_str(r#"{"region_id":"aws-x","name":"X","default":true,"geo_lat":"38.13","geo_long":"-78.45"}"#)
                .unwrap();
        assert_eq!(region.position(), Some((38.13, -78.45)));
        assert_eq!(RegionInfo::new("aws-y", "Y").position(), None);
    }
}
