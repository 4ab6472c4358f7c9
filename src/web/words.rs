//! What the terminal tells to type is here a button or a choice. Texts exist once, for all who show them; what of them speaks of the command line is said in
//! the page's words on its way to the page.

/// The words of the terminal, and those of the page.
const SAID: &[(&str, &str)] = &[
    (
        "the first line creates one, to be run with psql on the target. Or, if everything in this one may go, run the same command with the second line",
        "this line creates one, to be run with psql on the target; name it in step 2 then. Or, if everything in this one may go, choose in step 3, \
         under More choices, to replace what is in the target",
    ),
    ("Or begin anew; this removes", "Or begin anew with step 3's choice to replace what is in the target; this removes"),
    ("with --replace-target", "with step 3's choice to replace what is in the target"),
    ("with another --state-dir", "with another state directory"),
    ("run the same command again", "begin again here"),
    ("Run the same command again", "Begin again here"),
];

/// A fix in two: its words, and what is to be pasted; both may be empty.
pub fn fix_parts(fix: &str) -> (String, String) {
    let (words, paste) = fix.split_once('\n').unwrap_or((fix, ""));
    let words = SAID.iter().fold(words.to_owned(), |words, (typed, chosen)| words.replace(typed, chosen));
    let is_typed = |line: &&str| line.starts_with("--replace-target") || line.starts_with("neon-migrate copy --replace-target");
    (words, paste.lines().filter(|line| !is_typed(line)).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text that changes where it is written would pass by unnoticed.
    #[test]
    fn every_text_is_one_that_is_told_somewhere() {
        let told = [
            include_str!("../migration/preflight/target.rs"),
            include_str!("../migration/preflight/mod.rs"),
            include_str!("../migration/error.rs"),
        ];
        // In the sources, texts go on in the next line.
        let told = told.join("\n").replace("\\\n", "\n").split_whitespace().collect::<Vec<_>>().join(" ");
        for (typed, _) in SAID {
            assert!(told.contains(typed), "{typed}");
        }
    }

    #[test]
    fn what_is_typed_is_chosen_and_what_is_pasted_stays() {
        let fix = "Use an empty database: the first line creates one, to be run with psql on the target. Or, if everything in this one may go, \
                   run the same command with the second line:\ncreate database \"migrated\" template template0;\n--replace-target=shop";
        let (words, paste) = fix_parts(fix);
        assert!(words.contains("More choices") && !words.contains("command"), "{words}");
        assert_eq!(paste, "create database \"migrated\" template template0;");
        assert_eq!(fix_parts("Mend it, then run the same command again.").0, "Mend it, then begin again here.");
    }
}
