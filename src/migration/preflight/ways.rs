//! Which ways are open: to move the data, to stop writes at cutover, and to go back. Each with its reasons.
//!
//! A finding stands in the way of everything, or only of live replication; that is known for each ([`Finding::if_live`]). What could not
//! be looked at makes a way unknown, not open.

use super::Address;
use super::check::{Side, qualified};
use super::facts::Known;
use super::privileges::Fences;
use super::replication::LiveFitness;
use crate::engine::checkup::{Open, Outcome, Status, Way, WayKind};
use crate::engine::finding::{Finding, Severity};
use crate::migration::provider;

/// What is looked at to tell which ways are open.
pub(super) struct Ground<'a> {
    pub(super) known: &'a Known,
    pub(super) outcomes: &'a [Outcome],
    /// Nothing if the server refused to tell.
    pub(super) fences: Option<&'a Fences>,
    pub(super) source: Option<&'a Address>,
}

/// All ways.
pub(super) fn all(ground: &Ground<'_>) -> Vec<Way> {
    let mut ways = vec![ground.once(), ground.relay(), ground.subscription()];
    ways.extend(ground.fence_ways());
    ways.extend(ground.rollbacks());
    ways
}

fn way(id: &str, kind: WayKind, title: &str, open: Open, reasons: Vec<String>) -> Way {
    Way { id: id.to_owned(), kind, title: title.to_owned(), open, reasons }
}

/// `C6: The sentence.`
fn named(finding: &Finding) -> String {
    format!("{}: {}", finding.code, finding.sentence)
}

/// Codes that concern the target's own part in a native subscription, or the way of its worker.
const SUBSCRIPTION_ONLY: [&str; 2] = ["B6", "F3"];

