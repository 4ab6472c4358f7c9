//! How replication stands, in sentences, and what comes next.

use std::time::Duration;

use super::look::{Look, OnSource, OnTarget, Publication, Relations, Seen, Slot, Subscription};
use crate::migration::commands::Names;
use crate::migration::provision;
use crate::pg::names::{Ident, QualifiedName, human, literal};

/// After how long a silence of the source is told. Its server says something every half minute (`wal_sender_timeout` is one minute).
const SILENCE: Duration = Duration::from_secs(60);
/// From how much lag on, in bytes, a target counts as far behind when it is asked what to do next.
const NEAR: u64 = 1 << 20;

/// How a sentence is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Under way.
    Busy,
    /// Neither good nor bad.
    Plain,
    /// Could not be seen.
    Unseen,
    /// To be looked at.
    Attention,
    /// It will not work like this.
    Bad,
}

/// Something to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// How it is meant.
    pub tone: Tone,
    /// The text.
    pub text: String,
    /// SQL that helps, if there is some.
    pub sql: Option<String>,
}

fn say(tone: Tone, text: impl Into<String>) -> Sentence {
    Sentence { tone, text: text.into(), sql: None }
}

impl Sentence {
    fn with(mut self, sql: impl Into<String>) -> Sentence {
        self.sql = Some(sql.into());
        self
    }
}

/// Where the whole stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A side could not be looked at, or not enough of it.
    Unknown,
    /// Nothing of it is there.
    Nothing,
    /// There is a publication, and no subscription.
    Published,
    /// Tables are being copied.
    Copying,
    /// All tables follow the source.
    Following,
    /// It does not go on without help.
    Broken,
    /// Something is left of it, and no subscription.
    LeftOver,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// Where it stands.
    pub stage: Stage,
    /// The step of [`commands`](crate::migration::commands) that comes next, by its id.
    pub step: Option<&'static str>,
    /// The same in words.
    pub text: String,
}

/// How far the target is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    /// There is no slot to be behind with.
    None,
    /// It could not be seen.
    Unseen,
    /// What the target needs is gone.
    Lost,
    /// So many bytes of WAL.
    Bytes(u64),
}

impl Lag {
    /// In words, such as `12.0 MiB behind`.
    pub fn words(self) -> String {
        match self {
            Lag::None => "nothing to follow yet".to_owned(),
            Lag::Unseen => "not seen".to_owned(),
            Lag::Lost => "lost".to_owned(),
            Lag::Bytes(0) => "caught up".to_owned(),
            Lag::Bytes(bytes) => format!("{} behind", amount(bytes)),
        }
    }
}

/// A size for people.
fn amount(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        0..1024 => format!("{bytes} bytes"),
        _ => provision::human_size(bytes),
    }
}

fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0 => "less than a second".to_owned(),
        1 => "1 second".to_owned(),
        s @ 2..120 => format!("{s} seconds"),
        s => format!("{} minutes", s / 60),
    }
}

fn tables(n: u64) -> String {
    if n == 1 { "1 table".to_owned() } else { format!("{n} tables") }
}

fn list(names: &[QualifiedName], total: u64) -> String {
    let mut words: Vec<String> = names.iter().map(QualifiedName::human).collect();
    if total > names.len() as u64 {
        words.push(format!("and {} more", total - names.len() as u64));
    }
    words.join(", ")
}

impl Look {
    fn subscription(&self) -> Option<&Subscription> {
        self.target.as_ref().ok()?.subscription.seen()?.as_ref()
    }

    fn publication(&self) -> Option<&Publication> {
        self.source.as_ref().ok()?.publication.seen()?.as_ref()
    }

    fn relations(&self) -> Option<&Relations> {
        self.subscription()?.relations.seen()
    }

    /// How far the target is behind.
    pub fn lag(&self) -> Lag {
        match self.source.as_ref().map(|source| &source.slot) {
            Err(_) | Ok(Seen::NotSeen) => Lag::Unseen,
            Ok(Seen::Seen(None)) => Lag::None,
            Ok(Seen::Seen(Some(slot))) if slot.is_lost() => Lag::Lost,
            Ok(Seen::Seen(Some(slot))) => slot.lag_bytes.map_or(Lag::Unseen, Lag::Bytes),
        }
    }

