//! What people and programs see of a run. Every renderer draws the engine's `View` and nothing else.
//!
//! Where it goes: progress and errors to standard error, the certificate to standard output; with JSON everything is on standard output.
//! A reader that has gone away (a closed pipe) ends no migration: what cannot be written is dropped.

pub mod certificate;
pub mod checkup;
pub mod plain;
pub mod report;
pub mod term;
pub mod text;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::engine::event::{Event, EventKind};
use crate::engine::journal::Subscription;
use crate::engine::phase::Phase;
use crate::engine::progress::Progress;
use crate::engine::recording;
use crate::engine::report::Report;
use crate::engine::step::Cx;
use crate::engine::view::View;

use super::args::{Color, Output, Talk};
use super::log;
use text::Line;

/// How often the live view is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(250);
/// How often JSON has a line of progress, at most.
const JSON_PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// The width of what is not on a terminal.
const WIDTH_DEFAULT: usize = 100;

/// What a terminal shows while both ends are looked at, which is before there is a run to draw. It goes when it is dropped.
#[derive(Debug)]
pub struct Looking(Option<ProgressBar>);

impl Looking {
    /// Shows it, if this is a terminal and it is wanted.
    pub fn start(talk: &Talk) -> Looking {
        let live = matches!(talk.output, Output::Text) && !talk.quiet && talk.verbose == 0 && is_live();
        Looking(live.then(|| {
            let bar = ProgressBar::new_spinner().with_message(format!("{} …", Phase::Preflight.title()));
            bar.enable_steady_tick(DRAW_EVERY);
            bar
        }))
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A renderer at work.
#[derive(Debug)]
pub struct Renderer(tokio::task::JoinHandle<View>);

/// Begins to render the run of `cx`, from its first event.
pub fn start(cx: &Cx, talk: &Talk) -> Result<Renderer, Report> {
    let events = cx.subscribe()?;
    let view = cx.history().clone();
    let screen = Screen::new(talk);
    Ok(Renderer(tokio::spawn(render(view, events, cx.progress(), screen))))
}

impl Renderer {
    /// Waits until all was rendered; the run has been finished ([`Cx::finish`]) before. Gives the last view.
    pub async fn finish(self) -> View {
        // A renderer that panicked has printed why; the run's result does not depend on it.
        self.0.await.unwrap_or_default()
    }
}

async fn render(mut view: View, mut events: Subscription, mut progress: watch::Receiver<Progress>, mut screen: Screen) -> View {
    let mut ticks = tokio::time::interval(DRAW_EVERY);
    loop {
        tokio::select! {
            next = events.next() => match next {
                Ok(next) if next.is_empty() => break,
                Ok(next) => {
                    for event in &next {
                        view.apply(event);
                        log::event(event);
                        screen.event(event, &view);
                    }
                }
                Err(report) => {
                    screen.report(&report);
                    break;
                }
            },
            _ = ticks.tick() => {
                view.progress = Some(progress.borrow_and_update().clone());
                screen.tick(&view);
            }
        }
    }
    screen.end(&view);
    view
}

/// Where the run is drawn.
pub(in crate::cli) enum Screen {
    Term(ProgressBar),
    Plain(plain::Plain),
    Json(Option<std::time::Instant>),
    Quiet,
}

impl Screen {
    pub(super) fn new(talk: &Talk) -> Screen {
        match talk.output {
            Output::Json => Screen::Json(None),
            _ if talk.quiet => Screen::Quiet,
            // Live lines and records do not mix.
            Output::Text if is_live() && talk.verbose == 0 => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(20));
                // The template is constant; if it were wrong, the default style would show the same message.
                if let Ok(style) = ProgressStyle::with_template("{msg}") {
                    bar.set_style(style);
                }
                Screen::Term(bar)
            }
            Output::Text | Output::Plain => Screen::Plain(plain::Plain::default()),
        }
    }

