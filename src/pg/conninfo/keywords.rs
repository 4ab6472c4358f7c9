//! Every keyword that we know, and what becomes of it.

/// What becomes of a keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    /// Used.
    Used,
    /// Accepted without a word: it changes nothing here.
    Harmless,
    /// Ignored with a notice: it belongs to another program or is a session setting that we pin.
    Ignored(&'static str),
    /// Refused with a sentence that says what to do.
    Refused(&'static str),
}

/// The keywords of libpq that we use, each with its environment variable (Postgres documentation, "Environment Variables").
pub(super) const USED: &[(&str, &str)] = &[
    ("application_name", "PGAPPNAME"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("client_encoding", "PGCLIENTENCODING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("dbname", "PGDATABASE"),
    ("gssencmode", "PGGSSENCMODE"),
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("keepalives", ""),
    ("keepalives_count", ""),
    ("keepalives_idle", ""),
    ("keepalives_interval", ""),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("options", "PGOPTIONS"),
    ("passfile", "PGPASSFILE"),
    ("password", "PGPASSWORD"),
    ("pgbouncer", ""),
    ("port", "PGPORT"),
    ("require_auth", "PGREQUIREAUTH"),
    ("service", "PGSERVICE"),
    ("servicefile", "PGSERVICEFILE"),
    ("ssl", ""),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("sslcert", "PGSSLCERT"),
    ("sslcertmode", "PGSSLCERTMODE"),
    ("sslkey", "PGSSLKEY"),
    ("sslmode", "PGSSLMODE"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslsni", "PGSSLSNI"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("tcp_user_timeout", ""),
    ("user", "PGUSER"),
];

const HARMLESS: &[&str] = &[
    "authtype",
    "fallback_application_name",
    "gssdelegation",
    "gsslib",
    "krbsrvname",
    "max_protocol_version",
    "min_protocol_version",
    "sslcompression",
    "tty",
    "uselibpqcompat",
];

const REFUSED: &[(&str, &str)] = &[
    ("requirepeer", "checking the server's operating system user is not supported; remove requirepeer"),
    ("scram_client_key", "logging in with a SCRAM key is not supported; give the password instead"),
    ("scram_server_key", "logging in with a SCRAM key is not supported; give the password instead"),
    ("sslcrl", "certificate revocation lists are not supported; remove sslcrl"),
    ("sslcrldir", "certificate revocation lists are not supported; remove sslcrldir"),
    (
        "sslpassword",
        "encrypted client keys are not supported; decrypt the key with `openssl pkey -in KEY -out PLAIN_KEY`, use it as sslkey, and remove sslpassword",
    ),
    ("replication", "the tool decides itself which of its sessions are for replication; remove replication"),
];

/// Variables of refused keywords.
pub(super) const REFUSED_VARIABLES: &[(&str, &str)] =
    &[("requirepeer", "PGREQUIREPEER"), ("sslcrl", "PGSSLCRL"), ("sslcrldir", "PGSSLCRLDIR")];

/// Parameters of Prisma, node-postgres, Rails, Django, SQLAlchemy, pgx, JDBC and consoles: each belongs to the program that invented it.
const FOREIGN: &[&str] = &[
    "applicationname",
    "channelbinding",
    "charset",
    "checkout_timeout",
    "command_timeout",
    "conn_max_age",
    "conn_max_lifetime",
    "connection_limit",
    "connecttimeout",
    "currentschema",
    "default_query_exec_mode",
    "encoding",
    "fetch_types",
    "idle_timeout",
    "loggerlevel",
    "max",
    "max_conns",
    "max_idle_conns",
    "max_lifetime",
    "max_open_conns",
    "pool",
    "pool_health_check_period",
    "pool_max_conn_idle_time",
    "pool_max_conn_lifetime",
    "pool_max_conns",
    "pool_min_conns",
    "pool_mode",
    "pool_size",
    "pool_timeout",
    "prepare",
    "preparethreshold",
    "prepared_statement_cache_size",
    "prepared_statements",
    "query_timeout",
    "reaping_frequency",
    "reconnect",
    "rewritebatchedinserts",
    "schema",
    "serverversion",
    "single_use_connections",
    "socket_timeout",
    "socketpath",
    "sockettimeout",
    "sslaccept",
    "sslfactory",
    "sslidentity",
    "statement_cache_capacity",
    "statement_cache_size",
    "stringtype",
    "supa",
    "targetservertype",
    "tcpkeepalive",
    "timeout",
    "use_prepared_statements",
    "workaround",
];

/// Session settings that some drivers allow in a connection string and that this tool sets itself in every session.
const PINNED: &[&str] = &[
    "bytea_output",
    "datestyle",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "lock_timeout",
    "search_path",
    "statement_timeout",
    "timezone",
];

/// Looks a keyword up. Keywords of libpq are lower case; those of other programs are known in any case.
pub(super) fn lookup(key: &str) -> Option<Keyword> {
    if USED.iter().any(|(known, _)| *known == key) {
        return Some(Keyword::Used);
    }
    if HARMLESS.contains(&key) {
        return Some(Keyword::Harmless);
    }
    if let Some((_, why)) = REFUSED.iter().find(|(known, _)| *known == key) {
        return Some(Keyword::Refused(why));
    }
    if key.starts_with("oauth_") {
        return Some(Keyword::Refused("logging in with OAuth is not supported; use a password"));
    }
    let lower = key.to_ascii_lowercase();
    if FOREIGN.contains(&lower.as_str()) {
        return Some(Keyword::Ignored("it is meant for another program"));
    }
    PINNED.contains(&lower.as_str()).then_some(Keyword::Ignored("the tool sets this itself in every session"))
}
