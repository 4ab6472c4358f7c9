//! What step 2 looks like.

use askama::Template;

use super::form::{self, Choice, Typed};
use super::project::{Done, Progress, Ready, Stage, Summary};
use super::{Asked, Earlier, Inner, Way, existing};
use crate::engine::checkup::Checkup;
use crate::engine::finding::{Finding, Severity};
use crate::engine::report::Report;
use crate::migration::provision::plan::{HISTORY_DEFAULT, Plan};
use crate::neon::regions;
use crate::neon::types::OperationStatus;
use crate::pg::names::human_line;
use crate::web::app::App;
use crate::web::connection::Field;
use crate::web::guard::Visitor;
use crate::web::page::{Part, Wanted, fix_parts, report_html};

/// The parts, as things are now.
pub(super) fn parts(app: &App, visitor: &Visitor, wanted: &Wanted) -> Result<Vec<Part>, Report> {
    let label = app.ends().target.map(|target| target.info().label());
    let has_source = app.ends().source.is_some();
    let inner = &*app.create.lock();
    let chosen = wanted.get("way").map(|way| if way == "existing" { Way::Existing } else { Way::New });
    let proposed = form::proposal(inner);
    let view = WayView {
        visitor,
        way: chosen.unwrap_or(inner.way),
        is_open: label.is_none() || chosen.is_some() || !matches!(inner.stage, Stage::Form),
        is_looking: inner.pair.looking.is_asking(),
        target: target_field(inner)?,
        fields: proposed.as_ref().map(|plan| fields(inner, plan)).unwrap_or_default(),
        proposal_failed: proposed.as_ref().err().map(report_html).transpose()?,
        source: source_card(inner, has_source)?,
        key: key_card(inner)?,
        failed: if let Stage::Failed(report) = &inner.stage { Some(report_html(report)?) } else { None },
        inner,
    };
    let offer = Offer { visitor, earlier: earlier_to_offer(inner, label.as_deref()), has_key: inner.account.known().is_some() };
    let target =
        TargetView { visitor, label, has_source, inner, failed: inner.pair.looking.report().map(report_html).transpose()? };
    Ok(vec![Part::new("target", &target)?, Part::new("offer", &offer)?, Part::new("way", &view)?])
}

#[derive(Template)]
#[template(path = "create/target.html")]
struct TargetView<'a> {
    visitor: &'a Visitor,
    label: Option<String>,
    has_source: bool,
    inner: &'a Inner,
    failed: Option<String>,
}

impl TargetView<'_> {
    fn checkup(&self) -> Option<&Checkup> {
        self.inner.pair.looking.known()?.checkup.as_ref()
    }

    /// What concerns the target, or both, by weight; what concerns the source alone is the business of step 1.
    fn findings(&self) -> Vec<(&'static str, &'static str, &Finding)> {
        let Some(checkup) = self.checkup() else { return Vec::new() };
        let of = |severity, class, word| {
            checkup.findings(severity).filter(|one| one.subject != "source").map(move |one| (class, word, one))
        };
        let unknown = checkup.not_evaluated().filter(|one| one.subject != "source").map(|one| ("unknown", "Not looked at", one));
        of(Severity::Blocker, "blocker", "Blocker")
            .chain(of(Severity::Warning, "warning", "Warning"))
            .chain(unknown)
            .chain(of(Severity::Note, "note", "Note"))
            .collect()
    }

    fn blockers(&self) -> usize {
        self.checkup().map_or(0, |checkup| checkup.findings(Severity::Blocker).count())
    }

    fn of_source(&self) -> usize {
        let Some(checkup) = self.checkup() else { return 0 };
        let all = checkup.outcomes.iter().flat_map(|outcome| &outcome.findings);
        all.filter(|one| one.subject == "source" && one.severity != Severity::Note).count()
    }

    fn server(&self) -> Option<String> {
        let target = self.checkup()?.target.as_ref()?;
        let region = target.region.as_ref().map(|region| format!(", {region}")).unwrap_or_default();
        Some(format!("{}, {}{region}", target.server, target.provider))
    }

    fn class(&self) -> &'static str {
        if self.failed.is_some() || self.blockers() > 0 { "attention" } else { "done" }
    }

    fn is_looking(&self) -> bool {
        self.inner.pair.looking.is_asking()
    }

    fn is_known(&self) -> bool {
        self.inner.pair.looking.known().is_some()
    }

    fn fix(&self, finding: &Finding) -> (String, String) {
        finding.fix.as_deref().map(fix_parts).unwrap_or_default()
    }
}

#[derive(Template)]
#[template(path = "create/offer.html")]
struct Offer<'a> {
    visitor: &'a Visitor,
    earlier: Option<&'a Earlier>,
    has_key: bool,
}

