//! Takes out of events what does not belong into a file for a bug report: who and where the databases are, and what a row may have held.
//!
//! Why nothing of a row is left. The journal holds no row value by itself, but it holds sentences of servers, and the code of a database may
//! put anything into its errors and hints. So nothing that a server said is kept but its SQLSTATE: all such sentences follow a few
//! introductions, and what has a SQLSTATE without one of them goes as a whole. Of causes, only those of a known form are kept. Definitions
//! (defaults, comments, settings) may hold constants, so of a difference only what differs is kept. Names of tables and columns stay.

use std::net::IpAddr;
use std::path::Path;

use crate::engine::event::EventKind;
use crate::engine::finding::Finding;
use crate::engine::report::Report;

/// What stands where something was taken out.
const OUT: &str = "[left out]";
/// What comes before the words of a server.
const INTRODUCTIONS: &[&str] =
    &["he server answered: ", "The target refused it: ", "could not be read: ", "could not be listed: ", "Not evaluated: "];
/// How causes begin that hold names and numbers only.
const PLAIN_CAUSES: &[&str] = &["It is about the table ", "The connection was lost: ", "Interrupted."];

/// What is known of the two ends, and by what it is replaced.
#[derive(Debug, Default)]
pub struct Scrub {
    /// The longest first.
    needles: Vec<(String, String)>,
}

impl Scrub {
    /// Learns from the labels of a run, if the event is its beginning.
    pub fn learn(&mut self, kind: &EventKind) {
        if let EventKind::RunStarted { source, target, .. } = kind {
            self.learn_label(source, "source");
            self.learn_label(target, "target");
        }
    }

    /// Learns that a path is not to be shown.
    pub fn learn_path(&mut self, path: &Path, word: &str) {
        let path = path.display().to_string();
        if path.len() > 1 {
            self.add(path, word.to_owned());
        }
    }

    /// `label` is `user@host:port,host:port/database`.
    fn learn_label(&mut self, label: &str, side: &str) {
        self.add(label.to_owned(), side.to_owned());
        let Some((ends, database)) = split_label(label) else { return };
        let (user, hosts) = ends.rsplit_once('@').unwrap_or(("", ends));
        let known = |what: &str| format!("[{side} {what}]");
        for user in [user, user.split('@').next().unwrap_or_default()] {
            // A letter or two are words of the sentences too.
            if user.chars().count() > 2 {
                self.add(user.to_owned(), known("user"));
            }
            self.add(format!("\"{user}\""), known("user"));
            self.add(format!("{user}@"), format!("{}@", known("user")));
        }
        for host in hosts.split(',').map(|host| host.rsplit_once(':').map_or(host, |(host, _)| host)) {
            self.add(host.trim_matches(['[', ']']).to_owned(), known("host"));
            if let Some(endpoint) = host.split('.').next().filter(|first| first.starts_with("ep-")) {
                self.add(endpoint.to_owned(), known("host"));
                self.add(endpoint.trim_end_matches("-pooler").to_owned(), known("host"));
            }
        }
        // A schema may bear the same name, so it is only taken out where it can be nothing else.
        for (before, after) in [("database ", ""), ("database \"", "\""), ("=", ""), ("/", "")] {
            self.add(format!("{before}{database}{after}"), format!("{before}{}{after}", known("database")));
        }
    }

    fn add(&mut self, needle: String, word: String) {
        let is_name = needle.trim_matches(['"', '@', '=', '/', ' ']).len() > 1 || needle.chars().count() > 2;
        if is_name && needle != "\"\"" && !self.needles.iter().any(|(known, _)| *known == needle) {
            self.needles.push((needle, word));
            self.needles.sort_by_key(|(needle, _)| std::cmp::Reverse(needle.len()));
        }
    }

    /// Takes out what has to go.
    pub fn event(&self, kind: &mut EventKind) {
        match kind {
            EventKind::RunStarted { source, target, .. } => {
                "source".clone_into(source);
                "target".clone_into(target);
            }
            EventKind::StepStarted { title: text, .. }
            | EventKind::StepFinished { message: text, .. }
            | EventKind::Notice { message: text, .. } => self.text(text),
            EventKind::StepFailed { report, .. } | EventKind::RunFinished { report: Some(report), .. } => self.report(report),
            EventKind::Retrying { what, reason, .. } => [what, reason].into_iter().for_each(|text| self.text(text)),
            EventKind::LeftOut { name, reason, .. } => [name, reason].into_iter().for_each(|text| self.text(text)),
            EventKind::FindingRaised { finding } => self.finding(finding),
            EventKind::TableVerified { result } => {
                result.differences.clear();
                result.reason.iter_mut().for_each(|reason| self.text(reason));
            }
            EventKind::InventoryCompared { differences, explained, not_compared, .. } => {
                differences.iter_mut().chain(explained).for_each(|sentence| self.difference(sentence));
                not_compared.iter_mut().for_each(|sentence| self.text(sentence));
            }
            EventKind::BegunAnew
            | EventKind::PhaseStarted { .. }
            | EventKind::PhaseFinished { .. }
            | EventKind::PlanMade { .. }
            | EventKind::SnapshotTaken { .. }
            | EventKind::SnapshotReleased { .. }
            | EventKind::Table { .. }
            | EventKind::BuildStarted { .. }
            | EventKind::BuildFinished { .. }
            | EventKind::RunFinished { report: None, .. } => (),
        }
    }

