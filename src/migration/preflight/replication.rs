//! Family F: whether a database can be replicated while it is in use.

use super::check::Check;

pub(super) fn checks() -> Vec<Check> {
    Vec::new()
}
