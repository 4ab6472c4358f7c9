//! Family G: what of the schema a target may not take.

use super::check::Check;

pub(super) fn checks() -> Vec<Check> {
    Vec::new()
}