impl Earlier {
    fn day(&self) -> String {
        self.project.created_at.strftime("%-d %B %Y").to_string()
    }

    fn name(&self) -> String {
        human_line(&self.project.name)
    }

    /// Whether the target that is there is this project.
    fn is_target(&self, label: Option<&str>) -> bool {
        self.project.host.as_deref().zip(label).is_some_and(|(host, label)| label.contains(host))
    }
}

fn earlier_to_offer<'a>(inner: &'a Inner, label: Option<&str>) -> Option<&'a Earlier> {
    let is_open = matches!(inner.stage, Stage::Form | Stage::Failed(_)) && !inner.pair.looking.is_asking();
    inner.source.earlier.as_ref().filter(|earlier| is_open && !earlier.is_target(label))
}

fn target_field(inner: &Inner) -> Result<Field, Report> {
    let known = existing::shown(inner);
    let hint = match &known {
        Some(_) => "This is the project that was created for this source; only its password is missing. Neon's console shows it.",
        None => "At Neon, take the direct one, without -pooler in its host.",
    };
    let field = Field::new("target", "Connection string of the target", known.as_ref())?;
    Ok(Field { hint, wrong: inner.pair.wrong.clone(), accepted: inner.pair.accepted, ..field })
}

#[derive(Template)]
#[template(path = "create/way.html")]
struct WayView<'a> {
    visitor: &'a Visitor,
    way: Way,
    is_open: bool,
    is_looking: bool,
    target: Field,
    fields: Vec<Group>,
    proposal_failed: Option<String>,
    source: SourceCard,
    key: KeyCard,
    failed: Option<String>,
    inner: &'a Inner,
}

impl WayView<'_> {
    fn summary(&self) -> Option<&Summary> {
        if let Stage::Summary(summary) = &self.inner.stage { Some(summary) } else { None }
    }

    fn progress(&self) -> Option<&Progress> {
        if let Stage::Creating(progress) = &self.inner.stage { Some(progress) } else { None }
    }

    fn ready(&self) -> Option<&Ready> {
        if let Stage::Ready(ready) = &self.inner.stage { Some(ready) } else { None }
    }

    fn is_planning(&self) -> bool {
        matches!(self.inner.stage, Stage::Planning)
    }

    fn trouble(&self) -> Option<&str> {
        self.inner.trouble.as_deref()
    }

    fn keeps(&self) -> bool {
        self.inner.typed.keep.is_some()
    }

    fn has_errors(&self) -> bool {
        !self.inner.errors.is_empty()
    }
}

impl Summary {
    fn same_name_words(&self) -> String {
        let ids: Vec<&str> = self.same_name.iter().map(|project| project.id.as_str()).collect();
        let (there, name) = (ids.join(", "), human_line(&self.plan.request.name));
        match ids.len() {
            1 => format!("There is a project named {name} already: {there}. This would be another one."),
            n => format!("There are {n} projects named {name} already: {there}. This would be another one."),
        }
    }
}

impl Done {
    fn icon(&self) -> &'static str {
        match self.status {
            OperationStatus::Finished | OperationStatus::Skipped => "done",
            OperationStatus::Failed | OperationStatus::Error | OperationStatus::Cancelled => "failed",
            OperationStatus::Running | OperationStatus::Cancelling => "running",
            OperationStatus::Scheduling | OperationStatus::Unknown => "waiting",
        }
    }
}

impl Progress {
    fn name(&self) -> String {
        human_line(&self.name)
    }
}

impl Ready {
    fn name(&self) -> String {
        human_line(&self.made.saved.name)
    }

    fn file(&self) -> Option<String> {
        self.made.connection_file.as_ref().map(|file| file.display().to_string())
    }

    /// What was chosen for the time of loading, and is to be given back.
    fn afterwards(&self) -> Option<String> {
        let request = &self.made.request;
        let awake = request.default_endpoint_settings.suspend_timeout_seconds == Some(-1);
        let short = request.history_retention_seconds.is_some_and(|seconds| seconds < HISTORY_DEFAULT);
        let what = match (awake, short) {
            (true, true) => "its compute is never suspended, and little history is kept",
            (true, false) => "its compute is never suspended",
            (false, true) => "little history is kept",
            (false, false) => return None,
        };
        Some(format!(
            "So that loading goes well, {what}. When everything is there, change that in the project's settings in Neon's console."
        ))
    }
}

/// What is known of the source, above the form.
struct SourceCard {
    is_asking: bool,
    words: String,
    failed: Option<String>,
}

