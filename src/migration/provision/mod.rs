//! A Neon project that fits the source: what is asked of the source and of Neon, what is proposed, and how it is created.
//!
//! The source is only read. The project's place in the state directory is made before it is created, and what is known of it is written there as
//! soon as Neon has answered: a project that nobody knows of would cost money.

pub mod account;
pub mod plan;
pub mod projects;
mod region;
pub mod report;
mod size;

pub(crate) use self::size::human as human_size;

use std::path::{Path, PathBuf};

use self::plan::Plan;
use self::projects::SavedProject;
use super::ends::{Source, in_time};
use super::error::{Error, Side};
use crate::engine::report::Report;
use crate::neon::client::Client;
use crate::neon::error::ApiError;
use crate::neon::projects::Made;
use crate::neon::types::{ConnectionUri, NewProject, Operation};
use crate::pg::conninfo::Host;

/// What the proposal depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFacts {
    /// `user@host:port/database`.
    pub label: String,
    /// The name of its host; nothing if it is reached by a socket.
    pub host: Option<String>,
    /// Its major version.
    pub major: u32,
    /// The database.
    pub database: String,
    /// Who owns it.
    pub owner: String,
    /// How large it is on its disk; nothing if the server does not say.
    pub bytes: Option<u64>,
}

const FACTS: &str = "select (pg_catalog.current_setting('server_version_num')::int4 / 10000)::int4, d.datname::text,
        pg_catalog.pg_get_userbyid(d.datdba)::text
    from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database()";

/// In a large catalog the files of a database are many; the size is worth a moment, but not more.
const SIZE: &str = "set local statement_timeout = '60s'; select pg_catalog.pg_database_size(pg_catalog.current_database())::text";

/// Asks the source, by one connection that can write nothing.
///
/// # Errors
/// Any failure of the source; that the size cannot be told is none.
pub async fn ask(source: &Source) -> Result<SourceFacts, Error> {
    let doing = "asking for the database's version, owner and size";
    let failed = |error: tokio_postgres::Error| Side::Source.failed(doing, error);
    let client = source.sql().await?;
    in_time(Side::Source, doing, async {
        client.batch_execute("begin read only").await.map_err(failed)?;
        let row = client.query_one(FACTS, &[]).await.map_err(failed)?;
        let major: i32 = row.try_get(0).map_err(failed)?;
        let sized = client.simple_query(SIZE).await.unwrap_or_default();
        let bytes = sized.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
        Ok(SourceFacts {
            label: source.info().label(),
            host: source.info().endpoints().iter().find_map(|endpoint| match &endpoint.host {
                Host::Name(name) => Some(name.clone()),
                Host::Socket(_) => None,
            }),
            major: major.unsigned_abs(),
            database: row.try_get(1).map_err(failed)?,
            owner: row.try_get(2).map_err(failed)?,
            bytes,
        })
    })
    .await
}

/// What is to be created, and where it is kept.
#[derive(Debug)]
pub struct Order<'a> {
    /// The way to Neon.
    pub client: &'a Client,
    /// The project.
    pub plan: &'a Plan,
    /// The root of the state directory.
    pub root: &'a Path,
    /// Whether the connection string is kept with its password.
    pub keep_password: bool,
}

/// What is told while it is created.
#[derive(Debug)]
pub enum Told<'a> {
    /// A sentence that deserves attention.
    Notice(String),
    /// Neon has created it, and makes it ready by so many operations.
    Created(&'a SavedProject, usize),
    /// A state of an operation that is new.
    Operation(&'a Operation),
}

/// Takes what is told.
pub type Tell<'a> = &'a mut (dyn FnMut(Told<'_>) + Send);

/// A project that is ready.
#[derive(Debug)]
pub struct Provisioned {
    /// What was saved of it.
    pub saved: SavedProject,
    /// How to connect, with the password.
    pub uri: ConnectionUri,
    /// The file with the connection string and its password, if it was to be kept.
    pub connection_file: Option<PathBuf>,
    /// What was created in the end: without what the plan of the account does not allow.
    pub request: NewProject,
}

/// Creates the project and waits until it can be used.
///
/// # Errors
/// What Neon refuses, what fails on the way, a wish to stop; a state directory that cannot be written. A report says so if the project is there
/// although something failed.
pub async fn create(order: &Order<'_>, tell: Tell<'_>) -> Result<Provisioned, Report> {
    let folder = projects::prepare(order.root)?;
    let (made, request) = order.send(tell).await?;
    for other in &made.others {
        tell(Told::Notice(format!(
            "Another new project has the same name: {}. An earlier call, whose answer was lost, may have made it; delete it in Neon's console if \
             it is not yours.",
            other.id
        )));
    }
    let mut saved = SavedProject::new(&made.project, &request, order.plan.source.clone());
    let known = saved.id.clone();
    let after = |report: Report| report::after_creation(report, &known);
    projects::save(&folder, &saved).map_err(after)?;
    let uri = order.finish(&made, &saved, tell).await.map_err(|error| after(report::of(&error)))?;
    saved.ready(&uri).map_err(after)?;
    projects::save(&folder, &saved).map_err(after)?;
    let connection_file =
        order.keep_password.then(|| projects::keep_connection(&folder, &saved.id, &uri)).transpose().map_err(after)?;
    Ok(Provisioned { saved, uri, connection_file, request })
}

impl Order<'_> {
    /// Sends the request; what the account's plan refuses, and nobody has asked for, is left out.
    async fn send(&self, tell: Tell<'_>) -> Result<(Made, NewProject), Report> {
        let mut request = self.plan.request.clone();
        loop {
            let error = match self.client.create_project(&request).await {
                Ok(made) => return Ok((made, request)),
                Err(error) => error,
            };
            match self.plan.without_what_is_refused(&request, &error) {
                Some((less, sentence)) => {
                    tell(Told::Notice(sentence));
                    request = less;
                }
                None => return Err(report::of(&error)),
            }
        }
    }

    /// Waits for the operations, and gives the connection string.
    async fn finish(&self, made: &Made, saved: &SavedProject, tell: Tell<'_>) -> Result<ConnectionUri, ApiError> {
        let operations = match &made.answer {
            Some(answer) => answer.operations.clone(),
            None => self.client.operations(&made.project.id).await?,
        };
        tell(Told::Created(saved, operations.len()));
        self.client.wait_for(operations, &mut |operation| tell(Told::Operation(operation))).await?;
        match made.answer.as_ref().and_then(|answer| answer.connection_uris.first()) {
            Some(connection) => Ok(connection.connection_uri.clone()),
            None => self.client.connection_uri(&saved.id, &saved.database, &saved.role).await,
        }
    }
}
