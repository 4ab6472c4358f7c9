//! Actions as lines for a shell, and as files that can be run.
//!
//! In Bash an end is a connection string in a variable, in keyword form, given with `-d`. PowerShell before 7.3 garbles double quotes in the arguments of
//! programs, and any name may hold one: there an end is a set of `PG*` variables, SQL goes through standard input, and what cannot go either way is escaped by a
//! small function. In both, passwords are variables of the environment and in no command line.

use secrecy::ExposeSecret;

use super::connection::End;
use super::quote::Shell;
use super::{Action, Plan, Tool, Way};
use crate::migration::error::Side;

/// A file for the folder of scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Whether it is to be run, and not only read by others.
    pub runnable: bool,
}

/// How lines are made.
#[derive(Debug, Clone, Copy)]
pub struct Style<'a> {
    /// The shell.
    pub shell: Shell,
    /// Whether passwords are written out.
    pub with_passwords: bool,
    /// The directory of the client programs, if it is not the first on `PATH` that has them.
    pub bin_dir: Option<&'a str>,
}

/// The name of the file with the connections.
fn connections_file(shell: Shell) -> String {
    format!("connections.{}", shell.extension())
}

impl Style<'_> {
    /// The lines that everything else builds on: where both ends are, and their passwords.
    pub fn connections(&self, plan: &Plan) -> Vec<String> {
        match self.shell {
            Shell::Bash => self.bash_connections(plan),
            Shell::PowerShell => self.powershell_connections(plan),
        }
    }

    fn bash_connections(&self, plan: &Plan) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(dir) = self.bin_dir {
            lines.push(format!("export PATH={}:\"$PATH\"", self.shell.word(dir)));
        }
        lines.push("export PGCLIENTENCODING=UTF8".to_owned());
        if plan.steps.iter().flat_map(|step| self.lines(plan, &step.actions)).any(|line| line.contains('!')) {
            // At a prompt Bash looks for its history wherever a ! is, even in what is given to psql.
            lines.push("[ -z \"${BASH_VERSION-}\" ] || set +H".to_owned());
        }
        for end in [&plan.source, &plan.target] {
            lines.push(format!("{}={}", variable(end.side), self.shell.quoted(&end.string())));
        }
        let mut passwords = Vec::new();
        for end in [&plan.source, &plan.target] {
            let name = password_variable(end.side);
            match self.shown(end) {
                Some(password) => lines.push(format!("{name}={}", self.shell.quoted(password))),
                None => passwords.push(format!(
                    "[ \"${{{name}+set}}\" ] || {{ printf %s {}; IFS= read -rs {name}; echo; }}",
                    self.shell.quoted(&prompt(end))
                )),
            }
        }
        // One line: what is pasted after a question would be taken for its answer.
        passwords.push("export SOURCE_PASSWORD TARGET_PASSWORD".to_owned());
        lines.push(passwords.join("; "));
        lines
    }

    fn powershell_connections(&self, plan: &Plan) -> Vec<String> {
        let quoted = |text: &str| self.shell.quoted(text);
        let mut lines = Vec::new();
        if let Some(dir) = self.bin_dir {
            lines.push(format!("$env:PATH = {} + [IO.Path]::PathSeparator + $env:PATH", quoted(dir)));
        }
        lines.push("$env:PGCLIENTENCODING = 'UTF8'".to_owned());
        lines.push("$OutputEncoding = [System.Text.UTF8Encoding]::new($false)".to_owned());
        let mut variables: Vec<&str> =
            [&plan.source, &plan.target].iter().flat_map(|end| &end.settings).map(|s| s.variable).collect();
        variables.push("PGOPTIONS");
        variables.sort_unstable();
        variables.dedup();
        for end in [&plan.source, &plan.target] {
            lines.push(format!("function {} {{", use_function(end.side)));
            for name in &variables {
                let value = end.settings.iter().find(|setting| setting.variable == *name);
                lines.push(format!(
                    "  $env:{name} = {}",
                    value.map_or_else(|| "$null".to_owned(), |setting| quoted(&setting.value))
                ));
            }
            lines.push(format!("  $env:PGPASSWORD = $env:{}", password_variable(end.side)));
            lines.push("}".to_owned());
        }
        // The rules of the C runtime for what a program gets: backslashes before a quote are doubled.
        lines.push("function Arg([string]$text) {".to_owned());
        lines.push("  if ($PSVersionTable.PSVersion -ge [version]'7.3') { return $text }".to_owned());
        lines.push("  $text -replace '(\\\\*)\"', '$1$1\\\"' -replace '(\\\\+)$', '$1$1'".to_owned());
        lines.push("}".to_owned());
        for end in [&plan.source, &plan.target] {
            let name = password_variable(end.side);
            lines.push(match self.shown(end) {
                Some(password) => format!("$env:{name} = {}", quoted(password)),
                None => format!(
                    "if ($null -eq $env:{name}) {{ $env:{name} = [System.Net.NetworkCredential]::new('', (Read-Host -AsSecureString {})).Password }}",
                    quoted(prompt(end).trim_end_matches([' ', ':']))
                ),
            });
        }
        lines
    }

    fn shown<'a>(&self, end: &'a End) -> Option<&'a str> {
        end.password.as_ref().filter(|_| self.with_passwords).map(|password| password.expose_secret())
    }

    /// The lines of a step.
    pub fn lines(&self, plan: &Plan, actions: &[Action]) -> Vec<String> {
        actions.iter().flat_map(|action| self.action(plan, action)).collect()
    }

    fn action(&self, plan: &Plan, action: &Action) -> Vec<String> {
        match (action, self.shell) {
            (Action::Tool(tool), Shell::Bash) => bash_tool(plan, tool),
            (Action::Tool(tool), Shell::PowerShell) => powershell_tool(plan, tool),
            (Action::List { archive, list, without }, Shell::Bash) => {
                vec![
                    format!("pg_restore -l {archive} > {list}.all"),
                    format!("sed -E {} {list}.all > {list}", self.shell.quoted(&format!("/{without}/d"))),
                ]
            }
            (Action::List { archive, list, without }, Shell::PowerShell) => {
                let filter = self.shell.quoted(without);
                vec![format!(
                    "pg_restore -l {archive} | Where-Object {{ $_ -cnotmatch {filter} }} | Set-Content -Encoding ascii {list}"
                )]
            }
            (Action::Drain { slot }, Shell::Bash) => bash_drain(slot),
            (Action::Drain { slot }, Shell::PowerShell) => powershell_drain(slot),
        }
    }

    /// The plan as a folder of scripts.
    pub fn scripts(&self, plan: &Plan) -> Vec<Script> {
        let mut scripts = vec![Script {
            name: connections_file(self.shell),
            text: self.head().to_owned() + &self.connections(plan).join("\n") + "\n",
            runnable: false,
        }];
        for step in &plan.steps {
            let lines = self.lines(plan, &step.actions);
            let comments = step.flags.iter().map(|flag| format!("{}: {}", flag.flag, flag.why)).chain(step.expect.iter().cloned());
            let mut text = self.head().to_owned();
            if self.shell == Shell::Bash {
                text.push_str("#!/usr/bin/env bash\n");
            }
            text.push_str(&comment(&step.title));
            comments.for_each(|line| text.push_str(&comment(&line)));
            text.push_str(&match self.shell {
                Shell::Bash => format!(
                    "set -euo pipefail\ncd \"$(dirname \"$0\")\"\n. ./{}\n\n{}\n",
                    connections_file(self.shell),
                    lines.join("\n")
                ),
                Shell::PowerShell => {
                    let checked = actions_checked(self, plan, &step.actions);
                    format!(
                        "$ErrorActionPreference = 'Stop'\nSet-Location -LiteralPath $PSScriptRoot\n. ./{}\n\n{checked}\n",
                        connections_file(self.shell)
                    )
                }
            });
            scripts.push(Script { name: format!("{}.{}", step.id, self.shell.extension()), text, runnable: true });
        }
        scripts.push(Script { name: "README.md".to_owned(), text: self.readme(plan), runnable: false });
        scripts
    }

    /// All lines of a way to copy as one file that can be run. Logical replication is none: between its steps somebody has to look.
    pub fn whole(&self, plan: &Plan, way: Way, name: &str) -> Script {
        let begin = match self.shell {
            Shell::Bash => "#!/usr/bin/env bash\nset -euo pipefail",
            Shell::PowerShell => "$ErrorActionPreference = 'Stop'",
        };
        let mut text = format!("{}{begin}\n\n{}\n", self.head(), self.connections(plan).join("\n"));
        for step in plan.steps.iter().filter(|step| step.way == way || step.way == Way::Before) {
            let lines = match self.shell {
                Shell::Bash => self.lines(plan, &step.actions).join("\n"),
                Shell::PowerShell => actions_checked(self, plan, &step.actions),
            };
            text += &format!("\n{}{lines}\n", comment(&step.title));
        }
        Script { name: name.to_owned(), text, runnable: true }
    }

    /// What a script begins with: PowerShell 5.1 takes a file for UTF-8 only if it has a byte order mark.
    fn head(&self) -> &'static str {
        if self.shell == Shell::PowerShell { "\u{feff}" } else { "" }
    }

    fn readme(&self, plan: &Plan) -> String {
        let mut text = format!("# From {} to {}\n\n", plan.source.label, plan.target.label);
        text.push_str(
            "Choose one way and run its scripts in order: one file (1, 2, 3), in parallel (parallel-1, -2, -3), or logical replication (live-1 to live-9). Scripts that begin \
             with 0 come before every way. Each may be run from anywhere; what they write stays in this folder.\n\n",
        );
        let whereto = match self.with_passwords {
            true => "The passwords are in it: nobody else may read it.",
            false => {
                "It asks for the passwords, unless they are in SOURCE_PASSWORD and TARGET_PASSWORD; an empty one means that none is needed, or that the password file has it."
            }
        };
        text.push_str(&format!("`{}` says where both ends are. {whereto}\n", connections_file(self.shell)));
        for step in &plan.steps {
            text.push_str(&format!("\n## {}.{}: {}\n\n", step.id, self.shell.extension(), step.title));
            step.flags.iter().for_each(|flag| text.push_str(&format!("* `{}` {}\n", flag.flag.replace('\n', " "), flag.why)));
            step.expect.iter().for_each(|words| text.push_str(&format!("\n{words}\n")));
        }
        if !plan.notes.is_empty() {
            text.push_str("\n## To know before\n");
            plan.notes.iter().for_each(|note| text.push_str(&format!("\n{note}\n")));
        }
        text
    }
}

