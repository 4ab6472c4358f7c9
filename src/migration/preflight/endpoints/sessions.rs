//! What a session to an end is like: encrypted, and kept alive.

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Side, fix_sql};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::Ident;

pub(super) fn checks() -> Vec<Check> {
    [Side::Source, Side::Target].into_iter().flat_map(|side| [encrypted(side), kept_alive(side)]).collect()
}

fn encrypted(side: Side) -> Check {
    Check {
        code: "A2",
        title: "Encrypted sessions",
        about: "whether the sessions are encrypted",
        grant: CATALOGS,
        explain: "The server is asked whether our own session is encrypted (pg_stat_ssl). A session over a unix socket does \
                  not leave the machine and needs no encryption; one over the loopback address is only mentioned, because a \
                  tunnel or a pooler may stand behind it.\n\n\
                  Without TLS everybody on the path can read the rows and change them. With TLS but without a check of the \
                  certificate, somebody on the path can still pretend to be the server.\n\n\
                  Add sslmode=verify-full to the connection string; it encrypts, and checks the certificate and the host name \
                  in it. sslrootcert names the file of the authority if the system does not trust it. Neon's proxy accepts \
                  nothing but TLS, and the server behind it cannot see that, so Neon is not asked.",
        look: Look::Rows { side, query: TLS, evaluate: plain_text },
    }
}

fn kept_alive(side: Side) -> Check {
    Check {
        code: "A7",
        title: "Keepalives of the server",
        about: "when the server would notice that a connection is dead",
        grant: CATALOGS,
        explain: "How long the server waits before it asks a silent connection whether it is still there: tcp_keepalives_idle, \
                  _interval and _count as they are for our own session. Over a unix socket they are 0 and mean nothing, and \
                  within one machine no connection is lost unseen; neither is looked at.\n\n\
                  Our side sends keepalives after 60 s, so that networks which drop silent connections do not drop ours. But \
                  when this machine or its network dies, only the server's own keepalives end the session there; until then it \
                  holds its snapshot, its locks and its replication slot. The usual setting of Linux is two hours.\n\n\
                  The settings can be given to the role that migrates, without any right beside that to alter it; new sessions \
                  obey.",
        look: Look::Rows { side, query: KEEPALIVES, evaluate: slow_keepalives },
    }
}

const TLS: &str = "
select coalesce(s.ssl, false) as encrypted, current_setting('ssl') = 'on' as offered,
       inet_client_addr() is not null as tcp,
       coalesce(inet_client_addr() <<= inet '127.0.0.0/8' or inet_client_addr() = inet '::1', false) as loopback
  from (select) one left join pg_stat_ssl s on s.pid = pg_backend_pid()";

#[derive(Deserialize)]
struct Tls {
    encrypted: bool,
    offered: bool,
    tcp: bool,
    loopback: bool,
}

/// The server behind Neon's proxy sees the proxy's connection and not ours; the proxy itself accepts only TLS.
fn plain_text(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let Some(seen) = rows.first::<Tls>()? else { return Ok(Vec::new()) };
    if seen.encrypted || !seen.tcp || cx.of(side).is_some_and(|end| end.provider.as_deref() == Some("Neon")) {
        return Ok(Vec::new());
    }
    let name = side.name();
    let (severity, from) =
        if seen.loopback { (Severity::Note, ", though it comes from the server's own machine") } else { (Severity::Warning, "") };
    let sentence = format!("The session to the {name} is not encrypted{from}.");
    let why = "Whoever is on the path can read all rows, and change them on their way.";
    let add = format!(
        "Add sslmode=verify-full to the connection string of the {name}, and sslrootcert with the file of the certificate's authority \
         if the system does not trust it"
    );
    let fix = if seen.offered {
        format!("{add}.")
    } else {
        let words = format!(
            "The server offers no TLS. Give it a certificate and a key (ssl_cert_file and ssl_key_file) and turn TLS on with what \
             follows, which needs no restart. {add}"
        );
        fix_sql(&words, &["alter system set ssl = on;".to_owned(), "select pg_reload_conf();".to_owned()])
    };
    Ok(vec![Finding::new("A2", severity, name, sentence, why).with_fix(fix)])
}

