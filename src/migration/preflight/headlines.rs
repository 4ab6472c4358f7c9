//! The five that come first: version, region, extensions, their versions, logical replication. They compare with Neon whatever the
//! target is, list what there is, and never block by themselves.

use super::Address;
use super::facts::{Installed, Known};
use crate::engine::checkup::{Headline, Outcome, Standing, Status};
use crate::engine::finding::Severity;
use crate::migration::provider;
use crate::neon::extensions::{self, Offer, compare_versions, offer};
use crate::neon::regions::{self, Choice, SourceRegion};

/// The checks that the five rest on.
pub(super) const CODES: [&str; 2] = ["B1", "B3"];

/// The five, in their order.
pub(super) fn all(known: &Known, address: Option<&Address>, outcomes: &[Outcome]) -> Vec<Headline> {
    let major = known.target.as_ref().map_or_else(|| super::neon::major_for(known.source.version), |target| target.version.major());
    let mine: Vec<&Installed> =
        known.extensions.iter().filter(|one| !known.provider.leave_out_extensions.contains(&one.name)).collect();
    vec![
        version(known, outcomes),
        region(known, address),
        supported(&mine, major),
        versions(&mine, major),
        logical_replication(outcomes),
    ]
}

fn headline(id: &str, title: &str, standing: Standing, sentence: String) -> Headline {
    Headline { id: id.to_owned(), title: title.to_owned(), standing, sentence, items: Vec::new(), fix: None }
}

fn version(known: &Known, outcomes: &[Outcome]) -> Headline {
    let version = known.source.version;
    let finding = outcomes.iter().filter(|outcome| outcome.code == "B1").flat_map(|outcome| &outcome.findings).next();
    let title = "Postgres version";
    match finding {
        Some(finding) => {
            let standing = if finding.severity == Severity::Blocker { Standing::Blocked } else { Standing::Attention };
            Headline { fix: finding.fix.clone(), ..headline("postgres_version", title, standing, finding.sentence.clone()) }
        }
        None => {
            let sentence = format!("The source is Postgres {version}; Neon offers the same major.");
            headline("postgres_version", title, Standing::Good, sentence)
        }
    }
}

fn region(known: &Known, address: Option<&Address>) -> Headline {
    let title = "Hosting region";
    let provider = &known.provider.name;
    let found = address.and_then(|address| regions::of_host(&address.host));
    match found.and_then(|found| Some((regions::choose(&found)?, found))) {
        Some((choice, found)) => {
            let sentence = format!("The source is {}, in {found}. {}", hosting(provider), choice.reason());
            headline("region", title, Standing::Good, sentence)
        }
        None => {
            let sentence = format!("The source is {}; its address does not tell the region.", hosting(provider));
            let fix = "Choose the region nearest to where your application runs, with create-project --region.";
            let items =
                regions::all().iter().filter(|region| region.new_projects).map(|region| format!("{} {}", region.id, region.name));
            Headline { fix: Some(fix.to_owned()), items: items.collect(), ..headline("region", title, Standing::Unknown, sentence) }
        }
    }
}

fn hosting(provider: &str) -> String {
    if provider == provider::self_hosted().name { provider.to_owned() } else { format!("at {provider}") }
}

/// The region of a source, and the one at Neon that fits it.
pub(super) fn region_of(address: Option<&Address>) -> Option<(SourceRegion, Option<Choice>)> {
    let found = regions::of_host(&address?.host)?;
    let choice = regions::choose(&found);
    Some((found, choice))
}

fn supported(mine: &[&Installed], major: u32) -> Headline {
    let title = "Supported extensions";
    let mut items = Vec::new();
    let mut offered = 0;
    for installed in mine {
        let (has, words) = match offer(&installed.name, major) {
            Offer::Offered { entry, .. } => (entry.status.installable(), entry.remark().unwrap_or_default()),
            Offer::NotForMajor(entry) => {
                let majors: Vec<String> = entry.majors().iter().map(ToString::to_string).collect();
                (false, format!("Neon offers it on Postgres {} only.", majors.join(", ")))
            }
            Offer::NotOffered => {
                let hint = extensions::unsupported(&installed.name).map(|known| known.hint.clone());
                (false, hint.unwrap_or_else(|| "Neon does not offer it.".to_owned()))
            }
        };
        offered += usize::from(has);
        let mark = if has { "offered" } else { "not offered" };
        items.push(format!("{}: {mark}{}{words}", installed.name, if words.is_empty() { "" } else { ". " }));
    }
    let (standing, sentence) = match mine.len() {
        0 => (Standing::Good, "The database uses no extension.".to_owned()),
        all if offered == all => {
            (Standing::Good, format!("Neon offers every extension of the database ({all}) on Postgres {major}."))
        }
        all => (
            Standing::Attention,
            format!("Neon offers {offered} of the {all} extensions of the database on Postgres {major}. Nothing is blocked by it."),
        ),
    };
    Headline { items, ..headline("supported_extensions", title, standing, sentence) }
}

fn versions(mine: &[&Installed], major: u32) -> Headline {
    let title = "Extension versions";
    let mut newer_here = 0;
    let mut items = Vec::new();
    for installed in mine {
        let Offer::Offered { version, .. } = offer(&installed.name, major) else { continue };
        let words = match compare_versions(&installed.version, version) {
            std::cmp::Ordering::Greater => {
                newer_here += 1;
                "older than here"
            }
            std::cmp::Ordering::Less => "newer than here",
            std::cmp::Ordering::Equal => "the same",
        };
        items.push(format!("{} {}: {version} at Neon, {words}", installed.name, installed.version));
    }
    let as_of = extensions::as_of();
    let (standing, sentence) = match (items.len(), newer_here) {
        (0, _) => (Standing::Good, "There is no version to compare.".to_owned()),
        (_, 0) => (Standing::Good, format!("None is newer here than at Neon for Postgres {major}, as published on {as_of}.")),
        (_, n) => (
            Standing::Attention,
            format!("{n} of {} newer here than at Neon for Postgres {major}, as published on {as_of}.", of_them(items.len(), n)),
        ),
    };
    Headline { items, ..headline("extension_versions", title, standing, sentence) }
}

fn of_them(all: usize, some: usize) -> String {
    format!("{all} {}", if some == 1 { "is" } else { "are" })
}

/// As B3 found it.
fn logical_replication(outcomes: &[Outcome]) -> Headline {
    let (id, title) = ("logical_replication", "Logical replication");
    let Some(outcome) = outcomes.iter().find(|outcome| outcome.code == "B3") else {
        return headline(id, title, Standing::Unknown, "It was not looked at.".to_owned());
    };
    match (outcome.status, outcome.findings.first()) {
        (Status::Passed, _) => headline(id, title, Standing::Good, "It is on: wal_level is logical.".to_owned()),
        (Status::NotEvaluated, Some(finding)) => {
            Headline { fix: finding.fix.clone(), ..headline(id, title, Standing::Unknown, finding.sentence.clone()) }
        }
        (_, Some(finding)) => {
            let standing = if finding.severity == Severity::Blocker { Standing::Blocked } else { Standing::Attention };
            Headline { fix: finding.fix.clone(), ..headline(id, title, standing, finding.sentence.clone()) }
        }
        (_, None) => headline(id, title, Standing::Unknown, "It does not apply.".to_owned()),
    }
}