/// A program that fails does not stop PowerShell by itself.
fn actions_checked(style: &Style<'_>, plan: &Plan, actions: &[Action]) -> String {
    let checked = |action: &Action| {
        let bearable = i32::from(matches!(action, Action::Tool(Tool { forgives: Some(_), .. })));
        let check = match action {
            Action::Drain { .. } => "if (-not $drained) { exit 1 }".to_owned(),
            _ => format!("if ($LASTEXITCODE -gt {bearable}) {{ exit $LASTEXITCODE }}"),
        };
        style.action(plan, action).into_iter().chain([check]).collect::<Vec<_>>().join("\n")
    };
    actions.iter().map(checked).collect::<Vec<_>>().join("\n")
}

fn comment(text: &str) -> String {
    // A name may hold any line break, and what comes after it must not be run.
    text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).map(|line| format!("# {line}\n")).collect()
}

fn variable(side: Side) -> &'static str {
    match side {
        Side::Source => "SOURCE",
        Side::Target => "TARGET",
    }
}

fn password_variable(side: Side) -> &'static str {
    match side {
        Side::Source => "SOURCE_PASSWORD",
        Side::Target => "TARGET_PASSWORD",
    }
}

fn use_function(side: Side) -> &'static str {
    match side {
        Side::Source => "Use-Source",
        Side::Target => "Use-Target",
    }
}

