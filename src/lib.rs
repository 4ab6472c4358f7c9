//! The Neon Migration Assistant: moves a Postgres database to Neon, or to any Postgres, and proves that nothing was lost.
//!
//! The map. `migration` tells the story and calls one room per phase; `engine` knows steps, events, the journal and the view, and
//! nothing of Postgres; `pg` knows Postgres and nothing of migrations; `neon` knows Neon's API, likewise; `store` is SQLite; `cli`
//! turns the engine's view into text, and `web` into a page, with the words, numbers and files of `show`. The arrows are
//! `cli → web → migration → {engine, pg, neon}`, `{cli, web} → show → engine` and `engine → store`; `tests/it/layers.rs` keeps them
//! true.

pub mod cli;
pub mod demo;
pub mod engine;
pub mod migration;
pub mod neon;
pub mod pg;
pub mod show;
pub mod store;
pub mod web;
