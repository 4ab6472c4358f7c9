//! Which differences are as they should be: those that were announced, and what a dump never carries over.

use super::compare::{Comparison, Difference, LeftOut, What, explain};

/// The differences as sentences, parted by whether somebody has to look at them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settled {
    /// Nobody announced them.
    pub unexplained: Vec<String>,
    /// Announced, with their reason.
    pub explained: Vec<String>,
}

/// Explains what can be explained. `grants`: whether grants were to be kept.
pub fn settle(compared: &Comparison, announced: &[LeftOut], grants: bool) -> Settled {
    let (open, known) = explain(&compared.differences, announced);
    let mut settled = Settled::default();
    settled.explained.extend(known.iter().map(|(difference, reason)| format!("{difference} {reason}")));
    for difference in &open {
        match policy(difference, grants) {
            Some(reason) => settled.explained.push(format!("{difference} {reason}")),
            None => settled.unexplained.push(difference.to_string()),
        }
    }
    settled
}

/// What is left out by design, whatever the source has.
fn policy(difference: &Difference, grants: bool) -> Option<&'static str> {
    let subject = if difference.kind == "comment" { difference.name.as_str() } else { difference.kind.as_str() };
    let is = |kind: &str| subject == kind || difference.kind == "comment" && subject.starts_with(&format!("{kind} "));
    if ["publication", "published schema", "published table"].iter().any(|kind| is(kind)) {
        return Some("Publications are not carried over; create them on the target when something subscribes to it.");
    }
    if is("subscription") {
        return Some("Subscriptions are not carried over: two databases must not take the same stream.");
    }
    if difference.kind == "extension" && matches!(&difference.what, What::Different { field, .. } if field == "owner") {
        return Some("An extension belongs to the role that created it; no dump carries that over.");
    }
    match subject {
        "security label" => Some("Security labels are not carried over."),
        "setting" => {
            Some("Settings of the database and of roles are not part of a dump; set them on the target where they are wanted.")
        }
        "the database" => Some("A comment on the database itself is not part of a dump; set it on the target where it is wanted."),
        "default privileges" if !grants && difference.what != What::Extra => {
            Some("Default privileges are grants to come, and grants are not kept.")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(kind: &str, name: &str) -> Difference {
        Difference { kind: kind.into(), name: name.into(), parent: None, toc: None, what: What::Missing }
    }

    #[test]
    fn what_no_dump_carries_is_explained_and_a_table_is_not() {
        let differences = vec![
            missing("publication", "p"),
            missing("comment", "publication p"),
            missing("comment", "subscription s"),
            missing("comment", "the database"),
            missing("default privileges", "of a for tables"),
            missing("comment", "table s.publication"),
            missing("table", "s.t"),
        ];
        let compared = Comparison { objects: 9, differences, not_compared: vec!["Owners were not compared.".into()] };
        let settled = settle(&compared, &[], false);
        assert_eq!(
            settled.unexplained,
            ["The comment table s.publication is missing on the target.", "The table s.t is missing on the target."]
        );
        assert_eq!(settled.explained.len(), 5);
        assert_eq!(super::settle(&compared, &[], true).unexplained.len(), 3);
    }
}
