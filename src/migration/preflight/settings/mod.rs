//! Family B, the settings: what stands in the way of live replication, what behaves differently on the target, and the state of the servers.

mod assign;
mod behaviour;
mod health;
mod logical;
mod performance;
mod roles;
mod workers;

use super::check::Check;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = logical::checks();
    checks.extend(workers::checks());
    checks.extend(behaviour::checks());
    checks.extend(roles::checks());
    checks.extend(performance::checks());
    checks.extend(health::checks());
    checks
}

/// The statement that changes a setting of the whole server.
fn alter_system(name: &str, value: &str) -> String {
    format!("alter system set {name} = {};", assign::value(name, value))
}

const RELOAD: &str = "select pg_reload_conf();";
