//! Keeps the arrows of ARCHITECTURE.md true, by reading the sources: who may use whom, and which door leads outside.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each room, and the rooms that it may use beside itself.
const ARROWS: &[(&str, &[&str])] = &[
    ("cli", &["web", "show", "migration", "engine", "pg", "neon", "demo"]),
    ("web", &["show", "migration", "engine", "pg", "neon"]),
    ("show", &["engine"]),
    ("demo", &["engine", "pg"]),
    ("migration", &["engine", "pg", "neon"]),
    ("engine", &["store"]),
    ("neon", &[]),
    ("pg", &[]),
    ("store", &[]),
];

/// Rooms within rooms that may use less than the room around them.
const NARROWER: &[(&str, &[&str])] = &[
    ("cli/render", &["engine", "show", "cli"]),
    ("cli/status.rs", &["engine", "show", "cli"]),
    ("cli/report.rs", &["engine", "show", "cli"]),
];

/// What leads outside, and the only places that may have it.
const DOORS: &[(&str, &[&str])] = &[
    ("rusqlite", &["store/"]),
    ("postgres_protocol::", &["pg/"]),
    ("tokio_rustls::", &["pg/", "neon/", "web/tls.rs"]),
    ("axum::", &["web/"]),
    ("reqwest::", &["neon/"]),
    ("TcpStream::connect", &["pg/dial/"]),
    ("UnixStream::connect", &["pg/dial/"]),
    ("Command::new", &["pg/tools.rs", "migration/schema/archive.rs", "cli/argv.rs", "cli/ui/browser.rs"]),
];

struct Source {
    /// The path below `src`, with slashes.
    path: String,
    /// The text without comments and without the tests at its end.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
                let relative = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push(Source { path: relative, code: code(&std::fs::read_to_string(&path).unwrap()) });
            }
        }
    }
    found
}

/// Tests may use what they like, and a comment uses nothing.
fn code(text: &str) -> String {
    let text = text.split_once("#[cfg(test)]\nmod tests {").map_or(text, |(before, _)| before);
    let lines = text.lines().map(|line| line.split_once("//").map_or(line, |(before, _)| before));
    lines.collect::<Vec<_>>().join("\n")
}

fn room(path: &str) -> Option<&str> {
    path.split_once('/').map(|(room, _)| room)
}

/// The rooms that a text names: `crate::pg::…`, `crate::{pg, engine::…}`, `super::super::pg`.
fn used(code: &str) -> BTreeSet<String> {
    let first_word =
        |text: &str| -> String { text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let rooms: Vec<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    let mut used = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(group) => {
                let group = group.split_once(';').map_or(group, |(group, _)| group);
                used.extend(group.split([',', '{', '}']).map(first_word));
            }
            None => drop(used.insert(first_word(after))),
        }
    }
    used.extend(code.split("super::super::").skip(1).map(first_word));
    used.retain(|name| rooms.contains(&name.as_str()));
    used
}

#[test]
fn rooms_use_only_whom_they_may() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(own) = room(&source.path) else { continue };
        let (_, allowed) = ARROWS
            .iter()
            .find(|(room, _)| *room == own)
            .unwrap_or_else(|| panic!("{own} is a new room: add it to ARCHITECTURE.md and here"));
        let narrower = NARROWER.iter().find(|(place, _)| source.path.starts_with(place));
        for name in used(&source.code) {
            let may = narrower.map_or(name == own || allowed.contains(&name.as_str()), |(_, few)| few.contains(&name.as_str()));
            if !may {
                wrong.push(format!("{} uses {name}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that ARCHITECTURE.md does not have:\n{}", wrong.join("\n"));
}

#[test]
fn doors_are_where_the_map_says() {
    let sources = sources();
    for (door, places) in DOORS {
        let with: Vec<&str> = sources.iter().filter(|s| s.code.contains(door)).map(|s| s.path.as_str()).collect();
        let elsewhere: Vec<&&str> = with.iter().filter(|path| !places.iter().any(|place| path.starts_with(place))).collect();
        assert!(elsewhere.is_empty(), "{door} belongs into {places:?}, not into {elsewhere:?}");
        assert!(!with.is_empty(), "{door} is nowhere any more: take it out of this list");
    }
}

#[test]
fn an_arrow_is_seen_however_it_is_written() {
    let seen = |text: &str| used(&code(text)).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(seen("use crate::pg::names::Ident;"), "pg");
    assert_eq!(seen("use crate::{engine::step::Cx, pg};"), "engine pg");
    assert_eq!(seen("fn f() { super::super::store::open() } // crate::cli::main"), "store");
    assert_eq!(seen("//! crate::pg\nfn f() {}\n#[cfg(test)]\nmod tests {\n use crate::pg;\n}"), "");
}