    fn report(&self, report: &mut Report) {
        self.text(&mut report.message);
        report.fix.iter_mut().for_each(|fix| self.text(fix));
        for cause in &mut report.causes {
            let known = PLAIN_CAUSES.iter().any(|known| cause.starts_with(known)) || cause.contains(" took longer than ");
            if known || sqlstate(cause).is_some() { self.text(cause) } else { OUT.clone_into(cause) }
        }
    }

    fn finding(&self, finding: &mut Finding) {
        let texts = [&mut finding.subject, &mut finding.sentence, &mut finding.why];
        texts.into_iter().chain(&mut finding.fix).chain(&mut finding.objects).for_each(|text| self.text(text));
    }

    /// A difference of the inventories, without the definitions.
    fn difference(&self, sentence: &mut String) {
        if let Some((what, _)) = sentence.split_once(": on the source ") {
            *sentence = format!("{what}; how is left out.");
        }
        self.text(sentence);
    }

    fn text(&self, text: &mut String) {
        // Credentials first: what replaces a name could hide where they end.
        *text = addresses(&self.named(&credentials(&without_answer(text))));
    }

    /// The text with what is known by name replaced, whole words only.
    fn named(&self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let before = clean.chars().next_back();
            let found = self.needles.iter().find(|(needle, _)| {
                rest.strip_prefix(needle.as_str()).is_some_and(|after| {
                    let starts = !in_word(needle.chars().next()) || !in_word(before);
                    let ends = !in_word(needle.chars().next_back()) || !in_word(after.chars().next());
                    starts && ends
                })
            });
            let taken = match found {
                Some((needle, word)) => {
                    clean.push_str(word);
                    needle.len()
                }
                None => {
                    clean.push(first);
                    first.len_utf8()
                }
            };
            rest = &rest[taken..];
        }
        clean
    }
}

fn in_word(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// Parts a label before its database, which follows the first port.
fn split_label(label: &str) -> Option<(&str, &str)> {
    label.match_indices('/').find_map(|(slash, _)| {
        let port = label[..slash].rsplit_once(':')?.1;
        let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        is_port.then(|| (&label[..slash], &label[slash + 1..]))
    })
}

/// The last SQLSTATE that a text gives.
fn sqlstate(text: &str) -> Option<&str> {
    let after = text.rsplit_once("(SQLSTATE ")?.1;
    after.get(..5).filter(|code| code.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// The text without what a server said. A SQLSTATE is what every answer of a server ends with.
fn without_answer(text: &str) -> String {
    let Some(code) = sqlstate(text) else { return text.to_owned() };
    let known = INTRODUCTIONS.iter().filter_map(|words| text.find(words).map(|at| at + words.len())).min();
    format!("{}{OUT} (SQLSTATE {code}).", &text[..known.unwrap_or(0)])
}

/// The text without the credentials of addresses and what is called a password. The journal has none; this is the second lock on the door.
fn credentials(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '/')).unwrap_or(after.len());
        let keep = after[..end].rfind('@').unwrap_or(0);
        clean.push_str(before);
        if keep > 0 {
            clean.push_str(OUT);
        }
        rest = &after[keep..];
    }
    clean.push_str(rest);
    without_passwords(&clean)
}

fn without_passwords(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let (mut clean, mut from) = (String::with_capacity(text.len()), 0);
    while let Some(at) = lower[from..].find("password") {
        let word_end = from + at + "password".len();
        let value = word_end + (text[word_end..].len() - text[word_end..].trim_start_matches([' ', '=']).len());
        let assigned = text[word_end..value].contains('=');
        let length = match text[value..].chars().next() {
            Some(quote @ ('\'' | '"')) => text[value + 1..].find(quote).map_or(text.len() - value, |end| end + 2),
            Some(_) if assigned => text[value..].find(char::is_whitespace).unwrap_or(text.len() - value),
            _ => 0,
        };
        clean.push_str(&text[from..value]);
        if length > 0 {
            clean.push_str(OUT);
        }
        from = value + length;
    }
    clean + &text[from..]
}