const KEEPALIVES: &str = "
select to_number(current_setting('tcp_keepalives_idle'), '9999999999')::int8 as idle_s, to_number(current_setting('tcp_keepalives_interval'), '9999999999')::int8 as interval_s,
       to_number(current_setting('tcp_keepalives_count'), '9999999999')::int8 as count,
       inet_client_addr() is null or inet_client_addr() <<= inet '127.0.0.0/8' or inet_client_addr() = inet '::1' as local";

/// After how many seconds a dead connection should be noticed.
const NOTICED_S: i64 = 600;

#[derive(Deserialize)]
struct Keepalives {
    idle_s: i64,
    interval_s: i64,
    count: i64,
    local: bool,
}

/// Our own keepalives hold the connection open, so this is no more than good to know.
fn slow_keepalives(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let Some(seen) = rows.first::<Keepalives>()? else { return Ok(Vec::new()) };
    let after_s = seen.idle_s.saturating_add(seen.interval_s.saturating_mul(seen.count));
    if seen.local || after_s <= NOTICED_S {
        return Ok(Vec::new());
    }
    let sentence = format!("The {} would notice after {} minutes that this machine is gone.", side.name(), after_s / 60);
    let why = "Until then, a session of ours that died holds its snapshot, its locks and its replication slot there.";
    let of = format!("alter role {} in database {} set", cx.role(side), Ident::new(cx.of(side).map_or("", |end| &end.database)));
    let statements =
        [("idle", 60), ("interval", 10), ("count", 6)].map(|(what, value)| format!("{of} tcp_keepalives_{what} = {value};"));
    let fix = fix_sql("Let the server ask sooner; new sessions of this role obey", &statements);
    Ok(vec![Finding::new("A7", Severity::Note, side.name(), sentence, why).with_fix(fix)])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::Options;
    use super::super::super::facts::Known;
    use super::*;

    fn found(evaluate: fn(&Context<'_>, Side, &Rows) -> Evaluated, known: &Known, row: serde_json::Value) -> Vec<Finding> {
        let options = Options::check();
        evaluate(&Context { known, options: &options }, Side::Source, &Rows(vec![row])).unwrap_or_default()
    }

    #[test]
    fn only_what_leaves_the_machine_in_plain_text_is_a_warning() {
        let seen = |encrypted: bool, tcp: bool, loopback: bool, known: &Known| {
            let row = json!({"encrypted": encrypted, "offered": true, "tcp": tcp, "loopback": loopback});
            found(plain_text, known, row).first().map(|finding| finding.severity)
        };
        let mut known = Known::plain();
        assert_eq!(seen(false, true, false, &known), Some(Severity::Warning));
        assert_eq!(seen(false, true, true, &known), Some(Severity::Note));
        assert_eq!(seen(true, true, false, &known), None);
        assert_eq!(seen(false, false, false, &known), None);
        known.source.provider = Some("Neon".into());
        assert_eq!(seen(false, true, false, &known), None);
    }

    #[test]
    fn keepalives_count_only_where_a_network_is_between() {
        let seen = |idle: i64, local: bool| {
            let row = json!({"idle_s": idle, "interval_s": 75, "count": 9, "local": local});
            found(slow_keepalives, &Known::plain(), row)
        };
        assert_eq!(seen(7200, false).len(), 1);
        assert!(seen(7200, false)[0].sentence.contains("after 131 minutes"));
        assert_eq!(seen(0, true), []);
        assert_eq!(seen(7200, true), []);
        assert!(!seen(NOTICED_S, false).is_empty());
        assert_eq!(
            found(slow_keepalives, &Known::plain(), json!({"idle_s": 60, "interval_s": 10, "count": 6, "local": false})),
            []
        );
    }
}
