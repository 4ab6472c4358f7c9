//! A recorded migration: JSON lines by the contract of `docs/guide/json.md`, written as they come and read again one by one.
//!
//! What a newer version has to say and this one does not know is skipped and counted, as the contract asks of every reader. A line that is
//! broken is not: whoever replays a recording must not be shown less than it holds without a word. The one exception is a last line without
//! an end, which is what a recorder that was killed leaves behind.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::{Event, EventIndex, EventKind};
use super::progress::Progress;
use super::report::{Exit, Report};

/// How long a line may be, in bytes: the plan of 100,000 tables has about 20 MB.
const LINE_MAX: u64 = 64 << 20;

/// An event in one line.
///
/// # Errors
/// None that is known: everything in an event has a JSON form.
pub fn event_line(event: &Event) -> Result<String, serde_json::Error> {
    serde_json::to_string(event)
}

/// The progress in one line. It has no index: the latest replaces all earlier ones.
///
/// # Errors
/// None that is known.
pub fn progress_line(progress: &Progress) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Tagged<'a> {
        event: &'static str,
        #[serde(flatten)]
        progress: &'a Progress,
    }
    serde_json::to_string(&Tagged { event: "progress", progress })
}

/// One line of a recording.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// Something happened.
    Event(Event),
    /// How far it was.
    Progress(Progress),
}

impl Item {
    /// When it was; a progress may not say.
    pub fn at(&self) -> Option<Timestamp> {
        match self {
            Item::Event(event) => Some(event.at),
            Item::Progress(progress) => progress.at,
        }
    }
}

/// What every line has, and what those of events have.
#[derive(Deserialize)]
struct Head {
    event: String,
    index: Option<EventIndex>,
    at: Option<Timestamp>,
}

/// A recording, read line by line; it ends after its first error.
#[derive(Debug)]
pub struct Recording<R = BufReader<File>> {
    lines: R,
    path: PathBuf,
    number: u64,
    skipped: u64,
    over: bool,
}

impl Recording {
    /// Opens a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(path: &Path) -> Result<Recording, Report> {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        Ok(Recording::new(BufReader::new(file), path))
    }
}

impl<R: BufRead> Recording<R> {
    /// Reads from `lines`; errors name `path`.
    pub fn new(lines: R, path: &Path) -> Recording<R> {
        Recording { lines, path: path.to_owned(), number: 0, skipped: 0, over: false }
    }

    /// How many lines were passed over, because a newer version wrote them or the last one has no end.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The next line without its end, and whether it has one.
    fn line(&mut self) -> Result<Option<(Vec<u8>, bool)>, Report> {
        let mut line = Vec::new();
        let read = self.lines.by_ref().take(LINE_MAX).read_until(b'\n', &mut line);
        if read.map_err(|error| unreadable(&self.path, &error))? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let ends = line.last() == Some(&b'\n');
        if !ends && line.len() as u64 == LINE_MAX {
            return Err(self.broken("It is longer than 64 MiB."));
        }
        Ok(Some((line, ends)))
    }

    fn read(&mut self) -> Result<Option<Item>, Report> {
        while let Some((line, ends)) = self.line()? {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match parse(&line) {
                Ok(item) => return Ok(Some(item)),
                Err(Unread::Unknown) => self.skipped += 1,
                Err(Unread::Broken(_)) if !ends => self.skipped += 1,
                Err(Unread::Broken(why)) => return Err(self.broken(&why)),
            }
        }
        Ok(None)
    }

    fn broken(&self, why: &str) -> Report {
        let what = format!("Line {} of the recording {} cannot be read.", self.number, self.path.display());
        Report::new("recording-line", Exit::Usage, what).with_cause(why).with_fix(
            "Give a file that was written by `neon-migrate report --bundle FILE.jsonl` or by `neon-migrate copy --output json > FILE.jsonl`.",
        )
    }
}

