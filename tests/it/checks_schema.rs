//! Families G, H and I of the checks: each finding appears on a source that deserves it, and goes away when its fix is executed as it is printed.