fn prompt(end: &End) -> String {
    let user = end.value("user").unwrap_or_default();
    format!("Password of {} on the {} (Enter alone if none is needed): ", crate::pg::names::human(user), end.side.name())
}

/// What the tool's `options` are: those of the end, and its own.
fn options(plan: &Plan, tool: &Tool) -> Option<String> {
    let end = match tool.side {
        Side::Source => &plan.source,
        Side::Target => &plan.target,
    };
    let own = tool.options?;
    Some(end.value("options").map_or_else(|| own.to_owned(), |theirs| format!("{theirs} {own}")))
}

fn bash_call(plan: &Plan, tool: &Tool) -> String {
    let args: Vec<String> = tool.args.iter().map(|arg| Shell::Bash.word(arg)).collect();
    let (name, password) = (variable(tool.side), password_variable(tool.side));
    let string = match options(plan, tool) {
        Some(options) => {
            let quoted = super::quote::keyword_value(&options);
            format!("\"${name}\"{}", Shell::Bash.quoted(&format!(" options={quoted}")))
        }
        None => format!("\"${name}\""),
    };
    let call = format!("PGPASSWORD=\"${password}\" {} -d {string}", tool.program);
    std::iter::once(call).chain(folded(&args, " \\\n ")).collect::<Vec<_>>().join(" ")
}

