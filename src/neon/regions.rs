//! Neon's regions, and the nearest one for a source.
