//! Sources that cannot tell their changes: standbys, and providers that offer no logical decoding.

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Side, fix_sql};
use crate::engine::finding::{Finding, Severity};
use crate::migration::provider::{Availability, Provider};

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            code: "A6",
            title: "Changes from a standby",
            about: "whether the standby can tell its changes",
            grant: CATALOGS,
            explain: "",
            look: Look::Rows { side: Side::Source, query: STANDBY, evaluate: standby },
        },
        Check {
            code: "A13",
            title: "Logical decoding at the provider",
            about: "whether the provider offers logical decoding",
            grant: "",
            explain: "Some providers offer no way to turn logical decoding on, and no right to replicate. Who hosts the source \
                      is told from its address and from what is seen inside it.\n\n\
                      Without logical decoding there is no stream of changes, so the source cannot be followed while it is in \
                      use. A copy works as ever: writes have to stop while it runs, or what is written meanwhile is not taken \
                      along.\n\n\
                      Plan a copy with a pause, or move to a server of the same provider's or another's that has logical \
                      decoding first.",
            look: Look::Facts(|cx| never_decodes(cx, cx.host(Side::Source))),
        },
    ]
}

const STANDBY: &str = "
select pg_is_in_recovery() as standby, current_setting('hot_standby_feedback') = 'on' as feedback";

#[derive(Deserialize)]
struct Standby {
    standby: bool,
    feedback: bool,
}

/// Decoding on standbys came with 16.
const DECODES_ON_STANDBYS: u32 = 16;

fn standby(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let Some(seen) = rows.first::<Standby>()?.filter(|seen| seen.standby) else { return Ok(Vec::new()) };
    let major = cx.source().version.major();
    if major < DECODES_ON_STANDBYS {
        let sentence = format!("The source is a standby of Postgres {major}, which cannot decode changes there.");
        let why = "Logical decoding runs on a primary, and on standbys only from Postgres 16 on.";
        let fix = "Give the connection string of the primary as the source for live replication.";
        return Ok(vec![Finding::new("A6", cx.live(Severity::Blocker), "source", sentence, why).with_fix(fix)]);
    }
    if seen.feedback {
        return Ok(Vec::new());
    }
    let sentence =
        "The source is a standby that does not tell its primary which rows it still needs (hot_standby_feedback is off).";
    let why = "The primary may then remove rows of the catalogs that decoding needs, and the standby invalidates our slot.";
    let statements = ["alter system set hot_standby_feedback = on;".to_owned(), "select pg_reload_conf();".to_owned()];
    let fix = fix_sql(
        "Turn it on as a superuser of the standby, which needs no restart; the primary then keeps dead rows longer",
        &statements,
    );
    Ok(vec![Finding::new("A6", cx.live(Severity::Warning), "source", sentence.to_owned(), why).with_fix(fix)])
}

/// A provider that offers no logical decoding at all.
pub(super) fn never_decodes(cx: &Context<'_>, provider: &Provider) -> Vec<Finding> {
    if provider.logical.available != Availability::Never {
        return Vec::new();
    }
    let sentence = format!("{} offers no logical decoding.", provider.name);
    let why = "Without it there is no stream of changes, and the source cannot be followed while it is in use.";
    vec![Finding::new("A13", cx.live(Severity::Blocker), "source", sentence, why).with_fix(provider.logical.fix())]
}

#[cfg(test)]
mod tests {
    use super::super::super::facts::Known;
    use super::super::super::{Options, Wish};
    use super::*;
    use crate::migration::provider;

    #[test]
    fn a_provider_without_decoding_blocks_only_live_replication() {
        let known = Known::plain();
        let severity = |wish: Wish, id: &str| {
            let options = Options { wish, ..Options::check() };
            let provider = provider::by_id(id).unwrap_or_else(|| unreachable!("{id} is in the table"));
            never_decodes(&Context { known: &known, options: &options }, provider).first().map(|finding| finding.severity)
        };
        assert_eq!(severity(Wish::Live, "heroku"), Some(Severity::Blocker));
        assert_eq!(severity(Wish::Open, "heroku"), Some(Severity::Warning));
        assert_eq!(severity(Wish::Once, "heroku"), Some(Severity::Note));
        assert_eq!(severity(Wish::Live, "rds"), None);
        assert_eq!(severity(Wish::Live, "self-hosted"), None);
    }
}