/// How much of a command stands on its first line, and on each that follows; a program's name and connection come before.
const LINE_WIDTH: usize = 44;

/// Whether a line ends with a flag whose value comes next.
fn takes_value(line: &str) -> bool {
    ["-f", "-o", "-L", "-j", "-Z"]
        .iter()
        .any(|flag| line.strip_suffix(flag).is_some_and(|rest| rest.is_empty() || rest.ends_with(' ')))
}

/// Words of a command, with the shell's sign for a line that goes on where it gets long.
fn folded(words: &[String], go_on: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if takes_value(line) || line.chars().count() + word.chars().count() < LINE_WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            Some(line) => {
                line.push_str(go_on);
                lines.push(word.clone());
            }
            None => lines.push(word.clone()),
        }
    }
    lines
}

fn bash_tool(plan: &Plan, tool: &Tool) -> Vec<String> {
    let call = bash_call(plan, tool);
    if let Some(setting) = tool.forgives {
        return vec![
            "status=0".to_owned(),
            format!("LC_ALL=C {call} 2> restore.log || status=$?"),
            "cat restore.log >&2".to_owned(),
            format!("if [ \"$status\" -gt 1 ] || grep '^pg_restore: error: ' restore.log | grep -v {setting}; then"),
            "  echo 'The restore failed; the errors are above and in restore.log.' >&2; false".to_owned(),
            "fi".to_owned(),
        ];
    }
    let Some(sql) = &tool.sql else { return vec![call] };
    let mut end = "SQL".to_owned();
    while sql.lines().any(|line| line == end) {
        end.push('_');
    }
    vec![format!("{call} <<'{end}'\n{sql}\n{end}")]
}

fn powershell_tool(plan: &Plan, tool: &Tool) -> Vec<String> {
    let shell = Shell::PowerShell;
    let word = |arg: &String| if arg.contains('"') { format!("(Arg {})", shell.quoted(arg)) } else { shell.word(arg) };
    let args: Vec<String> = tool.args.iter().map(word).collect();
    let mut lines = vec![use_function(tool.side).to_owned()];
    if let Some(options) = options(plan, tool) {
        lines.push(format!("$env:PGOPTIONS = {}", shell.quoted(&options)));
    }
    // pg_restore connects only where it is told a database; a string that names none leaves it to the variable.
    let database = if tool.program == "pg_restore" { " -d application_name=pg_restore" } else { "" };
    let call = format!("{}{database}", tool.program);
    let call = std::iter::once(call).chain(folded(&args, " `\n ")).collect::<Vec<_>>().join(" ");
    lines.push(match &tool.sql {
        Some(sql) => format!("{} | {call}", shell.quoted(sql)),
        None => call,
    });
    lines
}

