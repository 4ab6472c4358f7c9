//! Neon's regions, and the one that suits a source; `data/regions.toml` has the facts, their dates and which of them are our own reasoning.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use regex_lite::Regex;
use serde::Deserialize;

const TEXT: &str = include_str!("../../data/regions.toml");

/// A text that does not parse gives an empty table; a test forbids that it ships.
static TABLE: LazyLock<Table> = LazyLock::new(|| toml::from_str(TEXT).unwrap_or_default());

/// Patterns that do not compile are left out; a test forbids that they ship.
static PATTERNS: LazyLock<Vec<(Regex, &'static Pattern)>> = LazyLock::new(|| {
    let table: &'static Table = &TABLE;
    table.host_patterns.iter().filter_map(|pattern| Some((Regex::new(&pattern.regex).ok()?, pattern))).collect()
});

/// What stands for a region while there is none, which a test forbids.
static NOWHERE: LazyLock<Region> = LazyLock::new(Region::default);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    as_of: String,
    default_if_unknown: String,
    neon: Vec<Region>,
    source: BTreeMap<String, BTreeMap<String, Match>>,
    hosts: BTreeMap<String, BTreeMap<String, String>>,
    host_patterns: Vec<Pattern>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Match {
    neon: String,
    r#match: Nearness,
    km: u32,
    second: String,
    place: String,
    note: Option<String>,
}

/// The host name's first group, or `fixed`, is the token.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pattern {
    regex: String,
    table: String,
    fixed: Option<String>,
    #[serde(default)]
    renamed: BTreeMap<String, String>,
}

/// A region of Neon's.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Its id, such as `aws-us-east-1`.
    pub id: String,
    /// Its name, as Neon writes it.
    pub name: String,
    /// Degrees north, approximately; nothing for regions that take no new projects.
    pub lat: Option<f64>,
    /// Degrees east, approximately.
    pub lon: Option<f64>,
    /// Whether projects can be created in it.
    pub new_projects: bool,
    /// The region that Neon advises instead.
    pub replaced_by: Option<String>,
}

/// How near a region is to a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nearness {
    /// The same region of the same cloud.
    Exact,
    /// Another cloud in the same city or state.
    SameMetro,
    /// None is nearer, by distance or by the paths of the cables.
    Nearest,
}

/// The region that suits a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The region.
    pub region: &'static Region,
    /// How near it is.
    pub nearness: Nearness,
    /// The straight line in kilometres, roughly; nothing if it is not known.
    pub km: Option<u32>,
    /// The next best region.
    pub second: Option<&'static Region>,
    /// Where the source is, such as `Ohio`.
    pub place: Option<String>,
    /// What else to know, as a clause.
    pub note: Option<String>,
}

impl Choice {
    /// Why this region, how far away it is, and what that means for the data: one sentence for people.
    pub fn reason(&self) -> String {
        let name = &self.region.name;
        let place = self.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
        let km = self.km.filter(|km| *km > 0).map(|km| format!(", about {km} km away")).unwrap_or_default();
        let mut clauses = match self.nearness {
            Nearness::Exact => return format!("Neon has the source's own region{place}: {name}."),
            Nearness::SameMetro => vec![format!("{name} is in the same area as the source{place}{km}")],
            Nearness::Nearest => vec![format!("{name} is the Neon region nearest to the source{place}{km}")],
        };
        let second = self.second.filter(|_| self.nearness == Nearness::Nearest);
        clauses.extend(second.map(|second| format!("the second choice is {}", second.name)));
        clauses.extend(self.note.clone());
        clauses.push("make sure that your data may be kept there".to_owned());
        format!("{}.", clauses.join("; "))
    }
}

/// A region of a source, in the words of whoever hosts it. `Display` is for people: `AWS us-east-1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRegion {
    /// A cloud (`aws`, `azure`, `gcp`) or a host with regions of its own (`render`, `heroku`, …).
    pub cloud: String,
    /// The region's name there, in lower case.
    pub token: String,
}

impl fmt::Display for SourceRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cloud = match self.cloud.as_str() {
            "aws" => "AWS",
            "azure" => "Azure",
            "gcp" => "Google Cloud",
            "render" => "Render",
            "digitalocean" => "DigitalOcean",
            "scaleway" => "Scaleway",
            "fly" => "Fly.io",
            "railway" => "Railway",
            "heroku" => "Heroku",
            other => other,
        };
        write!(f, "{cloud} {}", self.token)
    }
}

/// All regions that Neon has or had; those where projects can be created say so.
pub fn all() -> &'static [Region] {
    &TABLE.neon
}

