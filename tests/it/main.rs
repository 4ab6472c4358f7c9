//! The integration tests: one binary, a module per story.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod bridge;
mod by_hand;
mod check;
mod check_again;
mod check_report;
mod checks_activity;
mod checks_ends;
mod checks_needed;
mod checks_replication;
mod checks_rights;
mod checks_schema;
mod checks_storage;
mod choices;
mod commands;
mod connect;
mod crash;
mod faults;
mod fidelity;
mod guide;
mod house;
mod inventory;
mod layers;
mod matrix;
mod neon_api;
mod neon_contract;
mod odd;
mod preflight;
mod providers;
mod report;
mod secrets;
mod ui_check;
mod ui_commands;
mod ui_copy;
mod ui_create;
mod ui_eyes;
mod ui_guard;
mod ui_replay;
mod ui_replicate;
mod ui_stories;
mod usage;
mod verify;
