//! A project at Neon that does not exist yet, as far as published facts tell (`data/extensions.toml`; Neon's documentation on
//! roles, parameters and compatibility).

use super::facts::{Capabilities, Connections, Installed, Locale, Offered, ServerFacts};
use super::versions::MAJORS;
use crate::neon::extensions::{Offer, offer};
use crate::pg::types::ServerVersion;

/// The major that a project for this source gets: the same, or the nearest that there is.
pub(super) fn major_for(source: ServerVersion) -> u32 {
    source.major().clamp(*MAJORS.start(), *MAJORS.end())
}

/// The server that a project would be.
pub(super) fn server(major: u32, source: &ServerFacts) -> ServerFacts {
    ServerFacts {
        version: ServerVersion(major * 10_000),
        system_identifier: None,
        started_at_us: 0,
        in_recovery: false,
        database: source.database.clone(),
        database_oid: 0,
        role: source.role.clone(),
        encoding: "UTF8".to_owned(),
        locale: Locale { provider: "c".to_owned(), collate: "C.UTF-8".to_owned(), ctype: "C.UTF-8".to_owned(), name: None },
        provider: Some("Neon".to_owned()),
        can: Capabilities {
            superuser: false,
            bypass_rls: true,
            create_role: true,
            create_database: true,
            replication: true,
            owns_database: true,
            create_in_database: true,
            create_in_public: Some(true),
            create_temporary: true,
            create_event_triggers: true,
            set_replication_role: Some(false),
        },
        // The least that a compute of any size has, less those that are kept for others.
        connections: Connections { max: 104, reserved: 7, used: 0, free: 97 },
        lock_slots: u64::MAX,
        relations: 0,
        forced: Vec::new(),
    }
}

/// What Neon offers of the source's extensions.
pub(super) fn offered(installed: &[Installed], major: u32) -> Vec<Offered> {
    let of = |installed: &Installed| match offer(&installed.name, major) {
        Offer::Offered { version, entry } if entry.status.installable() => {
            Some(Offered { name: installed.name.clone(), version: version.to_owned(), superuser_only: false })
        }
        _ => None,
    };
    installed.iter().filter_map(of).collect()
}