/// A region by its id.
pub fn by_id(id: &str) -> Option<&'static Region> {
    all().iter().find(|region| region.id == id)
}

/// The day of the newest publication that the list is taken from, as `2026-10-09`.
pub fn as_of() -> &'static str {
    &TABLE.as_of
}

/// The region for a source of which nothing is known: our own choice, the API's answer is better.
pub fn default_region() -> &'static Region {
    by_id(&TABLE.default_if_unknown).unwrap_or(&NOWHERE)
}

/// The region that a host name tells; nothing for addresses and for names without a region. It may be one that [`choose`] does not know.
pub fn of_host(host: &str) -> Option<SourceRegion> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let (found, pattern) = PATTERNS.iter().find_map(|(regex, pattern)| Some((regex.captures(&host)?, pattern)))?;
    let token = pattern.fixed.as_deref().or_else(|| Some(found.get(1)?.as_str()))?;
    if pattern.table == "compact" {
        return compact(token);
    }
    let token = pattern.renamed.get(token).map_or(token, String::as_str);
    Some(SourceRegion { cloud: pattern.table.clone(), token: token.to_owned() })
}

/// A region written without its hyphens. A few may be of either cloud (`useast1`); AWS is taken, and a test holds that Neon's region is the same.
fn compact(token: &str) -> Option<SourceRegion> {
    ["aws", "gcp"].into_iter().find_map(|cloud| {
        let id = TABLE.source.get(cloud)?.keys().find(|id| id.replace('-', "") == token)?;
        Some(SourceRegion { cloud: cloud.to_owned(), token: id.clone() })
    })
}

/// The region of Neon's that suits a source; nothing if the source's region is not known here.
pub fn choose(source: &SourceRegion) -> Option<Choice> {
    if let Some(found) = TABLE.source.get(&source.cloud).and_then(|regions| regions.get(&source.token)) {
        return Some(Choice {
            region: by_id(&found.neon)?,
            nearness: found.r#match,
            km: Some(found.km),
            second: by_id(&found.second),
            place: Some(found.place.clone()),
            note: found.note.clone(),
        });
    }
    let region = by_id(TABLE.hosts.get(&source.cloud)?.get(&source.token)?)?;
    Some(Choice { region, nearness: Nearness::Nearest, km: None, second: None, place: Some(source.to_string()), note: None })
}

/// The nearest of some places (a name, degrees north, degrees east) by great circle; nothing if there is none with a position.
pub fn nearest_of(lat: f64, lon: f64, among: &[(String, f64, f64)]) -> Option<String> {
    let distances = among.iter().map(|(name, north, east)| (name, angle((lat, lon), (*north, *east))));
    let known = distances.filter(|(_, angle)| angle.is_finite());
    known.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(name, _)| name.clone())
}