impl<R: BufRead> Iterator for Recording<R> {
    type Item = Result<Item, Report>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.read().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Why a line gives nothing.
enum Unread {
    /// It holds a kind, or a state, that this version does not know.
    Unknown,
    /// It is no line of a recording.
    Broken(String),
}

fn parse(line: &[u8]) -> Result<Item, Unread> {
    // The text of the error may quote the line, which may hold anything.
    let broken = |error: serde_json::Error| match error.classify() {
        serde_json::error::Category::Data if error.to_string().contains("unknown variant") => Unread::Unknown,
        serde_json::error::Category::Data => {
            Unread::Broken(format!("A field is missing or has another form at column {}.", error.column()))
        }
        _ => Unread::Broken(format!("It is no JSON at column {}.", error.column())),
    };
    let head: Head = serde_json::from_slice(line).map_err(broken)?;
    if head.event == "progress" {
        return serde_json::from_slice(line).map(Item::Progress).map_err(broken);
    }
    let kind: EventKind = serde_json::from_slice(line).map_err(broken)?;
    match (head.index, head.at) {
        (Some(index), Some(at)) => Ok(Item::Event(Event { index, at, kind })),
        _ => Err(Unread::Broken("It has no index or no time.".to_owned())),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Report {
    Report::new("recording-file", Exit::Usage, format!("The recording {} cannot be read.", path.display()))
        .with_cause(format!("{error}."))
        .with_fix("Name a file that is there and that you may read.")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn read(text: &str) -> (Vec<Result<Item, Report>>, u64) {
        let mut recording = Recording::new(text.as_bytes(), Path::new("r.jsonl"));
        let items = recording.by_ref().collect();
        (items, recording.skipped())
    }

    const NOTICE: &str =
        r#"{"index":1,"at":"2026-11-24T12:00:00Z","event":"notice","message":"M","warning":false,"new_field":[1]}"#;

    #[test]
    fn what_is_written_is_read() {
        let event = Event {
            index: 7,
            at: "2026-11-24T12:00:00.123456Z".parse().unwrap(),
            kind: EventKind::Notice { message: "a\nb \"c\"".into(), warning: true },
        };
        let progress =
            Progress { at: Some(event.at), rows: 5, fraction: Some(0.25), eta_seconds: Some((1, 2)), ..Progress::default() };
        let text = format!("{}\n{}\n\n", event_line(&event).unwrap(), progress_line(&progress).unwrap());
        let (items, skipped) = read(&text);
        let items: Vec<Item> = items.into_iter().collect::<Result<_, _>>().unwrap();
        assert_eq!((items, skipped), (vec![Item::Event(event), Item::Progress(progress)], 0));
    }

    #[test]
    fn what_a_newer_version_says_is_skipped_and_counted() {
        let newer = r#"{"index":2,"at":"2026-11-24T12:00:00Z","event":"slot_moved","lsn":"0/1"}"#;
        let state = r#"{"index":3,"at":"2026-11-24T12:00:00Z","event":"table","id":1,"state":"streaming","rows":0,"bytes":0}"#;
        let (items, skipped) = read(&format!("{NOTICE}\n{newer}\n{state}\n{NOTICE}\n"));
        assert_eq!((items.len(), items.iter().all(Result::is_ok), skipped), (2, true, 2));
    }

    #[test]
    fn a_broken_line_is_named_and_is_the_end() {
        for broken in
            ["{", "[]", "plain text", r#"{"event":"notice"}"#, r#"{"event":"notice","message":"planted","warning":false}"#]
        {
            let (items, _) = read(&format!("{NOTICE}\n{broken}\n{NOTICE}\n"));
            assert_eq!(items.len(), 2, "{broken}");
            let report = items[1].as_ref().unwrap_err();
            assert_eq!(report.code, "recording-line");
            assert!(report.message.starts_with("Line 2 of the recording r.jsonl"), "{report:?}");
            assert!(!format!("{report:?}").contains("planted"));
        }
    }

    #[test]
    fn a_recorder_that_was_killed_leaves_half_a_line() {
        let (items, skipped) = read(&format!("{NOTICE}\n{}", &NOTICE[..40]));
        assert_eq!((items.len(), items[0].is_ok(), skipped), (1, true, 1));
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory() {
        let endless = BufReader::new(std::io::repeat(b'x'));
        let mut recording = Recording::new(endless, Path::new("r.jsonl"));
        let report = recording.next().unwrap().unwrap_err();
        assert_eq!((report.code.as_str(), report.causes[0].as_str()), ("recording-line", "It is longer than 64 MiB."));
        assert!(recording.next().is_none());
    }

    #[test]
    fn a_file_that_is_not_there_is_said() {
        assert_eq!(Recording::open(Path::new("/nonexistent/r.jsonl")).unwrap_err().code, "recording-file");
    }
}