    pub(super) fn event(&mut self, event: &Event, view: &View) {
        match self {
            Screen::Term(bar) => {
                let lasting = term::lasting(event, view, term_width());
                if !lasting.is_empty() {
                    // What is drawn again below the lasting lines must not be older than they are.
                    bar.set_message(live(view));
                    let lines: Vec<String> = lasting.iter().map(|line| degrade(&line.to_string())).collect();
                    bar.println(lines.join("\n"));
                }
            }
            Screen::Plain(plain) => print_err(&plain.event(event, view)),
            Screen::Json(_) => print_json(recording::event_line(event)),
            Screen::Quiet if plain::needs_attention(&event.kind) => print_err(&plain::common(&event.kind, view, term_width())),
            Screen::Quiet => (),
        }
    }

    pub(super) fn tick(&mut self, view: &View) {
        match self {
            Screen::Term(bar) => {
                bar.set_message(live(view));
                bar.tick();
            }
            Screen::Plain(plain) => print_err(&plain.tick(view, Timestamp::now())),
            Screen::Json(last) => {
                if last.is_none_or(|last| last.elapsed() >= JSON_PROGRESS_EVERY)
                    && let Some(progress) = &view.progress
                    && progress.at.is_some()
                {
                    *last = Some(std::time::Instant::now());
                    print_json(recording::progress_line(progress));
                }
            }
            Screen::Quiet => (),
        }
    }

    fn report(&mut self, report: &Report) {
        match self {
            Screen::Term(bar) => bar.suspend(|| print_report(report)),
            Screen::Plain(_) | Screen::Json(_) | Screen::Quiet => print_report(report),
        }
    }

    /// The end: the certificate, and what went wrong.
    pub(super) fn end(&mut self, view: &View) {
        match self {
            Screen::Json(_) => return,
            Screen::Term(bar) => bar.finish_and_clear(),
            Screen::Plain(_) | Screen::Quiet => (),
        }
        let certificate = certificate::certificate(view, term_width());
        if !certificate.is_empty() {
            print_out(&[Line::default()]);
            print_out(&certificate);
        }
        if let Some(report) = view.ended.as_ref().and_then(|ended| ended.report.as_ref()) {
            print_err(&[Line::default()]);
            print_report(report);
        }
    }
}

/// The live lines. One column is left free: a full line would make some terminals wrap.
fn live(view: &View) -> String {
    let width = term_width().saturating_sub(1);
    let lines = term::lines(view, Timestamp::now(), width);
    lines.iter().map(|line| degrade(&line.fit(width))).collect::<Vec<_>>().join("\n")
}

/// Sets for the whole process when text is coloured; `NO_COLOR` and `CLICOLOR_FORCE` are obeyed where it is left open.
pub fn set_color(color: Color) {
    let choice = match color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// Prints a report to standard error.
pub fn print_report(error: &Report) {
    print_err(&report::report(error, term_width()));
}

/// Prints lines to standard output; colours only where they are wanted (`NO_COLOR`, no terminal).
pub fn print_out(lines: &[Line]) {
    let mut out = anstream::stdout().lock();
    for line in lines {
        // A reader that has gone away is no error.
        let _ = writeln!(out, "{line}");
    }
    let _ = out.flush();
}

/// Prints lines to standard error, likewise.
pub fn print_err(lines: &[Line]) {
    let mut err = anstream::stderr().lock();
    for line in lines {
        let _ = writeln!(err, "{line}");
    }
}

/// Prints, as JSON, the end of a run that did not begin: there is no event before it, so it has the index 0.
pub fn print_end(report: &Report) {
    let kind = EventKind::RunFinished { exit: report.exit, report: Some(report.clone()) };
    print_json(recording::event_line(&Event { index: 0, at: Timestamp::now(), kind }));
}

pub(super) fn print_json(line: Result<String, serde_json::Error>) {
    // Everything in an event has a JSON form; its text was made from the journal's.
    if let Ok(line) = line {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    }
}

/// The line without colours where they are not wanted on standard error.
fn degrade(line: &str) -> String {
    match anstream::AutoStream::choice(&std::io::stderr()) {
        anstream::ColorChoice::Never => anstream::adapter::strip_str(line).to_string(),
        _ => line.to_owned(),
    }
}

/// The width of the terminal in columns.
pub fn term_width() -> usize {
    let size = terminal_size::terminal_size_of(std::io::stderr());
    size.map_or(WIDTH_DEFAULT, |(terminal_size::Width(columns), _)| usize::from(columns).max(40))
}

/// Whether standard error is a terminal that can move its cursor.
fn is_live() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
pub(crate) mod tests;