/// The angle between two places as seen from the centre of the earth, in radians, by the haversine formula.
fn angle((lat_a, lon_a): (f64, f64), (lat_b, lon_b): (f64, f64)) -> f64 {
    let half = |a: f64, b: f64| ((b - a).to_radians() / 2.0).sin().powi(2);
    let chord = half(lat_a, lat_b) + lat_a.to_radians().cos() * lat_b.to_radians().cos() * half(lon_a, lon_b);
    2.0 * chord.sqrt().clamp(-1.0, 1.0).asin()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn source(cloud: &str, token: &str) -> SourceRegion {
        SourceRegion { cloud: cloud.to_owned(), token: token.to_owned() }
    }

    /// Every region of every table.
    fn every() -> Vec<SourceRegion> {
        let clouds = TABLE.source.iter().flat_map(|(cloud, all)| all.keys().map(|token| source(cloud, token)));
        let hosts = TABLE.hosts.iter().flat_map(|(host, all)| all.keys().map(|token| source(host, token)));
        clouds.chain(hosts).collect()
    }

    #[test]
    fn the_table_parses() {
        let table: Table = toml::from_str(TEXT).unwrap();
        assert_eq!((table.neon.len(), table.source.len(), table.hosts.len(), table.host_patterns.len()), (11, 3, 6, 10));
        for pattern in &table.host_patterns {
            let regex = Regex::new(&pattern.regex).unwrap();
            assert_eq!(regex.captures_len(), if pattern.fixed.is_some() { 1 } else { 2 }, "{}", pattern.regex);
            let known = table.source.contains_key(&pattern.table) || table.hosts.contains_key(&pattern.table);
            assert!(known || pattern.table == "compact", "{}", pattern.table);
        }
        assert_eq!(PATTERNS.len(), 10);
        assert_eq!((default_region().id.as_str(), as_of()), ("aws-us-east-1", "2026-10-09"));
        for region in all() {
            assert_eq!(region.new_projects, region.replaced_by.is_none(), "{}", region.id);
            assert_eq!(region.new_projects, region.lat.is_some() && region.lon.is_some(), "{}", region.id);
            assert!(
                region.replaced_by.as_ref().is_none_or(|id| by_id(id).is_some_and(|region| region.new_projects)),
                "{}",
                region.id
            );
        }
    }

    #[test]
    fn every_source_region_has_an_open_region_and_a_reason() {
        let every = every();
        assert_eq!(every.len(), (38 + 59 + 42) + (5 + 15 + 3 + 18 + 7 + 12));
        for source in every {
            let choice = choose(&source).unwrap_or_else(|| panic!("{source}"));
            assert!(choice.region.new_projects, "{source}");
            assert!(choice.second.is_none_or(|second| second.new_projects && second != choice.region), "{source}");
            assert_eq!(choice.second.is_some(), choice.km.is_some(), "{source}");
            let (reason, name) = (choice.reason(), &choice.region.name);
            assert!(reason.contains(name.as_str()) && reason.ends_with('.') && !reason.contains(".;"), "{reason}");
            assert_eq!(
                choice.nearness == Nearness::Exact,
                !reason.contains("make sure that your data may be kept there"),
                "{reason}"
            );
        }
    }

    #[test]
    fn exactness_is_the_same_cloud_and_region() {
        for source in every() {
            let exact = choose(&source).unwrap().nearness == Nearness::Exact;
            assert_eq!(exact, source.cloud == "aws" && by_id(&format!("aws-{}", source.token)).is_some(), "{source}");
        }
    }

    #[test]
    fn reasons_say_why_and_how_far() {
        let reason = |cloud: &str, token: &str| choose(&source(cloud, token)).unwrap().reason();
        assert_eq!(reason("aws", "us-east-1"), "Neon has the source's own region (N. Virginia): AWS US East 1 (N. Virginia).");
        assert_eq!(
            reason("azure", "eastus2"),
            "AWS US East 1 (N. Virginia) is in the same area as the source (Virginia), about 260 km away; make sure that your data may be \
             kept there."
        );
        assert_eq!(
            reason("aws", "eu-west-1"),
            "AWS Europe West 2 (London) is the Neon region nearest to the source (Dublin), about 466 km away; the second choice is AWS \
             Europe Central 1 (Frankfurt); London is outside the EU, and the second choice is inside; make sure that your data may be kept \
             there."
        );
        assert!(reason("gcp", "northamerica-northeast1").contains("; the data leaves Canada; "));
        assert_eq!(
            reason("heroku", "montreal"),
            "AWS US East 1 (N. Virginia) is the Neon region nearest to the source (Heroku montreal); make sure that your data may be kept there."
        );
    }

    #[test]
    fn notes_about_the_eu_are_true_of_the_second_choice() {
        for source in every() {
            let choice = choose(&source).unwrap();
            if choice.note.as_ref().is_some_and(|note| note.contains("outside the EU")) {
                assert_eq!(
                    (choice.region.id.as_str(), choice.second.unwrap().id.as_str()),
                    ("aws-eu-west-2", "aws-eu-central-1"),
                    "{source}"
                );
            }
        }
    }

    #[test]
    fn a_region_of_either_cloud_has_one_choice() {
        let either = TABLE.source["aws"].iter().filter_map(|(aws, choice)| {
            let google = TABLE.source["gcp"].iter().find(|(gcp, _)| gcp.replace('-', "") == aws.replace('-', ""))?;
            Some((aws, &choice.neon, &google.1.neon))
        });
        let either: Vec<_> = either.collect();
        assert!(!either.is_empty());
        assert!(either.iter().all(|(_, aws, gcp)| aws == gcp), "{either:?}");
    }

    #[test]
    fn host_names_tell_regions() {
        let cases = [
            ("shop.c9akciq32.us-east-1.rds.amazonaws.com", "AWS us-east-1"),
            ("SHOP.C9AKCIQ32.EU-WEST-1.RDS.AMAZONAWS.COM", "AWS eu-west-1"),
            ("shop.cluster-c9akciq32.ap-southeast-2.rds.amazonaws.com.", "AWS ap-southeast-2"),
            ("shop.c9akciq32.us-gov-west-1.rds.amazonaws.com", "AWS us-gov-west-1"),
            ("shop.c9akciq32.cn-north-1.rds.amazonaws.com.cn", "AWS cn-north-1"),
            ("shop.c9akciq32.rds.cn-northwest-1.amazonaws.com.cn", "AWS cn-northwest-1"),
            ("shop.proxy-c9akciq32.eu-north-1.rds.amazonaws.com", "AWS eu-north-1"),
            ("ec2-3-210-1-2.compute-1.amazonaws.com", "AWS us-east-1"),
            ("ec2-34-250-1-2.eu-west-1.compute.amazonaws.com", "AWS eu-west-1"),
            ("ep-cool-darkness-123456.us-east-2.aws.neon.tech", "AWS us-east-2"),
            ("ep-cool-darkness-123456-pooler.c-2.us-east-1.aws.neon.tech", "AWS us-east-1"),
            ("ep-cool-darkness-123456.eastus2.azure.neon.tech", "Azure eastus2"),
            ("ep-cool-darkness-123456.gwc.azure.neon.tech", "Azure germanywestcentral"),
            ("aws-0-eu-central-1.pooler.supabase.com", "AWS eu-central-1"),
            ("aws-12-sa-east-1.pooler.supabase.com", "AWS sa-east-1"),
            ("dpg-cn1a2b3c4d5e6f-a.oregon-postgres.render.com", "Render oregon"),
            ("dpg-cn1a2b3c4d5e6f-a.frankfurt-postgres.render.com", "Render frankfurt"),
            ("x7k2-useast1-1.horizon.psdb.cloud", "AWS us-east-1"),
            ("x7k2-uscentral1-1.horizon.psdb.cloud", "Google Cloud us-central1"),
            ("1a2b3c.rdb.fr-par.scw.cloud", "Scaleway fr-par"),
        ];
        for (host, region) in cases {
            assert_eq!(of_host(host).map(|found| found.to_string()).as_deref(), Some(region), "{host}");
        }
        // One that is newer than the table is told, but not placed.
        let newer = of_host("shop.c9akciq32.xx-moon-1.rds.amazonaws.com").unwrap();
        assert_eq!((newer.to_string().as_str(), choose(&newer)), ("AWS xx-moon-1", None));
    }

    #[test]
    fn other_hosts_tell_none() {
        for host in [
            "",
            ".",
            "localhost",
            "10.0.0.5",
            "2001:db8::1",
            "/var/run/postgresql",
            "us-east-1",
            "evil-rds.amazonaws.com.example.org",
            "shop.c9akciq32.us-east-1.rds.amazonaws.com.example.org",
            "shop.us-east-1.rds-amazonaws.com",
            "us-east-1.rds.amazonaws.com",
            "shop.global-abc.global.rds.amazonaws.com",
            "shop.us-east-1.evilrds.amazonaws.com",
            "x.aws-0-eu-central-1.pooler.supabase.com",
            "db.abcdefghijklmnopqrst.supabase.co",
            "shop.postgres.database.azure.com",
            "x7k2-atlantis1-1.horizon.psdb.cloud",
            "ep-cool.westus3.azure.neon.tech.example.org",
            "shop.c9akciq32.us-east-1.rds.amazonaws.com..",
            "shop\n.us-east-1.rds.amazonaws.com.\n",
        ] {
            assert_eq!(of_host(host), None, "{host:?}");
        }
    }

    #[test]
    fn the_nearest_is_measured_on_the_globe() {
        let open: Vec<(String, f64, f64)> =
            all().iter().filter_map(|region| Some((region.id.clone(), region.lat?, region.lon?))).collect();
        let nearest = |lat, lon| nearest_of(lat, lon, &open);
        assert_eq!(nearest(48.9, 2.3).as_deref(), Some("aws-eu-west-2"));
        assert_eq!(nearest(19.1, 72.9).as_deref(), Some("aws-ap-southeast-1"));
        // Auckland's side of the date line, and just beyond it.
        assert_eq!(nearest(-36.8, 174.8).as_deref(), Some("aws-ap-southeast-2"));
        assert_eq!(nearest(-36.8, -179.0).as_deref(), Some("aws-ap-southeast-2"));
        for region in &open {
            assert_eq!(nearest(region.1, region.2).as_deref(), Some(region.0.as_str()));
        }
        assert_eq!(nearest_of(0.0, 0.0, &[]), None);
        assert_eq!(nearest_of(0.0, 0.0, &[("nowhere".into(), f64::NAN, 0.0)]), None);
    }
}
