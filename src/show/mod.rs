//! What a terminal, a page and a file share: numbers with units, cleaned names, phases in words, and the reports that are files.
//! It draws from the engine's view, findings and reports, and uses nothing else.

pub mod bundle;
pub mod certificate;
pub mod checkup_file;
pub mod conclusion;
pub mod form;
pub mod markdown;
pub mod migration_report;
pub mod numbers;
pub mod phases;
mod scrub;
