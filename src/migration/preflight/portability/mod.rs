//! Family G: what of the schema a target may not take.

mod constraints;

use super::check::Check;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    checks.extend(constraints::checks());
    checks
}
