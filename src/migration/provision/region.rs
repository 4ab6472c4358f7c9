//! In which region of Neon's the project goes: where the source is, or as near to it as there is.

use super::SourceFacts;
use crate::engine::report::{Exit, Report};
use crate::neon::regions::{self, Choice};
use crate::neon::types::RegionInfo;

/// A region, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) id: String,
    pub(super) why: String,
    /// It was taken for want of anything better.
    pub(super) by_default: bool,
}

fn chosen(id: impl Into<String>, why: impl Into<String>) -> Chosen {
    Chosen { id: id.into(), why: why.into(), by_default: false }
}

fn by_default(id: impl Into<String>, why: String) -> Chosen {
    Chosen { by_default: true, ..chosen(id, why) }
}

/// Takes the region that was asked for; else the one that suits the source; else Neon's own default. `live` is what the API offers.
///
/// # Errors
/// A region that is not offered.
pub(super) fn choose(wanted: Option<&str>, source: Option<&SourceFacts>, live: &[RegionInfo]) -> Result<Chosen, Report> {
    let offered = |id: &str| live.iter().any(|region| region.region_id == id);
    if let Some(wanted) = wanted {
        return if offered(wanted) { Ok(chosen(wanted, "Asked for.")) } else { Err(not_offered(wanted, live)) };
    }
    let Some(source) = source else {
        return Ok(default(live, "There is no source to be near to"));
    };
    let of_host = source.host.as_deref().and_then(regions::of_host);
    let Some(source_region) = of_host else {
        return Ok(default(live, "The source's address does not tell where it is"));
    };
    let Some(choice) = regions::choose(&source_region) else {
        return Ok(default(live, &format!("The place of {source_region} is not known to this version")));
    };
    Ok(of_choice(&choice, live, offered))
}

fn of_choice(choice: &Choice, live: &[RegionInfo], offered: impl Fn(&str) -> bool) -> Chosen {
    if offered(&choice.region.id) {
        return chosen(&choice.region.id, choice.reason());
    }
    let missing = format!("{} would suit, and Neon does not offer it to this account", choice.region.name);
    if let Some(second) = choice.second.filter(|second| offered(&second.id)) {
        return chosen(&second.id, format!("{missing}: {} is the second choice.", second.name));
    }
    let places: Vec<(String, f64, f64)> = live
        .iter()
        .filter_map(|region| {
            let known = regions::by_id(&region.region_id).and_then(|known| Some((known.lat?, known.lon?)));
            let (lat, lon) = region.position().or(known)?;
            Some((region.region_id.clone(), lat, lon))
        })
        .collect();
    let near = choice.region.lat.zip(choice.region.lon).and_then(|(lat, lon)| regions::nearest_of(lat, lon, &places));
    match near {
        Some(id) => chosen(&id, format!("{missing}: {} is the nearest that it offers.", name(&id, live))),
        None => default(live, &missing),
    }
}

fn default(live: &[RegionInfo], because: &str) -> Chosen {
    let own = regions::default_region();
    match live.iter().find(|region| region.default) {
        Some(region) => by_default(&region.region_id, format!("{because}, so this is Neon's default.")),
        None if live.iter().any(|region| region.region_id == own.id) => {
            by_default(&own.id, format!("{because}, and Neon names no default, so this is our own choice."))
        }
        None => {
            let id = live.first().map_or(own.id.as_str(), |region| region.region_id.as_str());
            by_default(id, format!("{because}, so this is the first that Neon offers."))
        }
    }
}

fn name(id: &str, live: &[RegionInfo]) -> String {
    let found = live.iter().find(|region| region.region_id == id && !region.name.is_empty());
    found.map_or_else(|| id.to_owned(), |region| region.name.clone())
}

fn not_offered(wanted: &str, live: &[RegionInfo]) -> Report {
    let report = Report::new("neon-region", Exit::Usage, format!("Neon offers no region {wanted} for new projects."));
    let instead = regions::by_id(wanted).and_then(|region| region.replaced_by.as_ref());
    let report = match instead {
        Some(instead) => report.with_cause(format!("Neon advises {instead} instead.")),
        None => report,
    };
    let lines = live.iter().map(|region| format!("--region {}   # {}", region.region_id, region.name));
    report.with_fix(format!("Choose one of these:\n{}", lines.collect::<Vec<_>>().join("\n")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn live(ids: &[&str]) -> Vec<RegionInfo> {
        ids.iter().map(|id| RegionInfo::new(*id, format!("Place {id}"))).collect()
    }

    fn at(host: Option<&str>) -> SourceFacts {
        SourceFacts {
            label: "u@h:5432/d".to_owned(),
            host: host.map(str::to_owned),
            major: 17,
            database: "d".to_owned(),
            owner: "u".to_owned(),
            bytes: None,
        }
    }

    const ALL: [&str; 4] = ["aws-us-east-1", "aws-eu-central-1", "aws-eu-west-2", "aws-us-east-2"];

    #[test]
    fn the_own_region_or_the_nearest_that_is_offered() {
        let dublin = at(Some("shop.c9akciq32.eu-west-1.rds.amazonaws.com"));
        let choose = |live: &[RegionInfo]| super::choose(None, Some(&dublin), live).unwrap();
        let first = choose(&live(&ALL));
        assert_eq!(first.id, "aws-eu-west-2");
        assert!(first.why.contains("nearest to the source (Dublin)"), "{}", first.why);
        let second = choose(&live(&["aws-us-east-1", "aws-eu-central-1"]));
        assert_eq!(second.id, "aws-eu-central-1");
        assert!(second.why.contains("second choice"), "{}", second.why);
        let third = choose(&live(&["aws-ap-southeast-2", "aws-us-east-1"]));
        assert_eq!(third.id, "aws-us-east-1");
        assert!(third.why.contains("Place aws-us-east-1 is the nearest that it offers"), "{}", third.why);
        assert_eq!(choose(&live(&["moon-1"])).id, "moon-1");
    }

    #[test]
    fn where_nothing_is_known_the_default_is_taken_and_said() {
        for source in
            [None, Some(at(None)), Some(at(Some("10.0.0.5"))), Some(at(Some("shop.c9akciq32.xx-moon-1.rds.amazonaws.com")))]
        {
            let chosen = super::choose(None, source.as_ref(), &live(&ALL)).unwrap();
            assert_eq!(chosen.id, "aws-us-east-1");
            assert!(chosen.by_default, "{}", chosen.why);
        }
        let mut with_default = live(&ALL);
        with_default[3].default = true;
        assert_eq!(super::choose(None, None, &with_default).unwrap().id, "aws-us-east-2");
    }

    #[test]
    fn a_region_that_is_not_offered_is_refused_with_those_that_are() {
        assert_eq!(super::choose(Some("aws-us-east-2"), None, &live(&ALL)).unwrap().id, "aws-us-east-2");
        let report = super::choose(Some("azure-gwc"), None, &live(&ALL)).unwrap_err();
        assert!(report.causes[0].contains("advises"), "{report:?}");
        assert!(report.fix.unwrap().contains("--region aws-eu-west-2   # Place aws-eu-west-2"));
    }
}