    /// What there is to know about the source.
    pub fn about_source(&self) -> Vec<Sentence> {
        let Ok(source) = &self.source else { return Vec::new() };
        let mut said = vec![publication(&self.names, source)];
        said.extend(slot(&self.names, source, self.subscription().is_some()));
        said.extend(self.about_sync_slots(source));
        said.extend(idle(source));
        said.extend(others_on_source(source));
        said
    }

    /// Slots of tables that are, or were, being copied. Their names say to which target they belong.
    fn about_sync_slots(&self, source: &OnSource) -> Option<Sentence> {
        let cluster = self.target.as_ref().ok()?.cluster.seen()?;
        let ours: Vec<&str> =
            source.sync_slots.seen()?.iter().filter(|slot| slot.cluster == *cluster).map(|slot| slot.name.as_str()).collect();
        match (ours.len(), self.subscription()) {
            (0, _) => None,
            (n, Some(_)) => {
                let slots = if n == 1 {
                    "1 more slot belongs to a table that is".to_owned()
                } else {
                    format!("{n} more slots belong to tables that are")
                };
                Some(say(Tone::Plain, format!("{slots} being copied.")))
            }
            (n, None) => {
                let what = if n == 1 {
                    "A slot of a table that was being copied is".to_owned()
                } else {
                    format!("{n} slots of tables that were being copied are")
                };
                let drop = |name: &&str| format!("select pg_catalog.pg_drop_replication_slot({});", literal(name));
                let sql: Vec<String> = ours.iter().map(drop).collect();
                Some(
                    say(Tone::Attention, format!("{what} left, and no subscription needs it. It keeps WAL; drop it."))
                        .with(sql.join("\n")),
                )
            }
        }
    }

    /// What there is to know about the target.
    pub fn about_target(&self) -> Vec<Sentence> {
        let Ok(target) = &self.target else { return Vec::new() };
        let mut said = subscription(&self.names, target);
        if matches!(target.subscription, Seen::Seen(None)) {
            said.push(definitions(target));
        }
        said.extend(self.unknown_tables());
        if let Some(n @ 1..) = target.others.seen() {
            said.push(say(
                Tone::Plain,
                format!("The target has {} that {} not ours.", subscriptions(*n), if *n == 1 { "is" } else { "are" }),
            ));
        }
        said
    }

    /// What is seen of what a step of the commands does, by its id; nothing of steps that leave nothing to see.
    pub fn about_step(&self, id: &str) -> Vec<Sentence> {
        match id {
            "live-1-publication" => self.source.iter().map(|source| publication(&self.names, source)).collect(),
            "live-2-schema" => self.target.iter().map(definitions).collect(),
            "live-3-subscription" => self.target.iter().flat_map(|target| subscription(&self.names, target)).take(1).collect(),
            "live-4-progress" => {
                let slots = self.source.iter().flat_map(|source| slot(&self.names, source, self.subscription().is_some()));
                let tables = self.relations().map(about_relations);
                tables.into_iter().chain(slots).chain(self.unknown_tables()).collect()
            }
            "live-5-drain" => vec![self.about_lag()],
            "live-9-nothing-left" => self.about_left(),
            _ => Vec::new(),
        }
    }

    /// How far the target is behind.
    fn about_lag(&self) -> Sentence {
        match self.lag() {
            Lag::None => say(Tone::Plain, "There is nothing to wait for yet."),
            Lag::Unseen => say(Tone::Unseen, "How far the target is behind is not known."),
            Lag::Lost => say(Tone::Bad, "The slot is lost: the target cannot catch up."),
            Lag::Bytes(0) => say(Tone::Good, "The target has caught up with everything that was written until now."),
            lag => say(Tone::Busy, format!("The target is {}.", lag.words())),
        }
    }

    fn about_left(&self) -> Vec<Sentence> {
        let there = |seen: Option<bool>, what: &str| match seen {
            None => say(Tone::Unseen, format!("Whether the {what} is there is not known.")),
            Some(false) => say(Tone::Good, format!("0 {what}s left.")),
            Some(true) => say(Tone::Plain, format!("The {what} is there.")),
        };
        let source = self.source.as_ref().ok();
        let target = self.target.as_ref().ok();
        vec![
            there(target.and_then(|target| target.subscription.seen()).map(Option::is_some), "subscription"),
            there(source.and_then(|source| source.slot.seen()).map(|slot| slot.as_ref().is_some_and(|slot| slot.is_here)), "slot"),
            there(source.and_then(|source| source.publication.seen()).map(Option::is_some), "publication"),
        ]
    }

