//! `neon-migrate create-project`: a Neon project that fits the source.

pub mod args;
mod show;

use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use self::args::{CreateProjectArgs, KEY_VARIABLE};
use self::show::Show;
use super::args::{ConnectionString, Output, Talk};
use super::ends::parse;
use super::{exit, prompt, render};
use crate::engine::report::{Exit, Report};
use crate::engine::state;
use crate::migration::ends::Source;
use crate::migration::error::Side;
use crate::migration::provision::account::{Account, OrgChoice, org_needed};
use crate::migration::provision::plan::{self, Basis, Plan};
use crate::migration::provision::{self, Order, SourceFacts, Told, report};
use crate::neon::client::Client;
use crate::neon::pace::Pace;
use crate::neon::types::{Organization, Project};
use crate::pg::names::human_line;

/// Runs the command.
///
/// # Errors
/// A value that Neon does not take; no key; what the source or Neon refuses; nobody has confirmed it; a wish to stop.
pub async fn run(args: CreateProjectArgs, talk: &Talk) -> Result<Exit, Report> {
    args.values.wishes().check()?;
    let stop = exit::stop_on_signal()?;
    let root = state::root(args.state_dir.as_deref())?;
    let show = Show { json: talk.output == Output::Json, quiet: talk.quiet };
    let client = client(&args, show, &stop).await?;
    let looking = render::Looking::start(talk);
    let source = match &args.source {
        Some(source) => Some(ask_source(source, &stop).await?),
        None => None,
    };
    let account = Account::look(&client).await.map_err(|error| report::of(&error))?;
    drop(looking);
    let org = organization(&account, &args, &stop).await?;
    let plan = plan(&client, &args, &account, org.as_ref(), source.as_ref()).await?;
    let same_name = same_name(&client, &plan).await?;
    show.plan(&plan, &same_name, args.dry_run);
    if args.dry_run {
        show.end();
        return Ok(Exit::Done);
    }
    confirm(args.yes, &stop).await?;
    let order = Order { client: &client, plan: &plan, root: &root, keep_password: args.keep_password };
    let made = provision::create(&order, &mut |told| show.told(&told)).await?;
    let source_is_set = args.source.is_some() && std::env::var_os(super::args::SOURCE_VARIABLE).is_some();
    let source_is_set = source_is_set && !super::argv::password_was_seen();
    show.ready(&show::Ready {
        made: &made,
        api_url: client.url(),
        with_password: args.show_password.then(|| made.uri.expose()),
        source_is_set,
    });
    show.end();
    Ok(Exit::Done)
}

async fn client(args: &CreateProjectArgs, show: Show, stop: &CancellationToken) -> Result<Client, Report> {
    let key = key(stop).await?;
    let client = Client::new(&args.api_url, key, Pace::of_process(), stop.clone()).map_err(|error| report::of(&error))?;
    Ok(client.on_retry(move |error, pause| {
        // Shorter pauses pass unnoticed.
        if pause.as_secs() >= 1 {
            let why = report::of(error).message;
            show.told(&Told::Notice(format!("{why} It is tried again in {} s.", pause.as_secs())));
        }
    }))
}

/// The key: from the environment, or from the terminal, where it is not shown.
async fn key(stop: &CancellationToken) -> Result<SecretString, Report> {
    let missing = || {
        Report::new("neon-key-missing", Exit::Usage, format!("There is no API key of Neon's: {KEY_VARIABLE} is not set."))
            .with_fix(format!(
                "Make a key in Neon's console, in the settings of your account or organization, and give it in the environment:\nexport {KEY_VARIABLE}='…'"
            ))
    };
    let given = std::env::var(KEY_VARIABLE).map(SecretString::from).ok().filter(|key| !key.expose_secret().trim().is_empty());
    if let Some(key) = given {
        return Ok(key);
    }
    if !prompt::is_possible() {
        return Err(missing());
    }
    let key = prompt::hidden("Neon API key (it is not shown): ", stop).await?;
    if key.expose_secret().is_empty() { Err(missing()) } else { Ok(key) }
}

async fn ask_source(source: &ConnectionString, stop: &CancellationToken) -> Result<SourceFacts, Report> {
    let source = Source::new(parse(source, Side::Source)?);
    match stop.run_until_cancelled(provision::ask(&source)).await {
        Some(facts) => facts.map_err(|error| error.report()),
        None => Err(prompt::stopped()),
    }
}

/// The organisation that the project would belong to; with several, somebody has to say which.
async fn organization(
    account: &Account,
    args: &CreateProjectArgs,
    stop: &CancellationToken,
) -> Result<Option<Organization>, Report> {
    let several = match account.organization(args.org.as_deref())? {
        OrgChoice::Settled(org) => return Ok(org),
        OrgChoice::Ask(several) => several,
    };
    if args.yes || !prompt::is_possible() {
        return Err(org_needed(&several));
    }
    let listed = several.iter().enumerate();
    let lines: String = listed.map(|(place, org)| format!("  {}  {} ({})\n", place + 1, human_line(&org.name), org.id)).collect();
    let question = format!("To which organization is the project to belong?\n{lines}Its number: ");
    let answer = prompt::line(&question, stop).await?;
    let place = answer.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    place.and_then(|place| several.get(place).cloned()).map(Some).ok_or_else(|| org_needed(&several))
}

async fn plan(
    client: &Client,
    args: &CreateProjectArgs,
    account: &Account,
    org: Option<&Organization>,
    source: Option<&SourceFacts>,
) -> Result<Plan, Report> {
    let regions = client.regions(org.map(|org| org.id.as_str())).await.map_err(|error| report::of(&error))?;
    plan::make(&Basis { wishes: &args.values.wishes(), source, org, limits: account.limits(org), regions: &regions })
}

/// The projects that bear the name already; a name is not unique, and a second project may be a mistake.
async fn same_name(client: &Client, plan: &Plan) -> Result<Vec<Project>, Report> {
    let request = &plan.request;
    let found = client.projects(&request.name, request.org_id.as_deref()).await.map_err(|error| report::of(&error))?;
    Ok(found.into_iter().filter(|project| project.name == request.name).collect())
}

async fn confirm(yes: bool, stop: &CancellationToken) -> Result<(), Report> {
    if yes {
        return Ok(());
    }
    let answer = match prompt::is_possible() {
        true => prompt::line("Create it? [y/N] ", stop).await?,
        false => String::new(),
    };
    if ["y", "yes"].contains(&answer.to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(Report::new("neon-not-confirmed", Exit::Usage, "The project was not created: nobody has confirmed it.")
        .with_fix("Answer with y on a terminal, or run the same command with --yes in a script."))
}
