//! Poolers: how to recognise one by its address, and where the server behind it is.
//!
//! A pooler in transaction mode gives every transaction another session, so that snapshots, locks and settings are lost, and no pooler lets
//! replication through.

use super::{Conninfo, Endpoint, Host};

/// That an address leads to a pooler, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PooledHint {
    /// A sentence or two for people.
    pub explanation: String,
    /// The host, port and user of the server itself, where they can be derived.
    pub direct: Option<Direct>,
}

/// The address of a server behind a pooler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Direct {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The user, which a pooler may write differently.
    pub user: String,
}

/// Looks at all endpoints; the first that is a pooler's counts.
pub(super) fn hint(info: &Conninfo) -> Option<PooledHint> {
    let found = info.endpoints.iter().find_map(|endpoint| of_endpoint(endpoint, &info.user));
    if let Some((what, direct)) = found {
        let fix = match &direct {
            Some(direct) => {
                format!("Use the direct address instead: host {}, port {}, user {}.", direct.host, direct.port, direct.user)
            }
            None => {
                "Use the direct address of the server instead; the provider's console shows it beside the pooled one.".to_owned()
            }
        };
        let explanation = format!("{what}, and a pooler cannot keep a snapshot or replicate. {fix}");
        return Some(PooledHint { explanation, direct });
    }
    info.pooled.then(|| PooledHint {
        explanation: "The connection string says pgbouncer=true, and a pooler cannot keep a snapshot or replicate. Use the direct address of the \
                      server instead; the provider's console shows it beside the pooled one."
            .to_owned(),
        direct: None,
    })
}

fn of_endpoint(endpoint: &Endpoint, user: &str) -> Option<(String, Option<Direct>)> {
    let Host::Name(host) = &endpoint.host else { return None };
    let lower = host.to_ascii_lowercase();
    let (first, domain) = lower.split_once('.').unwrap_or((&lower, ""));
    let direct = |host: String, port, user: &str| Some(Direct { host, port, user: user.to_owned() });
    if let Some(endpoint_id) = first.strip_suffix("-pooler").filter(|_| domain.contains("neon.")) {
        return Some((
            format!("{host} is the address of Neon's pooler"),
            direct(format!("{endpoint_id}.{domain}"), endpoint.port, user),
        ));
    }
    if lower.ends_with(".pooler.supabase.com") {
        let behind = user.rsplit_once('.').and_then(|(user, project)| direct(format!("db.{project}.supabase.co"), 5432, user));
        return Some((format!("{host} is the address of Supabase's pooler"), behind));
    }
    let what = |name: &str| format!("port {} is usually the port of {name}", endpoint.port);
    match endpoint.port {
        6543 => Some((what("Supabase's pooler"), direct(host.clone(), 5432, user))),
        6432 => Some((what("PgBouncer"), direct(host.clone(), 5432, user))),
        25061 => Some((what("DigitalOcean's pooler"), direct(host.clone(), 25060, user))),
        _ => None,
    }
}