impl Ground<'_> {
    fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.outcomes.iter().filter(|outcome| outcome.status == Status::Found).flat_map(|outcome| &outcome.findings)
    }

    /// What stands in the way of any move.
    fn obstacles(&self) -> Vec<String> {
        self.findings().filter(|found| found.if_live.is_none() && found.severity == Severity::Blocker).map(named).collect()
    }

    /// What stands in the way of live replication beside that.
    fn live_obstacles(&self) -> Vec<&Finding> {
        self.findings().filter(|found| found.if_live == Some(Severity::Blocker)).collect()
    }

    /// Checks that could not look and may hide such a thing.
    fn blind(&self, codes: &[&str]) -> Vec<String> {
        let blind = self.outcomes.iter().filter(|outcome| {
            outcome.status == Status::NotEvaluated && (codes.is_empty() || codes.contains(&outcome.code.as_str()))
        });
        blind.map(|outcome| format!("{} was not evaluated.", outcome.code)).collect()
    }

    fn once(&self) -> Way {
        let obstacles = self.obstacles();
        let title = "Copy once, with writes stopped";
        if !obstacles.is_empty() {
            return way("copy_once", WayKind::Move, title, Open::No, obstacles);
        }
        let blind = self.blind(&["C3", "C4", "C6", "I1"]);
        if !blind.is_empty() {
            return way("copy_once", WayKind::Move, title, Open::Unknown, blind);
        }
        let reason =
            "What the application writes after the copy has begun is not on the target, so writes stop for as long as it takes.";
        way("copy_once", WayKind::Move, title, Open::Yes, vec![reason.to_owned()])
    }

    /// What both live ways need.
    fn live(&self) -> (Vec<String>, Vec<String>) {
        let mut against = self.obstacles();
        let of_source = self.live_obstacles().into_iter().filter(|found| !SUBSCRIPTION_ONLY.contains(&found.code.as_str()));
        against.extend(of_source.filter(|found| found.subject != Side::Target.name()).map(named));
        let unknown = self.blind(&["C1", "C5", "B3", "B4", "B5", "F1", "F2", "F14", "F15"]);
        (against, unknown)
    }

    fn relay(&self) -> Way {
        let title = "Live, by a relay that reads the source and writes to the target";
        let (against, unknown) = self.live();
        let reason = "Only this program's machine has to reach both. The relay itself is not part of this version; the check tells whether the source is fit for it.";
        settle("live_relay", WayKind::Move, title, against, unknown, reason)
    }

    fn subscription(&self) -> Way {
        let title = "Live, by a subscription of the target's own";
        let (mut against, mut unknown) = self.live();
        against.extend(
            self.live_obstacles()
                .into_iter()
                .filter(|found| SUBSCRIPTION_ONLY.contains(&found.code.as_str()) || found.subject == Side::Target.name())
                .map(named),
        );
        let native = LiveFitness::of(self.outcomes).native_obstacles;
        let named_already = |code: &str| against.iter().any(|reason: &String| reason.starts_with(&format!("{code}:")));
        let more: Vec<String> = native.into_iter().filter(|code| !named_already(code)).collect();
        against.extend(more.into_iter().map(|code| format!("{code} stops the target's apply worker.")));
        match self.source {
            Some(address) if provider::is_private(&address.host) => {
                let reason = format!("{} is a private address: a target elsewhere cannot dial it.", address.host);
                let elsewhere = self.known.target.as_ref().is_none_or(|target| target.provider.is_some());
                if elsewhere { against.push(reason) } else { unknown.push(reason) }
            }
            Some(address) => unknown.push(format!(
                "The target's server itself must reach {}, port {}; only it can try.{}",
                address.host,
                address.port,
                self.known.provider.inbound.as_ref().map(|what| format!(" {what}")).unwrap_or_default()
            )),
            None => {
                unknown.push("The source is reached through a socket or a file, so its address for others is not known.".to_owned())
            }
        }
        let reason = "The target's server dials the source; neon-migrate commands prints the lines.";
        settle("live_subscription", WayKind::Move, title, against, unknown, reason)
    }

    fn fence_ways(&self) -> Vec<Way> {
        let Some(fences) = self.fences else {
            let reason = "The server did not tell what the role may do.".to_owned();
            return vec![way("fence", WayKind::Fence, "Stopping writes", Open::Unknown, vec![reason])];
        };
        let of = |id: &str, title: &str, open: bool, yes: &str, no: String| {
            let reason = if open { yes.to_owned() } else { no };
            way(id, WayKind::Fence, title, if open { Open::Yes } else { Open::No }, vec![reason])
        };
        let not_owner = "The role does not own the database.".to_owned();
        let few = |names: Vec<String>| {
            let more = names.len().saturating_sub(3);
            let shown = names[..names.len().min(3)].join(", ");
            if more > 0 { format!("{shown} and {more} more") } else { shown }
        };
        let tables = few(fences.tables_not_lockable.iter().map(|(schema, name)| qualified(schema, name)).collect());
        let roles = few(fences.roles_out_of_reach.iter().map(|role| crate::pg::names::human(role)).collect());
        vec![
            of(
                "lock_tables",
                "Lock the tables",
                fences.can_lock_tables(),
                "Writers wait, nobody is turned away, and it is undone by letting go.",
                format!("The role may not lock {tables}."),
            ),
            of(
                "refuse_connections",
                "Refuse new connections to the database",
                fences.can_refuse_connections(),
                "alter database … allow_connections false, from another database; sessions are ended beside it.",
                not_owner.clone(),
            ),
            of(
                "take_logins",
                "Take the logins away",
                fences.can_take_logins(),
                "alter role … nologin for each role but ours; an application that uses ours is not stopped by it.",
                format!("The role may not change {roles}."),
            ),
            of(
                "begin_read_only",
                "Let sessions begin read-only",
                fences.can_begin_read_only(),
                "A soft fence: a session can still choose to write.",
                not_owner,
            ),
        ]
    }

    fn rollbacks(&self) -> Vec<Way> {
        let before = way(
            "stay",
            WayKind::Rollback,
            "Stay on the source until the switch",
            Open::Yes,
            vec!["The source is only read, so until the application writes to the target nothing has to be undone.".to_owned()],
        );
        let title = "Go back after the switch, with what was written since";
        let back = match (&self.known.target, self.wal_level_of_target()) {
            (None, _) => (Open::Unknown, "It depends on the target, and none was given.".to_owned()),
            (Some(_), _) if self.known.assumed => {
                let text = "Neon must be allowed to publish (a setting of the project that cannot be taken back and restarts its computes).";
                (Open::Unknown, text.to_owned())
            }
            (Some(_), Some(true)) => {
                (Open::Yes, "The target can publish its changes back to the source: wal_level is logical there.".to_owned())
            }
            (Some(_), Some(false)) => {
                (Open::No, "The target cannot publish its changes: wal_level is not logical there (I5).".to_owned())
            }
            (Some(_), None) => (Open::Unknown, "It is not known whether the target can publish its changes.".to_owned()),
        };
        vec![before, way("reverse", WayKind::Rollback, title, back.0, vec![back.1])]
    }

    /// As I5 found it.
    fn wal_level_of_target(&self) -> Option<bool> {
        let outcome = self.outcomes.iter().find(|outcome| outcome.code == "I5")?;
        match outcome.status {
            Status::Passed => Some(true),
            Status::Found => Some(false),
            Status::NotEvaluated | Status::NotApplicable => None,
        }
    }
}

fn settle(id: &str, kind: WayKind, title: &str, against: Vec<String>, unknown: Vec<String>, reason: &str) -> Way {
    match (against.is_empty(), unknown.is_empty()) {
        (false, _) => way(id, kind, title, Open::No, against),
        (true, false) => way(id, kind, title, Open::Unknown, unknown),
        (true, true) => way(id, kind, title, Open::Yes, vec![reason.to_owned()]),
    }
}
