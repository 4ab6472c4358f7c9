#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::cli::render::tests::{Story, progress};
use crate::engine::event::EventKind;

fn written(story: &Story, running: bool, form: Form) -> String {
    let view = story.view();
    MigrationReport { name: "shop-1a2b3c4d", view: &view, running, at: story.now() }.write(form).unwrap()
}

fn hostile(story: Story) -> Story {
    story.then(EventKind::LeftOut {
        kind: "TABLE".into(),
        name: "a|b \"<script>alert(1)</script>\"\n`x`".into(),
        reason: "The target refused it: no (SQLSTATE 42501).".into(),
    })
}

#[test]
fn in_a_ticket() {
    let story = Story::copying()
        .then(EventKind::Notice { message: "The largest table is copied in 4 parts.".into(), warning: false })
        .ended_with([Verdict::Mismatch, Verdict::NotEvaluated]);
    insta::assert_snapshot!(written(&story, false, Form::Markdown));
}

#[test]
fn names_cannot_become_markup() {
    let story = hostile(Story::copying().ended_with([Verdict::Match, Verdict::Match]));
    let (html, markdown) = (written(&story, false, Form::Html), written(&story, false, Form::Markdown));
    assert!(!html.contains("<script") && html.contains("alert(1)"));
    assert!(!markdown.contains("<script>") && markdown.contains("a\\|b"), "{markdown}");
}

#[test]
fn every_form_has_every_table_difference_and_omission() {
    let story = Story::copying().ended_with([Verdict::Mismatch, Verdict::NotEvaluated]);
    let plain = |text: String| text.replace('\\', "").replace("&#34;", "\"").replace("&#39;", "'");
    let view = story.view();
    let inventory = view.inventory.clone().unwrap();
    for form in [Form::Html, Form::Markdown, Form::Json] {
        let text = plain(written(&story, false, form));
        let sentences = inventory.differences.iter().chain(&inventory.explained).chain(&inventory.not_compared);
        let names = ["public.orders", "public.events", "pg_cron"].into_iter();
        for said in
            sentences.map(String::as_str).chain(names).chain(["verification-mismatch", "app@db.example.org:5432/shop", "0/1A2B3C4"])
        {
            assert!(text.contains(said), "{form:?} does not say {said}");
        }
    }
}

#[test]
fn what_has_to_be_looked_at_comes_first() {
    let view = Story::copying().ended_with([Verdict::Match, Verdict::Mismatch]).view();
    let report = MigrationReport { name: "x", view: &view, running: false, at: Timestamp::now() };
    let names: Vec<_> = report.tables().iter().map(|row| (row.name, row.class)).collect();
    assert_eq!(names[..2], [("public.events", "bad"), ("public.orders", "good")]);
}

#[test]
fn what_is_under_way_or_was_killed_is_said() {
    let story = Story::copying();
    assert!(written(&story, true, Form::Markdown).contains("**It is under way"));
    let killed = written(&story, false, Form::Markdown);
    assert!(killed.contains("**Its process was killed or crashed.**") && !killed.contains("under way"), "{killed}");
    let nothing = MigrationReport { name: "x", view: &View::default(), running: false, at: progress().at.unwrap_or(story.now()) };
    assert!(nothing.write(Form::Html).unwrap().contains("Nothing was done yet."));
}

#[test]
fn a_program_can_read_it() {
    let story = Story::copying().ended_with([Verdict::Match, Verdict::Match]);
    let value: serde_json::Value = serde_json::from_str(&written(&story, false, Form::Json)).unwrap();
    assert_eq!((value["event"].as_str(), value["view"]["ended"]["exit"].as_str()), (Some("migration_report"), Some("done")));
    assert_eq!(value["conclusion"], "Done, and all rows are equal.");
}