fn source_card(inner: &Inner, has_source: bool) -> Result<SourceCard, Report> {
    let words = match inner.source.facts.known() {
        Some(facts) => format!("Filled in from the source, {}.", facts.label),
        None if has_source => "The source did not answer, so these are Neon's defaults.".to_owned(),
        None => {
            "There is no source yet, so these are Neon's defaults. With a source (step 1) the form is filled in from it.".to_owned()
        }
    };
    let failed = inner.source.facts.report().map(report_html).transpose()?;
    Ok(SourceCard { is_asking: inner.source.facts.is_asking(), words, failed })
}

/// The account's key.
struct KeyCard {
    is_asking: bool,
    known: Option<String>,
    error: Option<String>,
    failed: Option<String>,
}

fn key_card(inner: &Inner) -> Result<KeyCard, Report> {
    Ok(KeyCard {
        is_asking: inner.account.is_asking(),
        known: inner.account.known().map(|known| known.words()),
        error: inner.errors.get("key").cloned(),
        failed: if let Asked::Failed(report) = &inner.account { Some(report_html(report)?) } else { None },
    })
}

/// Fields that belong together.
struct Group {
    title: &'static str,
    fields: Vec<Entry>,
}

/// A field of the form.
struct Entry {
    id: &'static str,
    label: &'static str,
    value: String,
    /// Empty for a text.
    choices: Vec<Choice>,
    hint: String,
    error: Option<String>,
}

/// The form: the proposal with its reasons, and over it what somebody typed.
fn fields(inner: &Inner, plan: &Plan) -> Vec<Group> {
    let proposed = Typed::of(&plan.request);
    let shown = inner.typed.over(proposed.clone());
    let why = |name: &str| plan.items.iter().find(|item| item.name == name).map(|item| item.why.clone()).unwrap_or_default();
    let field = |id: &'static str, label, (value, proposed): (&String, &String), choices: Vec<Choice>, hint: String| Entry {
        id,
        label,
        hint: if value == proposed { hint } else { format!("Proposed: {}. {hint}", label_of(&choices, proposed)) },
        value: value.clone(),
        choices: with_value(choices, value),
        error: inner.errors.get(id).cloned(),
    };
    let mut project = vec![field("name", "Name", (&shown.name, &proposed.name), Vec::new(), why("name"))];
    let several = inner.account.known().map(|known| known.several()).unwrap_or_default();
    if !several.is_empty() {
        let first = Choice { value: String::new(), label: "Choose one".to_owned() };
        let all =
            several.iter().map(|org| Choice { value: org.id.clone(), label: format!("{} ({})", human_line(&org.name), org.id) });
        let hint = "The key sees several; the project belongs to one of them.".to_owned();
        project.push(field("org", "Organization", (&shown.org, &shown.org), std::iter::once(first).chain(all).collect(), hint));
    }
    let regions = format!(
        "It cannot be changed later. {}{}",
        why("region"),
        if inner.account.known().is_none() { published_words() } else { String::new() }
    );
    project.push(field("region", "Region", (&shown.region, &proposed.region), form::region_choices(plan), regions));
    project.push(field(
        "pg_version",
        "Postgres version",
        (&shown.pg_version, &proposed.pg_version),
        form::version_choices(),
        format!("It cannot be changed later. {}", why("Postgres")),
    ));
    let database = vec![
        field("database", "Database", (&shown.database, &proposed.database), Vec::new(), why("database")),
        field("role", "Role that owns it", (&shown.role, &proposed.role), Vec::new(), why("role")),
    ];
    let compute = vec![
        field("min_cu", "Smallest compute", (&shown.min_cu, &proposed.min_cu), form::size_choices(), why("compute")),
        field(
            "max_cu",
            "Largest compute",
            (&shown.max_cu, &proposed.max_cu),
            form::size_choices(),
            "Neon scales between the two by itself.".to_owned(),
        ),
        field(
            "suspend",
            "Suspend when idle",
            (&shown.suspend, &proposed.suspend),
            form::suspend_choices(&proposed.suspend),
            why("suspend"),
        ),
        field("history", "History to keep", (&shown.history, &proposed.history), form::history_choices(), why("history")),
    ];
    vec![
        Group { title: "Project", fields: project },
        Group { title: "Database", fields: database },
        Group { title: "Compute and history", fields: compute },
    ]
}

fn published_words() -> String {
    format!(" The list is the one that Neon published, as of {}; with a key it is your account's.", regions::as_of())
}

fn label_of(choices: &[Choice], value: &str) -> String {
    let found = choices.iter().find(|choice| choice.value == value);
    found.map_or_else(|| human_line(value), |choice| choice.label.clone())
}

/// A value that no choice has is one more choice.
fn with_value(mut choices: Vec<Choice>, value: &str) -> Vec<Choice> {
    if !choices.is_empty() && choices.iter().all(|choice| choice.value != value) {
        choices.push(Choice { value: value.to_owned(), label: human_line(value) });
    }
    choices
}
