#![allow(clippy::unwrap_used)]

use super::*;
use crate::neon::extensions::{Offer, offer};

/// Marks written briefly: `setting:rds role:doadmin schema:_heroku database:rdsadmin extension:aiven_extras superuser`.
fn with_marks<T>(text: &str, then: impl FnOnce(&Marks<'_>) -> T) -> T {
    let kind = |kind: &str| -> Vec<String> {
        let words = text.split_whitespace().filter_map(|word| word.split_once(':'));
        words.filter(|(name, _)| *name == kind).map(|(_, value)| value.to_owned()).collect()
    };
    then(&Marks {
        setting_prefixes: &kind("setting"),
        roles: &kind("role"),
        schemas: &kind("schema"),
        databases: &kind("database"),
        extensions: &kind("extension"),
        superuser: text.split_whitespace().any(|word| word == "superuser"),
    })
}

#[test]
fn the_table_parses() {
    let table: Table = toml::from_str(TEXT).unwrap();
    assert_eq!(table.providers.len(), 23);
    assert_eq!(all().len(), 23);
    assert_eq!(self_hosted().id, "self-hosted");
    for (index, provider) in table.providers.iter().enumerate() {
        let expressions = provider.hosts.iter().chain(&provider.host_user).chain(provider.logins.iter().map(|login| &login.user));
        for text in expressions {
            Regex::new(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(text.ends_with('$'), "{text} would let lookalikes in");
            assert!(text.starts_with('^') || text.starts_with(r"\."), "{text} would let lookalikes in");
        }
        assert_eq!(by_id(&provider.id), Some(provider), "{} is there twice", provider.id);
        let earlier = |id: &String| table.providers[..index].iter().any(|other| other.id == *id);
        let marked = !provider.setting_prefixes.is_empty() || !provider.roles.is_empty();
        assert!(!marked || !provider.builds_on.iter().any(earlier), "{} comes after what it builds on", provider.id);
        assert!(provider.builds_on.iter().all(|id| by_id(id).is_some()), "{}", provider.id);
    }
}

#[test]
fn names_stay_those_that_users_know() {
    let known = [
        "Supabase",
        "Neon",
        "Amazon Aurora",
        "Amazon RDS",
        "AlloyDB",
        "Cloud SQL",
        "Azure",
        "Aiven",
        "Timescale",
        "DigitalOcean",
        "Crunchy Bridge",
        "PlanetScale",
    ];
    for name in known {
        assert!(all().iter().any(|provider| provider.name == name), "{name}");
    }
}

#[test]
fn every_provider_has_a_fix_in_full_sentences() {
    let sentence = |text: &str| text.ends_with('.') && text.starts_with(|c: char| c.is_uppercase());
    for provider in all() {
        let logical = &provider.logical;
        assert!(!logical.steps.is_empty(), "{}", provider.id);
        let own_names = ["DATABASE_URL", "max_slot_wal_keep_size"];
        let texts = logical.steps.iter().chain(&logical.restart).chain(&provider.notes);
        for text in texts.chain(&provider.direct_hint).chain(&provider.inbound) {
            let named = own_names.iter().any(|name| text.starts_with(name)) || text.starts_with("pg_hba.conf");
            assert!((sentence(text) || named) && text.ends_with('.'), "{}: {text}", provider.id);
            assert!(!text.contains("  ") && !text.contains('\n'), "{}: {text}", provider.id);
        }
        for sql in logical.sql.iter().chain(&logical.replication_grant) {
            assert!(sql.ends_with(';'), "{}: {sql}", provider.id);
        }
        let grantable = matches!(logical.available, Availability::Always | Availability::Switch);
        assert!(grantable || logical.replication_grant.is_none() && logical.sql.is_empty(), "{}", provider.id);
        assert!(provider.usable || logical.available == Availability::Never, "{}", provider.id);
    }
}

#[test]
fn fixes_are_words_and_then_sql() {
    let fix = |id: &str| by_id(id).unwrap().logical.fix();
    assert_eq!(
        fix("railway"),
        "Run this as postgres, which is a superuser, and then redeploy the service.\nalter system set wal_level = 'logical';"
    );
    assert_eq!(
        fix("rds"),
        "Set rds.logical_replication to 1 in a custom DB parameter group, and give that group to the instance.\nReboot the instance."
    );
    assert!(fix("aurora").contains("custom DB cluster parameter group"));
    assert!(fix("cloud-sql").contains("cloudsql.logical_decoding to on"));
    assert!(fix("azure").contains("wal_level to LOGICAL"));
    assert!(fix("supabase").contains("direct host, not to the pooler"));
    assert_eq!(by_id("heroku").unwrap().logical.available, Availability::Never);
}

#[test]
fn grants_quote_the_role() {
    let grant = |id: &str, role: &str| by_id(id).unwrap().logical.grant_replication(&Ident::new(role));
    assert_eq!(grant("rds", "shop").as_deref(), Some("grant rds_replication to \"shop\";"));
    let hostile = "x\"; drop {role}";
    assert_eq!(grant("self-hosted", hostile).as_deref(), Some("alter role \"x\"\"; drop {role}\" with replication;"));
    for id in ["heroku", "render", "digitalocean", "neon", "dsql"] {
        assert_eq!(grant(id, "shop"), None, "{id}");
    }
}

#[test]
fn what_is_left_out_neon_would_not_install() {
    for provider in all() {
        for name in &provider.leave_out_extensions {
            let kept = matches!(offer(name, 17), Offer::Offered { entry, .. } if entry.status.installable());
            assert!(!kept, "{}: {name}", provider.id);
        }
    }
    let supabase = by_id("supabase").unwrap();
    assert_eq!((supabase.leave_out_schemas.len(), supabase.leave_out_event_triggers.len()), (14, 5));
    assert_eq!(by_id("heroku").unwrap().leave_out_schemas, ["_heroku"]);
}

#[test]
fn host_names_give_providers_away() {
    let cases = [
        ("shop.c9akciq32.us-east-1.rds.amazonaws.com", "rds"),
        ("SHOP.C9AKCIQ32.US-EAST-1.RDS.AMAZONAWS.COM", "rds"),
        ("shop.c9akciq32.eu-west-1.rds.amazonaws.com.", "rds"),
        ("shop.c9akciq32.us-gov-west-1.rds.amazonaws.com", "rds"),
        ("shop.c9akciq32.cn-north-1.rds.amazonaws.com.cn", "rds"),
        ("shop.c9akciq32.rds.cn-north-1.amazonaws.com.cn", "rds"),
        ("cluster-shop.c9akciq32.us-east-1.rds.amazonaws.com", "rds"),
        ("shop.cluster-c9akciq32.us-east-1.rds.amazonaws.com", "aurora"),
        ("shop.cluster-ro-c9akciq32.us-east-1.rds.amazonaws.com", "aurora"),
        ("shop.cluster-custom-c9akciq32.us-east-1.rds.amazonaws.com", "aurora"),
        ("shop.proxy-c9akciq32.us-east-1.rds.amazonaws.com", "aurora"),
        ("shop.global-c9akciq32.global.rds.amazonaws.com", "aurora"),
        ("shop.cluster-c9akciq32.cn-north-1.rds.amazonaws.com.cn", "aurora"),
        ("shop.cluster-c9akciq32.rds.cn-north-1.amazonaws.com.cn", "aurora"),
        ("4iabtwxyzabc.dsql.us-east-1.on.aws", "dsql"),
        ("shop.c9akciq32.us-east-1.redshift.amazonaws.com", "redshift"),
        ("1a2b3c4d5e6f.3vxyz.us-central1.sql.goog", "cloud-sql"),
        ("1a2b3c4d5e6f.0a1b2c.global.sql-psa.goog", "cloud-sql"),
        ("shop.postgres.database.azure.com", "azure"),
        ("c-shop.1a2b3c.postgres.cosmos.azure.com", "cosmos"),
        ("db.abcdefghijklmnopqrst.supabase.co", "supabase"),
        ("aws-0-eu-central-1.pooler.supabase.com", "supabase"),
        ("aws-1-us-east-1.pooler.supabase.com.", "supabase"),
        ("dpg-cn1a2b3c4d5e6f-a.oregon-postgres.render.com", "render"),
        ("shop-do-user-123456-0.b.db.ondigitalocean.com", "digitalocean"),
        ("private-shop-do-user-123456-0.b.db.ondigitalocean.com", "digitalocean"),
        ("pg-1a2b3c-shop.b.aivencloud.com", "aiven"),
        ("shop-project.aivencloud.com", "aiven"),
        ("roundhouse.proxy.rlwy.net", "railway"),
        ("postgres.railway.internal", "railway"),
        ("x7k2-useast1-1.horizon.psdb.cloud", "planetscale"),
        ("us-east-1.pg.psdb.cloud", "planetscale"),
        ("p.abcdefghijklmnopqrstuvwxyz.db.postgresbridge.com", "crunchy-bridge"),
        ("1a2b3c.rdb.fr-par.scw.cloud", "scaleway"),
        ("abcde.fghij.tsdb.cloud.timescale.com", "timescale"),
        ("ep-cool-darkness-123456.us-east-2.aws.neon.tech", "neon"),
        ("ep-cool-darkness-123456-pooler.c-2.us-east-1.aws.neon.tech", "neon"),
        ("ep-cool-darkness-123456.gwc.azure.neon.tech", "neon"),
        ("instance-1a2b.database.cloud.databricks.com", "lakebase"),
        ("instance-1a2b.database.azuredatabricks.net", "lakebase"),
        ("db.prisma.io", "prisma"),
        ("shop-db.flycast", "fly"),
        ("direct.abcdef.flympg.net", "fly"),
    ];
    for (host, id) in cases {
        assert_eq!(of_host(host, 5432, "owner").map(|provider| provider.id.as_str()), Some(id), "{host}");
    }
}

#[test]
fn other_hosts_give_nobody_away() {
    for host in [
        "",
        ".",
        "localhost",
        "127.0.0.1",
        "10.0.0.5",
        "34.90.1.2",
        "2001:db8::1",
        "/var/run/postgresql",
        "db.example.org",
        "shop.internal",
        "ip-10-0-0-1.ec2.internal",
        "ec2-3-210-1-2.compute-1.amazonaws.com",
        "evil-rds.amazonaws.com.example.org",
        "shop.c9akciq32.us-east-1.rds.amazonaws.com.example.org",
        "shop.us-east-1.evilrds.amazonaws.com",
        "shop.us-east-1.rds-amazonaws.com",
        "rds.amazonaws.com",
        "evilsupabase.co",
        "db.x.supabase.co.example.org",
        "x.db.prisma.io",
        "evildb.ondigitalocean.com",
        "postgres.database.azure.com",
        "ep-cool.neon.tech.example.org",
        "neon.tech",
        "evilneon.tech",
        "proxy.rlwy.net",
        "dpg-x-a.oregon-postgres.render.com.example.org",
        "db.prisma.io\n",
    ] {
        assert_eq!(of_host(host, 5432, "owner").map(|provider| &provider.id), None, "{host:?}");
    }
}

#[test]
fn users_and_ports_give_providers_away() {
    let cases = [
        ("ec2-3-210-1-2.compute-1.amazonaws.com", 5432, "u97iinqt8ss4qm", Some("heroku")),
        ("ec2-34-250-1-2.eu-west-1.compute.amazonaws.com", 5432, "u97iinqt8ss4qm", Some("heroku")),
        ("c5hilnj7.cluster-czrs8kj4.us-east-1.rds.amazonaws.com", 5432, "u97iinqt8ss4qm", Some("heroku")),
        ("c5hilnj7.cluster-czrs8kj4.us-east-1.rds.amazonaws.com", 5432, "user_of_shop_1", Some("aurora")),
        ("ec2-3-210-1-2.compute-1.amazonaws.com", 5432, "postgres", None),
        ("10.0.0.5", 25060, "doadmin", Some("digitalocean")),
        ("10.0.0.5", 5432, "doadmin", None),
        ("pg.example.org", 5432, "avnadmin", Some("aiven")),
        ("pg.example.org", 5432, "tsdbadmin", Some("timescale")),
        ("pg.example.org", 6543, "postgres.abcdefghijklmnopqrst", Some("supabase")),
        ("pg.example.org", 6543, "postgres.shop", None),
        ("pg.example.org", 5432, "avnadmin\n", None),
        // A host name is more telling than a user.
        ("shop.postgres.database.azure.com", 5432, "avnadmin", Some("azure")),
    ];
    for (host, port, user, id) in cases {
        assert_eq!(of_host(host, port, user).map(|provider| provider.id.as_str()), id, "{user}@{host}:{port}");
    }
}

#[test]
fn marks_give_providers_away() {
    let cases = [
        ("", None),
        ("setting:plpgsql setting:pg_stat_statements role:postgres schema:public database:postgres", None),
        ("setting:rds role:rds_superuser database:rdsadmin", Some("rds")),
        ("role:rds_superuser", Some("rds")),
        ("database:rdsadmin", Some("rds")),
        ("setting:rds setting:aurora role:rds_superuser", Some("aurora")),
        ("setting:rds extension:apg_plan_mgmt", Some("aurora")),
        ("setting:apg", Some("aurora")),
        ("setting:rds role:rds_superuser schema:heroku_ext", Some("heroku")),
        ("setting:aurora setting:rds schema:_heroku", Some("heroku")),
        ("schema:heroku_ext", Some("heroku")),
        ("setting:azure schema:heroku_ext", Some("azure")),
        ("role:neon_superuser schema:heroku_ext", Some("neon")),
        ("setting:neon", Some("neon")),
        ("role:supabase_admin setting:rds", Some("supabase")),
        ("setting:supautils", Some("supabase")),
        ("role:anon role:authenticator role:service_role schema:auth schema:storage", None),
        ("setting:cloudsql role:cloudsqlsuperuser database:cloudsqladmin", Some("cloud-sql")),
        ("setting:alloydb role:alloydbsuperuser setting:cloudsql", Some("alloydb")),
        ("role:azure_pg_admin database:azure_sys", Some("azure")),
        ("role:avnadmin", Some("aiven")),
        ("extension:aiven_extras", Some("aiven")),
        ("role:doadmin extension:aiven_extras", Some("digitalocean")),
        ("role:tsdbadmin extension:timescaledb", Some("timescale")),
        ("extension:timescaledb extension:citus", None),
        ("setting:crunchy", Some("crunchy-bridge")),
        ("role:crunchy_superuser", Some("crunchy-bridge")),
        ("role:pscale_admin", Some("planetscale")),
        ("role:_rdb_admin", Some("scaleway")),
        ("role:RDS_SUPERUSER role:rds_superuser_2 schema:rdsadmin", None),
        // Roles and schemas that a dump brought to a server of one's own.
        ("role:rds_superuser role:rds_replication schema:heroku_ext superuser", None),
        ("setting:rds superuser", Some("rds")),
        ("role:supabase_admin superuser", Some("supabase")),
    ];
    for (text, id) in cases {
        assert_eq!(with_marks(text, of_marks).map(|provider| provider.id.as_str()), id, "{text}");
    }
}

#[test]
fn what_is_seen_inside_beats_the_host_name_but_where_it_tells_less() {
    let rds = "shop.c9akciq32.us-east-1.rds.amazonaws.com";
    let aurora = "shop.cluster-c9akciq32.us-east-1.rds.amazonaws.com";
    let cases = [
        (None, "owner", "", "self-hosted"),
        (None, "owner", "setting:cloudsql", "cloud-sql"),
        (Some("10.0.0.5"), "owner", "", "self-hosted"),
        (Some("10.0.0.5"), "owner", "setting:alloydb", "alloydb"),
        (Some("roundhouse.proxy.rlwy.net"), "postgres", "superuser", "railway"),
        (Some("roundhouse.proxy.rlwy.net"), "postgres", "role:supabase_admin superuser", "supabase"),
        (Some(rds), "owner", "setting:rds role:rds_superuser", "rds"),
        (Some(rds), "owner", "setting:rds setting:aurora", "aurora"),
        (Some(rds), "owner", "setting:rds schema:heroku_ext", "heroku"),
        (Some(rds), "u97iinqt8ss4qm", "setting:rds role:rds_superuser", "heroku"),
        (Some(rds), "owner", "role:neon_superuser", "neon"),
        (Some(rds), "owner", "superuser", "self-hosted"),
        (Some(aurora), "owner", "setting:rds role:rds_superuser", "aurora"),
        (Some("ec2-3-210-1-2.compute-1.amazonaws.com"), "u97iinqt8ss4qm", "superuser", "self-hosted"),
        (Some("shop-do-user-1-0.b.db.ondigitalocean.com"), "doadmin", "extension:aiven_extras setting:aiven", "digitalocean"),
        (Some("shop-do-user-1-0.b.db.ondigitalocean.com"), "doadmin", "schema:heroku_ext", "digitalocean"),
        (Some("dpg-cn1a2b-a.oregon-postgres.render.com"), "shop", "schema:heroku_ext", "render"),
        (Some("dpg-cn1a2b-a.oregon-postgres.render.com"), "shop", "role:doadmin", "digitalocean"),
        (Some("instance-1a2b.database.cloud.databricks.com"), "owner", "setting:neon role:cloud_admin", "lakebase"),
        (Some("c-shop.1a2b3c.postgres.cosmos.azure.com"), "citus", "setting:azure extension:citus", "cosmos"),
    ];
    for (host, user, text, id) in cases {
        let found = with_marks(text, |marks| recognise(host.map(|host| (host, 5432, user)), marks));
        assert_eq!(found.id, id, "{user}@{host:?} with {text}");
    }
}

#[test]
fn private_addresses_are_told_from_public_ones() {
    for host in [
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "100.64.0.1",
        "100.127.0.1",
        "::1",
        "fd00::1",
        "fe80::1",
        "::ffff:10.0.0.1",
        "localhost",
        "LOCALHOST",
        "db.railway.internal",
        "shop-db.flycast.",
        "/tmp",
        "@pg",
        "",
    ] {
        assert!(is_private(host), "{host}");
    }
    for host in ["172.32.0.1", "100.128.0.1", "8.8.8.8", "2001:4860::1", "::ffff:8.8.8.8", "db.example.org", "internal.example.org"]
    {
        assert!(!is_private(host), "{host}");
    }
}