    /// Tables that were published after the subscription was made.
    fn unknown_tables(&self) -> Option<Sentence> {
        let (published, relations) = (self.publication()?.tables, self.relations()?);
        let n = published.checked_sub(relations.total()).filter(|n| *n > 0)?;
        let text = format!("{} published, and the subscription does not know {}.", tables(n), if n == 1 { "it" } else { "them" });
        Some(
            say(Tone::Attention, text)
                .with(format!("alter subscription {} refresh publication;", Ident::new(&self.names.subscription))),
        )
    }

    /// What keeps it from going on, if anything does.
    fn obstacle(&self) -> Option<&'static str> {
        let (subscription, source) = (self.subscription()?, self.source.as_ref().ok()?);
        match &source.slot {
            Seen::Seen(Some(slot)) if slot.is_lost() => {
                return Some(
                    "The WAL that the target needs is gone. Turn replication off, empty the tables of the target, and begin again with the publication.",
                );
            }
            Seen::Seen(None) if subscription.slot.is_some() => {
                return Some(
                    "The slot is gone from the source, so the subscription cannot go on. Turn replication off, empty the tables of the target, and begin again.",
                );
            }
            _ => (),
        }
        if source.publication.seen().is_some_and(Option::is_none) {
            return Some(
                "The publication is gone from the source. Create it again with the same tables; its statement is the first of the commands.",
            );
        }
        if !subscription.enabled {
            return Some("The subscription is turned off. Turn it on again, or turn replication off for good.");
        }
        if subscription.worker.seen().is_some_and(|worker| !worker.runs) {
            return Some(
                "The subscription's worker does not run. If that stays so, the target's log says why: most often the target cannot reach the source, or a row could not be applied.",
            );
        }
        None
    }

    /// What to do next.
    pub fn next(&self) -> Next {
        let next = |stage, step, text: &str| Next { stage, step, text: text.to_owned() };
        let (Ok(source), Ok(target)) = (&self.source, &self.target) else {
            return next(Stage::Unknown, None, "One side could not be looked at. It is tried again.");
        };
        let (Seen::Seen(subscription), Seen::Seen(slot), Seen::Seen(publication)) =
            (&target.subscription, &source.slot, &source.publication)
        else {
            return next(Stage::Unknown, None, "Not everything could be seen with these roles; what was seen is below.");
        };
        if subscription.is_some() {
            return self.next_with_subscription();
        }
        match (publication, slot) {
            (_, Some(_)) => next(
                Stage::LeftOver,
                None,
                "The slot is on the source, and no subscription of this target uses it. It keeps WAL until the source's disk is full: turn replication off.",
            ),
            (None, None) => next(
                Stage::Nothing,
                Some("live-1-publication"),
                "Nothing is set up yet. It begins with the publication, on the source.",
            ),
            (Some(_), None) if target.tables == 0 => next(
                Stage::Published,
                Some("live-2-schema"),
                "The tables are published. Next, create the definitions on the target.",
            ),
            (Some(_), None) => next(
                Stage::Published,
                Some("live-3-subscription"),
                "The tables are published, and the target has tables. Next, subscribe, on the target.",
            ),
        }
    }

    fn next_with_subscription(&self) -> Next {
        let next = |stage, step, text: String| Next { stage, step, text };
        if let Some(obstacle) = self.obstacle() {
            return next(Stage::Broken, None, obstacle.to_owned());
        }
        let Some(relations) = self.relations() else {
            return next(Stage::Unknown, None, "How far the tables are may not be seen with this role.".to_owned());
        };
        if relations.unready() > 0 {
            let text = format!(
                "{} of {} being copied or catching up. Wait; nothing has to be done until all are ready.",
                relations.unready(),
                if relations.total() == 1 { "1 table is".to_owned() } else { format!("{} tables are", relations.total()) }
            );
            return next(Stage::Copying, Some("live-4-progress"), text);
        }
        match self.lag() {
            Lag::Bytes(bytes) if bytes > NEAR => next(
                Stage::Following,
                Some("live-4-progress"),
                format!("All tables are copied, and the target is {} behind. Wait until it is near.", amount(bytes)),
            ),
            lag => next(
                Stage::Following,
                Some("live-5-drain"),
                format!(
                    "All tables follow the source ({}). When you are ready to switch, stop everything that writes to the source, and wait for the last changes.",
                    lag.words()
                ),
            ),
        }
    }
}

