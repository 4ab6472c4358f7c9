//! What the lines look like.

use askama::Template;

use super::{Ready, Stands, shell_of, stands, whole_name};
use crate::engine::report::Report;
use crate::migration::commands::quote::Shell;
use crate::migration::commands::{Flag, Way};
use crate::web::app::App;
use crate::web::guard::Visitor;
use crate::web::page::{self, Part, Step, Wanted};

/// A step by hand, written for a shell.
#[derive(Debug)]
pub struct Written {
    /// Its stable name.
    pub id: &'static str,
    /// What is done.
    pub title: String,
    /// The lines.
    pub lines: String,
    /// Why each flag is there.
    pub flags: Vec<Flag>,
    /// What to expect, a text each.
    pub expect: Vec<String>,
    /// The name of its script.
    pub script: String,
}

/// The steps of some ways, in their order.
pub fn written(ready: &Ready, shell: Shell, ways: &[Way]) -> Vec<Written> {
    let style = ready.style(shell, false);
    let steps = ready.plan().steps.iter().filter(|step| ways.contains(&step.way));
    let write = |step: &crate::migration::commands::Step| Written {
        id: step.id,
        title: step.title.clone(),
        lines: style.lines(ready.plan(), &step.actions).join("\n"),
        flags: step.flags.clone(),
        expect: step.expect.clone(),
        script: format!("{}.{}", step.id, shell.extension()),
    };
    steps.map(write).collect()
}

/// Links between the forms of the lines. They keep what else the address asks for.
#[derive(Debug)]
pub struct Tabs {
    /// The words, the address, and whether it is the open one.
    pub links: Vec<(&'static str, String, bool)>,
    /// What they choose, for those who cannot see them.
    pub label: &'static str,
}

impl Tabs {
    /// The shells.
    pub fn shells(step: Step, wanted: &Wanted) -> Tabs {
        let open = shell_of(wanted.get("shell").map_or("", String::as_str));
        let links = [("Bash", "bash", Shell::Bash), ("PowerShell", "powershell", Shell::PowerShell)];
        Tabs {
            links: links.map(|(words, name, shell)| (words, address(step, wanted, "shell", name), shell == open)).to_vec(),
            label: "Shell",
        }
    }

    fn ways(step: Step, wanted: &Wanted) -> Tabs {
        let parallel = is_parallel(wanted);
        let links = [("A dump in one file", "one-file", !parallel), ("A dump in parallel", "parallel", parallel)];
        Tabs { links: links.map(|(words, name, open)| (words, address(step, wanted, "way", name), open)).to_vec(), label: "Way" }
    }
}

fn is_parallel(wanted: &Wanted) -> bool {
    wanted.get("way").is_some_and(|way| way == "parallel")
}

fn address(step: Step, wanted: &Wanted, key: &str, value: &str) -> String {
    let mut wanted = wanted.clone();
    wanted.insert(key.to_owned(), value.to_owned());
    format!("/{}?{}#by-hand", step.path(), page::encoded(&wanted))
}

#[derive(Template)]
#[template(path = "commands/connections.html")]
struct Connections<'a> {
    visitor: &'a Visitor,
    step: Step,
    shell: Shell,
    lines: String,
    with_passwords: bool,
    has_passwords: bool,
}

impl Connections<'_> {
    fn shell_name(&self) -> &'static str {
        if self.shell == Shell::Bash { "bash" } else { "powershell" }
    }
}

/// The lines that say where both ends are, as the part `connections`.
///
/// # Errors
/// A fault of this program.
pub fn connections(ready: &Ready, visitor: &Visitor, step: Step, shell: Shell, with_passwords: bool) -> Result<Part, Report> {
    let has_passwords = [&ready.plan().source, &ready.plan().target].into_iter().any(|end| end.password.is_some());
    let lines = ready.style(shell, with_passwords).connections(ready.plan()).join("\n");
    Part::new("connections", &Connections { visitor, step, shell, lines, with_passwords, has_passwords })
}

#[derive(Template)]
#[template(path = "commands/by_hand.html")]
struct ByHand<'a> {
    visitor: &'a Visitor,
    stands: Stands,
    shells: Tabs,
    ways: Tabs,
    connections: String,
    steps: Vec<Written>,
    failed: String,
    whole: String,
    shell: &'static str,
}

impl ByHand<'_> {
    fn notes(&self) -> Vec<(String, String)> {
        match &self.stands {
            Stands::Ready(ready) => ready.plan().notes.iter().map(|note| page::fix_parts(note)).collect(),
            _ => Vec::new(),
        }
    }
}

/// `Give me the commands`: the lines of pg_dump and pg_restore.
///
/// # Errors
/// A fault of this program.
pub fn part(app: &App, visitor: &Visitor, wanted: &Wanted) -> Result<Part, Report> {
    let step = Step::Copy;
    let stands = stands(app);
    let shell = shell_of(wanted.get("shell").map_or("", String::as_str));
    let way = if is_parallel(wanted) { Way::Parallel } else { Way::OneFile };
    let (connections, steps) = match &stands {
        Stands::Ready(ready) => (connections(ready, visitor, step, shell, false)?.html, written(ready, shell, &[Way::Before, way])),
        _ => (String::new(), Vec::new()),
    };
    let failed = if let Stands::Failed(report) = &stands { page::report_html(report)? } else { String::new() };
    Part::new(
        "hand",
        &ByHand {
            visitor,
            stands,
            shells: Tabs::shells(step, wanted),
            ways: Tabs::ways(step, wanted),
            connections,
            steps,
            failed,
            whole: whole_name(way, shell),
            shell: if shell == Shell::Bash { "bash" } else { "powershell" },
        },
    )
}
