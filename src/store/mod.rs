//! SQLite: one writer thread, readers, and the schema.
