//! `neon-migrate verify`: two databases at rest, compared.

use super::args::{Talk, VerifyArgs};
use super::copy::{default_jobs, look, method, not_begun};
use super::ends::ends;
use super::{exit, log, render};
use crate::engine::event::EventKind;
use crate::engine::phase::Phase;
use crate::engine::report::{Exit, Report};
use crate::engine::state;
use crate::engine::step::Cx;
use crate::migration::ends::{Source, Target};
use crate::migration::error::{Error, Side};
use crate::migration::inventory::{self, Inventory};
use crate::migration::once;
use crate::migration::preflight::{self, Address, Preflight, Purpose};
use crate::migration::scope::Scope;
use crate::migration::verify::{self, Method, VerifyError};
use crate::pg::names::QualifiedName;
use crate::pg::tools::Search;

/// Runs the command.
///
/// # Errors
/// What keeps it from beginning. What happens later is told by the renderer.
pub async fn run(args: VerifyArgs, talk: &Talk) -> Result<Exit, Report> {
    let (source, target) = ends(&args.databases, args.state_dir.as_deref())?;
    let options = preflight::Options {
        purpose: Purpose::Verify,
        scope: args.selection.scope(),
        jobs_wanted: args.jobs.unwrap_or_else(|| default_jobs(&source, &target)),
        resume: false,
        replace_target: false,
        allow_downgrade: true,
        tools: Search::default(),
        wish: preflight::Wish::Once,
        source_address: Address::of(source.info()),
        target_address: Address::of(target.info()),
        with_platform: true,
    };
    let looking = render::Looking::start(talk);
    let looked = look(&source, &target, &options).await?;
    drop(looking);
    let root = state::root(args.state_dir.as_deref())?;
    let (from, to) = (source.info().label(), target.info().label());
    let dir = state::migration_dir(&root, &format!("verify {from}"), &to);
    let cx = Cx::open(&dir).await?;
    log::open(cx.dir());
    let _signals = exit::handle_signals(&cx)
        .map_err(|error| Report::new("internal", Exit::Bug, "Signals cannot be handled.").with_cause(format!("{error}.")))?;
    let renderer = render::start(&cx, talk)?;
    cx.begin_anew().await?;
    let started = EventKind::RunStarted {
        command: "verify".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        source: from,
        target: to,
    };
    cx.emit(started).await?;
    let work =
        Work { cx: &cx, source: &source, target: &target, scope: &options.scope, method: method(args.verify), looked: &looked };
    let (exit, report) = match work.run().await {
        Ok(()) => once::exit(&cx.view()?),
        Err(error) => {
            let report = not_begun(error);
            (report.exit, Some(report))
        }
    };
    cx.finish(exit, report).await?;
    renderer.finish().await;
    Ok(exit)
}

struct Work<'a> {
    cx: &'a Cx,
    source: &'a Source,
    target: &'a Target,
    scope: &'a Scope,
    method: Option<Method>,
    looked: &'a Preflight,
}

impl Work<'_> {
    async fn run(&self) -> Result<(), Error> {
        self.cx
            .phase(Phase::Preflight, async {
                for finding in &self.looked.findings {
                    self.cx.emit(EventKind::FindingRaised { finding: finding.clone() }).await?;
                }
                self.looked.refusal().map_or(Ok(()), |report| Err(Error::from(report)))
            })
            .await?;
        self.cx.phase(Phase::Verify, self.compare()).await
    }

    async fn compare(&self) -> Result<(), Error> {
        if let Some(method) = self.method {
            self.rows(method).await?;
        }
        self.cx.safe_point()?;
        let source = self.source.sql().await?;
        let target = self.target.sql().await?;
        let on_source = Inventory::load(&source).await.map_err(|error| Side::Source.failed("listing all objects", error))?;
        let on_target = Inventory::load(&target).await.map_err(|error| Side::Target.failed("listing all objects", error))?;
        let options = inventory::Options { sequence_values: true, ..inventory::Options::default() };
        let compared = inventory::compare(&on_source, &on_target, options);
        let settled = inventory::settle(&compared, &[], options.grants);
        self.cx
            .emit(EventKind::InventoryCompared {
                objects: compared.objects,
                differences: settled.unexplained,
                explained: settled.explained,
                not_compared: compared.not_compared,
            })
            .await?;
        Ok(())
    }

    async fn rows(&self, method: Method) -> Result<(), Error> {
        let (mut source, mut target) = (Vec::new(), Vec::new());
        for _ in 0..self.looked.facts.jobs.max(1) {
            let (one, other) = tokio::try_join!(self.source.sql(), self.target.sql())?;
            source.push(one);
            target.push(other);
        }
        let include = |name: &QualifiedName| self.scope.matches(name.schema.as_str(), name.name.as_str());
        let options = verify::Options { method, include: &include, cancel: self.cx.stop() };
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
                self.cx.emit(EventKind::TableVerified { result }).await?;
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
