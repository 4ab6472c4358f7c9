//! Family G: what of the schema a target may not take.

mod clients;
mod constraints;
mod storage;

use super::check::Check;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    checks.extend(storage::checks());
    checks.extend(constraints::checks());
    checks.extend(clients::checks());
    checks
}
