//! What a terminal, a page and a file share: numbers with units, cleaned names, phases in words, and the reports that are files.
//! It draws from the engine's view, findings and reports, and uses nothing else.

pub mod certificate;
pub mod checkup_file;
pub mod markdown;
pub mod numbers;
pub mod phases;