/// The text without addresses of machines.
fn addresses(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.');
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let run = if is_part(first) && !in_word(clean.chars().next_back()) {
            rest.find(|c| !is_part(c)).unwrap_or(rest.len())
        } else {
            0
        };
        match address_at(&rest[..run]).filter(|length| !in_word(rest[*length..].chars().next())) {
            Some(length) => {
                clean.push_str("[address]");
                rest = &rest[length..];
            }
            None => {
                clean.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    clean
}

/// How long the address is that a run of digits, dots and colons begins with: without a dot that ends a sentence, and without a port.
fn address_at(run: &str) -> Option<usize> {
    let trimmed = run.trim_end_matches(['.', ':']);
    let without_port = trimmed.rsplit_once(':').map_or(trimmed, |(host, _)| host);
    // `a::b` is a cast.
    let is_address = |text: &str| text.bytes().any(|byte| byte.is_ascii_digit()) && text.parse::<IpAddr>().is_ok();
    [trimmed, without_port].into_iter().find(|text| is_address(text)).map(str::len)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn scrub() -> Scrub {
        let mut scrub = Scrub::default();
        scrub.learn(&EventKind::RunStarted {
            command: "copy".into(),
            version: "1".into(),
            pid: 1,
            source: "maria@corp@db1.example.org:5432,[2001:db8::7]:5433/shop/x".into(),
            target: "ab@ep-calm-sea-123-pooler.eu.aws.neon.tech:5432/shop".into(),
        });
        scrub.learn_path(Path::new("/home/maria/state/shop-1"), "[state directory]");
        scrub
    }

    fn clean(text: &str) -> String {
        let mut text = text.to_owned();
        scrub().text(&mut text);
        text
    }

    #[test]
    fn who_and_where_is_taken_out_and_words_stay_whole() {
        assert_eq!(clean("No host db1.example.org:5432."), "No host [source host]:5432.");
        assert_eq!(clean("The endpoint ep-calm-sea-123 sleeps."), "The endpoint [target host] sleeps.");
        assert_eq!(clean("maria@corp owns it, marias does not."), "[source user] owns it, marias does not.");
        assert_eq!(clean("A tab, able; role \"ab\"; ab@h"), "A tab, able; role [target user]; [target user]@h");
        assert_eq!(clean("maria@corp@db1.example.org:5432,[2001:db8::7]:5433/shop/x is up"), "source is up");
        assert_eq!(
            clean("shop.orders of the database \"shop\" with --replace-target=shop"),
            "shop.orders of the database \"[target database]\" with --replace-target=[target database]"
        );
        assert_eq!(clean("See /home/maria/state/shop-1/lock"), "See [state directory]/lock");
    }

    #[test]
    fn addresses_are_taken_out_and_what_looks_like_them_stays() {
        assert_eq!(clean("From 10.1.2.3, 10.1.2.3:5432 and 2001:db8::9."), "From [address], [address]:5432 and [address].");
        for text in ["Postgres 17.10 at 12:30:01", "'x'::text, 1::date, a::b", "LSN 0/1A2B3C4; 1.2.3"] {
            assert_eq!(clean(text), text);
        }
    }

    #[test]
    fn of_a_server_only_the_sqlstate_is_left() {
        assert_eq!(
            clean("The source failed while copying public.t. The server answered: planted: planted (SQLSTATE P0001). planted"),
            "The source failed while copying public.t. The server answered: [left out] (SQLSTATE P0001)."
        );
        assert_eq!(clean("planted (SQLSTATE 57P01)"), "[left out] (SQLSTATE 57P01).");
        assert_eq!(clean("Odd (SQLSTATE ü)"), "Odd (SQLSTATE ü)");
    }

    #[test]
    fn credentials_are_taken_out() {
        assert_eq!(clean("postgresql://u:planted@h/d and https://x.y/z"), "postgresql://[left out]@h/d and https://x.y/z");
        assert_eq!(clean("host=h password=planted dbname=d"), "host=h password=[left out] dbname=d");
        assert_eq!(clean("create role r password 'plan ted'; x"), "create role r password [left out]; x");
        assert_eq!(clean("The password is wrong, ü."), "The password is wrong, ü.");
    }

    #[test]
    fn a_label_is_parted_at_its_first_port() {
        assert_eq!(split_label("u@/run/pg:5432/a/b:1/c"), Some(("u@/run/pg:5432", "a/b:1/c")));
        assert_eq!(split_label("a file of answers"), None);
    }

    #[test]
    fn of_a_difference_the_definitions_go() {
        let mut sentence = "The column a.b differs in default: on the source 'planted', on the target 'x'. Why.".to_owned();
        scrub().difference(&mut sentence);
        assert_eq!(sentence, "The column a.b differs in default; how is left out.");
    }

    #[test]
    fn causes_of_an_unknown_form_go() {
        let mut report = Report::new("c", crate::engine::report::Exit::Source, "M")
            .with_cause("It is about the table public.t.")
            .with_cause("The server's hint: planted")
            .with_cause("pg_dump: error: planted");
        scrub().report(&mut report);
        assert_eq!(report.causes, ["It is about the table public.t.", OUT, OUT]);
    }
}
