//! `neon-migrate commands`: the lines that do it by hand, printed or written as scripts.

pub mod args;

use std::fs;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use serde_json::{Value, json};

use self::args::CommandsArgs;
use super::args::{Output, Talk};
use super::ends::ends;
use super::render::text::{Line, Paint, wrap};
use super::render::{Looking, print_err, print_out, term_width};
use crate::engine::report::{Exit, Report};
use crate::migration::commands::quote::Shell;
use crate::migration::commands::script::Style;
use crate::migration::commands::{Plan, Step, Way};
use crate::migration::run::by_hand::{self, ByHand};
use crate::pg::tools::Search;
use crate::show::numbers::clean;

/// The widest that explanations get.
const WIDTH_MAX: usize = 80;

/// Runs the command.
///
/// # Errors
/// An end that cannot be looked at, or scripts that cannot be written.
pub async fn run(args: CommandsArgs, talk: &Talk) -> Result<Exit, Report> {
    let (source, target) = ends(&args.databases, None)?;
    let looking = Looking::start(talk);
    let ByHand { plan, bin_dir } = by_hand::prepare(&source, &target, args.jobs, &Search::new(args.pg_bin_dir.clone())).await?;
    drop(looking);
    let style = Style { shell: args.shell(), with_passwords: args.with_passwords, bin_dir: bin_dir.as_deref() };
    if let Some(dir) = &args.script {
        write_scripts(dir, &style, &plan)?;
    }
    match (talk.output, &args.script) {
        (Output::Json, script) => print_raw(&document(&style, &plan, script.as_deref()).to_string()),
        (_, Some(dir)) => told(dir, &style, &plan),
        (_, None) => print_text(&style, &plan),
    }
    if args.with_passwords && args.script.is_none() && talk.output != Output::Json {
        warn("The passwords are in the lines above: mind the screen, the scrollback and the history of your shell.");
    }
    Ok(Exit::Done)
}

fn write_scripts(dir: &Path, style: &Style<'_>, plan: &Plan) -> Result<(), Report> {
    let failed = |error: std::io::Error| {
        let fix = "Name a directory that does not exist yet, or is empty, in a place where you may write.";
        Report::new("script-directory", Exit::Usage, format!("The scripts could not be written to {}.", dir.display()))
            .with_cause(format!("{error}."))
            .with_fix(fix)
    };
    match fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
        Ok(true) => return Err(failed(std::io::Error::other("the directory is not empty"))),
        Ok(false) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::DirBuilder::new().mode(0o700).recursive(true).create(dir).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    for script in style.scripts(plan) {
        let mode = if script.runnable { 0o700 } else { 0o600 };
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(dir.join(&script.name)).map_err(failed)?;
        file.write_all(script.text.as_bytes()).map_err(failed)?;
    }
    Ok(())
}

fn told(dir: &Path, style: &Style<'_>, plan: &Plan) {
    notes(plan);
    print_out(&[Line::new("The scripts are in ")
        .add(Paint::Bold, dir.display())
        .text("; README.md there says what each does, in which order.")]);
    if style.with_passwords {
        warn("connections holds the passwords, and only you can read it. Remove the directory when it is done.");
    }
}

fn warn(text: &str) {
    print_err(&[Line::default().add(Paint::Warn, "warning: ").text(text)]);
}

/// The width of explanations.
fn width() -> usize {
    term_width().min(WIDTH_MAX)
}

/// A text as a comment of the shell, wrapped; lines after the first are to be pasted and stay as they are.
fn comment(label: &str, text: &str) -> Vec<Line> {
    let (words, paste) = text.split_once('\n').map_or((text, None), |(words, paste)| (words, Some(paste)));
    let mut wrapped = wrap(&format!("{label}{words}"), width() - 4).into_iter();
    let first = wrapped.next().map(|line| format!("# {line}"));
    let rest = wrapped.map(|line| format!("#   {line}"));
    let paste = paste.into_iter().flat_map(str::lines).map(|line| format!("#     {line}"));
    first.into_iter().chain(rest).chain(paste).map(|line| Line::default().add(Paint::Dim, line)).collect()
}

fn heading(text: &str) -> Vec<Line> {
    vec![Line::default(), Line::default().add(Paint::Bold, format!("# {text}"))]
}

fn notes(plan: &Plan) {
    if plan.all_notes().next().is_none() {
        return;
    }
    print_out(&heading("To know before"));
    plan.all_notes().for_each(|note| print_out(&comment("* ", note)));
}

fn print_text(style: &Style<'_>, plan: &Plan) {
    print_out(&comment(
        "",
        &format!(
            "From {} to {}, by hand. Neither was changed; the lines below do what they say when you run them.",
            plan.source.label, plan.target.label
        ),
    ));
    notes(plan);
    print_out(&heading("Where both ends are"));
    if !style.with_passwords {
        let text = "Passwords are asked for, unless they are in SOURCE_PASSWORD and TARGET_PASSWORD, and never stand in a command line, where other users of this machine could read them.";
        print_out(&comment("", text));
    }
    print_shell(style, &style.connections(plan));
    let mut way = None;
    for step in &plan.steps {
        if way != Some(step.way) {
            way = Some(step.way);
            print_out(&[Line::default(), Line::default().add(Paint::Bold, format!("# {}", way_title(step.way)))]);
        }
        print_step(style, plan, step);
    }
}

fn way_title(way: Way) -> &'static str {
    match way {
        Way::Before => "BEFORE EVERY WAY",
        Way::OneFile => "FIRST WAY: A DUMP IN ONE FILE",
        Way::Parallel => "SECOND WAY: A DUMP IN PARALLEL",
        Way::Live => "THIRD WAY: LOGICAL REPLICATION, WHILE THE SOURCE STAYS IN USE",
    }
}

fn print_step(style: &Style<'_>, plan: &Plan, step: &Step) {
    print_out(&heading(&format!("{}: {}", step.id, step.title)));
    step.flags.iter().for_each(|flag| print_out(&comment(&format!("{}: ", flag.flag), &flag.why)));
    print_shell(style, &style.lines(plan, &step.actions));
    step.expect.iter().for_each(|text| print_out(&comment("", text)));
}

/// Lines of the shell stand as they are. On a terminal a name must not move the cursor, so there they are shown escaped, and not to be pasted.
fn print_shell(style: &Style<'_>, lines: &[String]) {
    let text = lines.join("\n");
    let moves = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !std::io::stdout().is_terminal() || !text.contains(moves) {
        return print_raw(&text);
    }
    let flag = if style.shell == Shell::Bash { "bash" } else { "powershell" };
    print_out(&comment(
        "",
        &format!("A name in here holds control characters, shown escaped. Do not paste this; use --script DIR --shell {flag}."),
    ));
    text.lines().for_each(|line| print_raw(&clean(line)));
}

fn print_raw(text: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that has gone away is no error.
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

fn document(style: &Style<'_>, plan: &Plan, script: Option<&Path>) -> Value {
    let step = |step: &Step| {
        json!({
            "id": step.id,
            "way": step.way,
            "title": step.title,
            "lines": style.lines(plan, &step.actions),
            "flags": step.flags,
            "expect": step.expect,
        })
    };
    json!({
        "source": plan.source.label,
        "target": plan.target.label,
        "shell": style.shell,
        "notes": plan.all_notes().collect::<Vec<_>>(),
        "connections": style.connections(plan),
        "steps": plan.steps.iter().map(step).collect::<Vec<_>>(),
        "directory": script.map(|dir| dir.to_string_lossy()),
    })
}
