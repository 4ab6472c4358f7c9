//! The schema: pg_dump's archive of the source, what of it is left out, and its creation on the target.

pub mod archive;
pub mod filter;
pub mod restore;
pub mod script;
pub mod stages;
