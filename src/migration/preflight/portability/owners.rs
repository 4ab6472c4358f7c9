use super::super::check::Check;
pub(super) fn checks() -> Vec<Check> {
    Vec::new()
}