fn publication(names: &Names, source: &OnSource) -> Sentence {
    let name = human(&names.publication);
    match &source.publication {
        Seen::NotSeen => say(Tone::Unseen, "The role may not see publications, so whether ours is there is not known."),
        Seen::Seen(None) => say(Tone::Plain, format!("The publication {name} is not there.")),
        Seen::Seen(Some(found)) if found.tables == 0 => {
            say(Tone::Attention, format!("The publication {name} is there, and has no table."))
        }
        Seen::Seen(Some(found)) => say(Tone::Good, format!("The publication {name} has {}.", tables(found.tables))),
    }
}

fn slot(names: &Names, source: &OnSource, subscribed: bool) -> Vec<Sentence> {
    let name = human(&names.subscription);
    let slot = match &source.slot {
        Seen::NotSeen => return vec![say(Tone::Unseen, "The role may not see replication slots, so the lag is not known.")],
        Seen::Seen(None) => return vec![say(Tone::Plain, format!("The slot {name} is not there."))],
        Seen::Seen(Some(slot)) => slot,
    };
    if !slot.is_here {
        return vec![say(
            Tone::Attention,
            format!("A slot named {name} is there, and belongs to another database. It is left alone."),
        )];
    }
    if slot.is_lost() {
        let why = slot.invalid.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
        return vec![say(
            Tone::Bad,
            format!("The slot {name} is lost{why}: the WAL that the target needs was removed, and replication has to begin again."),
        )];
    }
    let mut said = vec![match (slot.active, subscribed) {
        (true, _) => say(Tone::Good, format!("The target is connected to the slot {name}.")),
        (false, true) => say(Tone::Attention, format!("The slot {name} is there, and the target is not connected to it.")),
        (false, false) => say(Tone::Attention, format!("The slot {name} is there, and nobody is connected to it.")),
    }];
    said.extend(sender(slot));
    if let Some(kept) = slot.kept_bytes {
        let tone = if slot.wal_status.as_deref() == Some("unreserved") { Tone::Bad } else { Tone::Plain };
        let limit = match (tone, slot.safe_bytes) {
            (Tone::Bad, _) => {
                " The server is about to remove it: let the target catch up now, or raise max_slot_wal_keep_size.".to_owned()
            }
            (_, Some(safe)) => format!(" After {} more the server would give the slot up.", amount(safe)),
            (_, None) => " There is no limit but the disk.".to_owned(),
        };
        said.push(say(tone, format!("It keeps {} of WAL on the source's disk.{limit}", amount(kept))));
    }
    said
}

fn sender(slot: &Slot) -> Option<Sentence> {
    match &slot.sender {
        Seen::NotSeen => Some(say(Tone::Unseen, "What its sender does may not be seen with this role (pg_monitor may).")),
        Seen::Seen(None) => None,
        Seen::Seen(Some(sender)) => {
            let what = match sender.state.as_str() {
                "streaming" => "sends changes as they happen".to_owned(),
                "catchup" => "sends what was written before, and is not at the end yet".to_owned(),
                other => format!("is in the state {}", human(other)),
            };
            let lag = sender
                .replay_lag
                .map_or_else(String::new, |lag| format!("; the target confirms what it applied after {}", seconds(lag)));
            Some(say(Tone::Plain, format!("The source {what}{lag}.")))
        }
    }
}

fn idle(source: &OnSource) -> Vec<Sentence> {
    let Seen::Seen(idle) = &source.idle_slots else { return Vec::new() };
    let told = idle.iter().map(|(name, kept)| {
        let kept = kept.map_or_else(String::new, |kept| format!(" and keeps {} of WAL", amount(kept)));
        let text = format!(
            "Another slot of this database, {}, has nobody connected{kept}. It is left alone; if nobody needs it any more, drop it.",
            human(name)
        );
        say(Tone::Attention, text).with(format!("select pg_catalog.pg_drop_replication_slot({});", literal(name)))
    });
    told.collect()
}

