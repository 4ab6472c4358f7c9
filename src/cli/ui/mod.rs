//! `neon-migrate ui`: the page in the browser.

mod browser;

use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use super::args::{ConnectionString, Machine, SOURCE_VARIABLE, TARGET_VARIABLE, Talk};
use super::create_project::args::KEY_VARIABLE;
use super::ends::parse;
use super::{exit, log};
use crate::engine::report::{Exit, Report};
use crate::engine::state;
use crate::migration::ends::{Source, Target};
use crate::migration::error::Side;
use crate::neon::client::DEFAULT_URL;
use crate::web::replay::{Replay, Speed};
use crate::web::{self, Log, Options, Serving};

/// The port of the page unless another is named.
const PORT: u16 = 7432;
/// The environment variable that holds the password of a page that others can reach.
const PASSWORD_VARIABLE: &str = "NEON_MIGRATE_UI_PASSWORD";

/// What `ui` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  neon-migrate ui                                  opens the page in the browser of this machine
  neon-migrate ui --no-open                        prints the link, which works once

  From a machine without a browser, through a tunnel:
    ssh -L 7432:127.0.0.1:7432 that-machine        then, there: neon-migrate ui --no-open

  A migration that was recorded, ten times as fast, without databases:
    neon-migrate ui --replay migration.jsonl --speed 10")]
pub struct UiArgs {
    /// Where the data is: a connection string [default: it is asked for on the page]
    #[arg(long, value_name = "URL", env = SOURCE_VARIABLE, hide_env_values = true)]
    pub source: Option<ConnectionString>,

    /// Where it goes: a connection string [default: it is asked for on the page]
    #[arg(long, value_name = "URL", env = TARGET_VARIABLE, hide_env_values = true)]
    pub target: Option<ConnectionString>,

    /// The port, or 0 for any that is free
    #[arg(long, value_name = "PORT", default_value_t = PORT, help_heading = "The page")]
    pub port: u16,

    /// Print the link, and open no browser
    #[arg(long, help_heading = "The page")]
    pub no_open: bool,

    /// Serve it to other machines, at this address and port; takes a certificate, and a password in NEON_MIGRATE_UI_PASSWORD
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "port", help_heading = "The page")]
    pub listen: Option<SocketAddr>,

    /// A name by which other machines reach it; may be repeated
    #[arg(long, value_name = "NAME", requires = "listen", help_heading = "The page")]
    pub name: Vec<String>,

    /// The certificate with its chain, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "The page")]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's private key, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "The page")]
    pub tls_key: Option<PathBuf>,

    /// Play a recording instead, as `report --bundle` or `copy --output json` writes it; takes no database
    #[arg(long, value_name = "FILE", help_heading = "A recording")]
    pub replay: Option<PathBuf>,

    /// How many times as fast as it happened, or max
    #[arg(long, value_name = "N", default_value = "1", requires = "replay", help_heading = "A recording")]
    pub speed: Speed,

    /// The address of Neon's API
    #[arg(long, value_name = "URL", env = "NEON_API_URL", hide_env_values = true, default_value = DEFAULT_URL, help_heading = "Neon")]
    pub api_url: String,

    /// This machine.
    #[command(flatten)]
    pub machine: Machine,
}

fn secret(variable: &str) -> Option<SecretString> {
    std::env::var(variable).ok().map(SecretString::from).filter(|secret| !secret.expose_secret().is_empty())
}

fn options(args: &UiArgs) -> Result<Options, Report> {
    let state_root = state::root(args.machine.state_dir.as_deref())?;
    if let Some(file) = &args.replay {
        // A recording has nothing to do with the databases that the environment names.
        return Ok(Options { state_root, replay: Some(Replay::open(file, args.speed)?), ..Options::default() });
    }
    let side = |text: &Option<ConnectionString>, side| text.as_ref().map(|text| parse(text, side)).transpose();
    Ok(Options {
        state_root,
        pg_bin_dir: args.machine.pg_bin_dir.clone(),
        api_url: args.api_url.clone(),
        source: side(&args.source, Side::Source)?.map(Source::new),
        target: side(&args.target, Side::Target)?.map(Target::new),
        api_key: secret(KEY_VARIABLE),
        log: Some(Log { open: log::open, event: log::event }),
        replay: None,
    })
}

/// Runs the command, until it is stopped by Ctrl-C.
///
/// # Errors
/// A connection string that cannot be used; an address that cannot be served at, or should not be.
pub async fn run(args: UiArgs, talk: &Talk) -> Result<Exit, Report> {
    let options = options(&args)?;
    let serving = Serving {
        address: args.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, args.port))),
        names: args.name.clone(),
        tls: args.tls_cert.clone().zip(args.tls_key.clone()),
        password: args.listen.and_then(|_| secret(PASSWORD_VARIABLE)),
    };
    let stop = exit::stop_on_signal()?;
    let state_root = options.state_root.clone();
    let opens = !args.no_open && args.listen.is_none() && std::io::stdout().is_terminal();
    web::serve(serving, options, stop, |link| {
        if !talk.quiet {
            anstream::eprintln!("The page is ready. This link opens it, once; in the browser it can be shared. Ctrl-C ends it.");
        }
        anstream::println!("{link}");
        if opens {
            browser::open(&state_root, link);
        }
    })
    .await
}
