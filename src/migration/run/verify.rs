//! Two databases at rest, compared, from their addresses to the verdict.

use std::path::{Path, PathBuf};

use super::{begin, default_jobs, finish, look, not_begun, tell};
use crate::engine::event::EventKind;
use crate::engine::phase::Phase;
use crate::engine::report::{Exit, Report};
use crate::engine::state;
use crate::engine::step::Cx;
use crate::migration::ends::{Source, Target};
use crate::migration::error::{Error, Side};
use crate::migration::inventory::{self, Inventory};
use crate::migration::preflight::{self, Address, Preflight, Purpose};
use crate::migration::scope::Scope;
use crate::migration::verify::{self, Method, VerifyError};
use crate::pg::names::QualifiedName;
use crate::pg::tools::Search;

/// What is asked for, beside the two ends.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which tables.
    pub scope: Scope,
    /// How tables are compared; not at all if there is none.
    pub method: Option<Method>,
    /// How many tables are compared at once; by both servers and this machine if it is not said.
    pub jobs: Option<u32>,
}

/// A comparison whose ends have been looked at.
#[derive(Debug)]
pub struct Prepared {
    source: Source,
    target: Target,
    scope: Scope,
    method: Option<Method>,
    looked: Preflight,
    dir: PathBuf,
}

/// Looks at both ends.
///
/// # Errors
/// An end that cannot be looked at.
pub async fn prepare(source: &Source, target: &Target, options: Options, root: &Path) -> Result<Prepared, Report> {
    let asked = preflight::Options {
        purpose: Purpose::Verify,
        scope: options.scope.clone(),
        jobs_wanted: options.jobs.unwrap_or_else(|| default_jobs(source, target)),
        resume: false,
        replace_target: false,
        allow_downgrade: true,
        tools: Search::default(),
        wish: preflight::Wish::Once,
        source_address: Address::of(source.info()),
        target_address: Address::of(target.info()),
        with_platform: true,
    };
    let looked = look(source, target, &asked).await?;
    let dir = state::migration_dir(root, &format!("verify {}", source.info().label()), &target.info().label());
    let (source, target) = (source.clone(), target.clone());
    Ok(Prepared { source, target, scope: options.scope, method: options.method, looked, dir })
}

impl Prepared {
    /// Opens the journal of the comparison.
    ///
    /// # Errors
    /// Another process that compares the same two; a directory that cannot be used.
    pub async fn open(&self) -> Result<Cx, Report> {
        Cx::open(&self.dir).await
    }

    /// Compares, and records how it ended.
    ///
    /// # Errors
    /// The journal cannot be written any more.
    pub async fn run(&self, cx: &Cx) -> Result<Exit, Report> {
        cx.begin_anew().await?;
        begin(cx, "verify", &self.source, &self.target).await?;
        let work = async {
            cx.phase(Phase::Preflight, tell(cx, &self.looked)).await?;
            cx.phase(Phase::Verify, self.compare(cx)).await
        };
        let result = work.await.map_err(not_begun);
        finish(cx, result).await
    }

    async fn compare(&self, cx: &Cx) -> Result<(), Error> {
        if let Some(method) = self.method {
            self.rows(cx, method).await?;
        }
        cx.safe_point()?;
        let source = self.source.sql().await?;
        let target = self.target.sql().await?;
        let on_source = Inventory::load(&source).await.map_err(|error| Side::Source.failed("listing all objects", error))?;
        let on_target = Inventory::load(&target).await.map_err(|error| Side::Target.failed("listing all objects", error))?;
        let options = inventory::Options { sequence_values: true, ..inventory::Options::default() };
        let compared = inventory::compare(&on_source, &on_target, options);
        let settled = inventory::settle(&compared, &[], options.grants);
        cx.emit(EventKind::InventoryCompared {
            objects: compared.objects,
            differences: settled.unexplained,
            explained: settled.explained,
            not_compared: compared.not_compared,
        })
        .await?;
        Ok(())
    }

    async fn rows(&self, cx: &Cx, method: Method) -> Result<(), Error> {
        let (mut source, mut target) = (Vec::new(), Vec::new());
        for _ in 0..self.looked.facts.jobs.max(1) {
            let (one, other) = tokio::try_join!(self.source.sql(), self.target.sql())?;
            source.push(one);
            target.push(other);
        }
        let include = |name: &QualifiedName| self.scope.matches(name.schema.as_str(), name.name.as_str());
        let options = verify::Options { method, include: &include, cancel: cx.stop() };
        // Verdicts come from a callback that cannot wait; their number is that of the tables.
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let compare = async {
            let result = verify::run(source, target, &options, |verdict| {
                // The receiver lives as long as this block.
                let _ = sender.send(verdict);
            })
            .await;
            drop(sender);
            result
        };
        let tell = async {
            while let Some(result) = receiver.recv().await {
                cx.emit(EventKind::TableVerified { result }).await?;
            }
            Ok::<(), Error>(())
        };
        let (compared, told) = tokio::join!(compare, tell);
        told?;
        match compared {
            Ok(_) => Ok(()),
            Err(VerifyError::Source(error)) => Err(Side::Source.failed("comparing tables", error)),
            Err(VerifyError::Target(error)) => Err(Side::Target.failed("comparing tables", error)),
            Err(VerifyError::Cancelled) => Err(Error::Interrupted),
            Err(VerifyError::NoSessions) => {
                Err(Report::new("internal", Exit::Bug, "No connection was made to compare with.").into())
            }
        }
    }
}
