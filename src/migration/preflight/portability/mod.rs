//! Family G: what of the schema a target may not take.

mod clients;
mod constraints;
mod running_out;
mod storage;

use super::check::Check;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    checks.extend(storage::checks());
    checks.extend(constraints::checks());
    checks.extend(running_out::checks());
    checks.extend(clients::checks());
    checks
}