const FENCE: &str = "select pg_catalog.pg_current_wal_insert_lsn()";

/// Whether the slot has reached a position.
fn reached(fence: &str, slot: &str) -> String {
    format!(
        "select coalesce(bool_and(confirmed_flush_lsn >= '{fence}'), false) from pg_catalog.pg_replication_slots where slot_name = '{slot}'"
    )
}

/// How many tables of a subscription are still being copied, or catching up by themselves: the slot says nothing about them.
fn unready(slot: &str) -> String {
    format!(
        "select count(*) from pg_catalog.pg_subscription_rel r join pg_catalog.pg_subscription s on s.oid = r.srsubid where s.subname = '{slot}' and r.srsubstate <> 'r'"
    )
}

fn bash_drain(slot: &str) -> Vec<String> {
    let psql = |side: Side| format!("PGPASSWORD=\"${}\" psql -XAtq -d \"${}\" -c", password_variable(side), variable(side));
    let (source, target) = (psql(Side::Source), psql(Side::Target));
    vec![
        format!("fence=$({source} '{FENCE}')"),
        "state=".to_owned(),
        "for second in $(seq 600); do".to_owned(),
        format!("  state=$({source} \"{}\")", reached("$fence", slot)),
        format!("  state=$state$({target} \"{}\")", unready(slot)),
        "  if [ \"$state\" = t0 ]; then break; fi; sleep 1".to_owned(),
        "done".to_owned(),
        "if [ \"$state\" = t0 ]; then echo 'The target has everything.'; else echo 'The target has not caught up.' >&2; false; fi"
            .to_owned(),
    ]
}