fn others_on_source(source: &OnSource) -> Option<Sentence> {
    let count = |seen: &Seen<u64>| seen.seen().copied().unwrap_or(0);
    let (publications, slots) = (count(&source.other_publications), count(&source.other_slots));
    let mut what = Vec::new();
    if publications > 0 {
        what.push(if publications == 1 { "1 other publication".to_owned() } else { format!("{publications} other publications") });
    }
    if slots > 0 {
        what.push(if slots == 1 { "1 other slot".to_owned() } else { format!("{slots} other slots") });
    }
    (!what.is_empty()).then(|| say(Tone::Plain, format!("The source has {}. What is not ours is left alone.", what.join(" and "))))
}

fn subscriptions(n: u64) -> String {
    if n == 1 { "1 other subscription".to_owned() } else { format!("{n} other subscriptions") }
}

fn definitions(target: &OnTarget) -> Sentence {
    match target.tables {
        0 => say(Tone::Plain, "The target has no tables yet."),
        n => say(Tone::Plain, format!("The target has {}.", tables(n))),
    }
}

fn subscription(names: &Names, target: &OnTarget) -> Vec<Sentence> {
    match &target.subscription {
        Seen::NotSeen => vec![say(Tone::Unseen, "The role may not see subscriptions, so whether ours is there is not known.")],
        Seen::Seen(None) => vec![say(Tone::Plain, format!("The subscription {} is not there.", human(&names.subscription)))],
        Seen::Seen(Some(found)) => about_subscription(names, found),
    }
}

fn about_subscription(names: &Names, subscription: &Subscription) -> Vec<Sentence> {
    let name = human(&names.subscription);
    let mut said = vec![match (subscription.enabled, &subscription.worker) {
        (false, _) => say(Tone::Attention, format!("The subscription {name} is there, and turned off."))
            .with(format!("alter subscription {} enable;", Ident::new(&names.subscription))),
        (true, Seen::NotSeen) => say(
            Tone::Unseen,
            format!("The subscription {name} is turned on; whether its worker runs may not be seen with this role."),
        ),
        (true, Seen::Seen(worker)) if worker.runs => {
            say(Tone::Good, format!("The subscription {name} is turned on, and its worker runs."))
        }
        (true, Seen::Seen(_)) => {
            say(Tone::Bad, format!("The subscription {name} is turned on, and its worker does not run at the moment."))
        }
    }];
    if subscription.slot.is_none() {
        said.push(say(Tone::Attention, "It has let go of its slot: it was turned off half-way. Go on with turning it off."));
    }
    if subscription.publications != [names.publication.clone()] {
        said.push(say(Tone::Attention, "It subscribes to something else than our publication."));
    }
    said.extend(silence(subscription));
    said.push(match &subscription.relations {
        Seen::NotSeen => say(Tone::Unseen, "How far the tables are may not be seen with this role."),
        Seen::Seen(relations) => about_relations(relations),
    });
    if let Seen::Seen(Some((apply, sync))) = subscription.errors
        && apply + sync > 0
    {
        said.push(say(
            Tone::Attention,
            format!("Errors so far: {apply} while changes were applied, {sync} while tables were copied. The target's log says which; a worker tries again by itself."),
        ));
    }
    said
}

fn silence(subscription: &Subscription) -> Option<Sentence> {
    let worker = subscription.worker.seen().filter(|worker| worker.runs)?;
    let silent = worker.silent?;
    let tone = if silent > SILENCE { Tone::Attention } else { Tone::Plain };
    let words = if silent.as_secs() < 2 {
        "The source was heard of just now".to_owned()
    } else {
        format!("The source was last heard of {} ago", seconds(silent))
    };
    let at = worker.latest_end.map_or_else(String::new, |lsn| format!(", at {lsn}"));
    Some(say(tone, format!("{words}{at}.")))
}

fn about_relations(relations: &Relations) -> Sentence {
    if relations.total() == 0 {
        return say(Tone::Attention, "It has no table.");
    }
    if relations.unready() == 0 {
        let all = if relations.ready == 1 {
            "Its one table follows the source.".to_owned()
        } else {
            format!("All {} tables follow the source.", relations.ready)
        };
        return say(Tone::Good, all);
    }
    let parts = [
        (relations.ready, "ready"),
        (relations.catching_up, "catching up"),
        (relations.copying, "being copied"),
        (relations.waiting, "waiting to be copied"),
    ];
    let words: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let text = format!(
        "Of {}: {}. Not ready: {}.",
        tables(relations.total()),
        words.join(", "),
        list(&relations.not_ready, relations.unready())
    );
    say(Tone::Busy, text)
}
