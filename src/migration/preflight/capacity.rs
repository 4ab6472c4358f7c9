//! Family H: how much there is, and whether it fits.

use super::check::Check;

pub(super) fn checks() -> Vec<Check> {
    Vec::new()
}