fn powershell_drain(slot: &str) -> Vec<String> {
    let shell = Shell::PowerShell;
    vec![
        "Use-Source".to_owned(),
        format!("$fence = psql -XAtq -c {}", shell.quoted(FENCE)),
        "$drained = $false".to_owned(),
        "foreach ($second in 1..600) {".to_owned(),
        format!("  Use-Source; $state = psql -XAtq -c ({} -f $fence)", shell.quoted(&reached("{0}", slot))),
        format!("  Use-Target; $unready = psql -XAtq -c {}", shell.quoted(&unready(slot))),
        "  $drained = ($state -eq 't') -and ($unready -eq '0')".to_owned(),
        "  if ($drained) { break }; Start-Sleep -Seconds 1".to_owned(),
        "}".to_owned(),
        "if ($drained) { 'The target has everything.' } else { 'The target has not caught up.' }".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pg::conninfo::{Conninfo, Environment};

    fn plan() -> Plan {
        let end = |side, text| End::new(side, &Conninfo::parse(text, &Environment::default()).unwrap());
        Plan {
            source: end(Side::Source, "postgresql://it%27s%20%22me%22:pl%27anted@db.example.com/a%24b?options=-c%20x%3D1"),
            target: end(Side::Target, "postgresql://owner:planted@ep-x.aws.neon.tech/shop?sslmode=require"),
            notes: Vec::new(),
            live_notes: Vec::new(),
            steps: Vec::new(),
            names: None,
        }
    }

    fn style(shell: Shell, with_passwords: bool) -> Style<'static> {
        Style { shell, with_passwords, bin_dir: None }
    }

    #[test]
    fn passwords_are_written_only_when_asked_for() {
        for shell in [Shell::Bash, Shell::PowerShell] {
            let without = style(shell, false).connections(&plan()).join("\n");
            assert!(!without.contains("planted") && !without.contains("anted"), "{without}");
            let with = style(shell, true).connections(&plan()).join("\n");
            assert!(with.contains("'planted'") && with.contains(&shell.quoted("pl'anted")), "{with}");
        }
    }

    #[test]
    fn powershell_sets_all_that_either_end_needs_and_clears_the_rest() {
        let lines = style(Shell::PowerShell, false).connections(&plan());
        let text = lines.join("\n");
        assert!(text.contains("  $env:PGUSER = 'it''s \"me\"'\n"), "{text}");
        assert!(text.contains("  $env:PGDATABASE = 'a$b'\n"), "{text}");
        assert!(text.contains("  $env:PGOPTIONS = '-c x=1'\n") && text.contains("  $env:PGOPTIONS = $null\n"), "{text}");
        assert!(text.contains(r#"  $text -replace '(\\*)"', '$1$1\"' -replace '(\\+)$', '$1$1'"#), "{text}");
    }

    #[test]
    fn powershell_has_no_double_quote_in_an_argument_but_an_escaped_one() {
        let mut tool = Tool::psql(Side::Target, "drop table \"it's\";");
        let lines = powershell_tool(&plan(), &tool);
        assert_eq!(
            lines,
            [
                "Use-Target",
                "'drop table \"it''s\";' | psql -X -v 'ON_ERROR_STOP=1'".replace("'ON_ERROR_STOP=1'", "ON_ERROR_STOP=1").as_str()
            ]
        );
        tool = Tool::new(Side::Target, "pg_restore", &["-v", "--table=\"a b\"", "it.bak"]);
        tool.options = Some("-c b=2");
        assert_eq!(
            powershell_tool(&plan(), &tool),
            [
                "Use-Target",
                "$env:PGOPTIONS = '-c b=2'",
                "pg_restore -d application_name=pg_restore -v (Arg '--table=\"a b\"') it.bak"
            ]
        );
    }

    #[test]
    fn sql_in_bash_ends_where_it_ends() {
        let tool = Tool::psql(Side::Source, "select 'a\nSQL\nb';");
        let lines = bash_tool(&plan(), &tool);
        assert!(lines[0].ends_with("<<'SQL_'\nselect 'a\nSQL\nb';\nSQL_"), "{lines:?}");
    }

    #[test]
    fn options_are_added_to_those_of_the_end() {
        let mut tool = Tool::new(Side::Source, "pg_restore", &["x"]);
        tool.options = Some("-c b=2");
        let lines = bash_tool(&plan(), &tool);
        assert_eq!(lines, [r#"PGPASSWORD="$SOURCE_PASSWORD" pg_restore -d "$SOURCE"' options='\''-c x=1 -c b=2'\''' x"#]);
    }

    #[test]
    fn scripts_begin_as_their_shell_wants_it() {
        let mut plan = plan();
        plan.steps.push(crate::migration::commands::Step {
            id: "1-step",
            way: crate::migration::commands::Way::Before,
            title: "A step\nrm -rf x".to_owned(),
            flags: Vec::new(),
            actions: vec![Action::Tool(Tool::psql(Side::Target, "select 'hey!';"))],
            expect: Vec::new(),
        });
        let bash = style(Shell::Bash, false).scripts(&plan);
        assert!(bash[1].text.starts_with("#!/usr/bin/env bash\n# A step\n# rm -rf x\nset -euo pipefail\n"), "{}", bash[1].text);
        assert!(bash[0].text.contains("set +H"), "a ! is not to be taken for history");
        assert!(style(Shell::PowerShell, false).scripts(&plan)[..2].iter().all(|script| script.text.starts_with('\u{feff}')));
    }

    #[test]
    fn a_comment_stays_a_comment() {
        assert_eq!(comment("a\nrm -rf x\rb"), "# a\n# rm -rf x\n# b\n");
    }
}
