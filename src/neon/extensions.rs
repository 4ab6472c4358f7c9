//! What extensions Neon offers, by major.
