//! A check by connection strings: the sessions that it takes, and the looks that are made with them.

use super::{Address, Against, End, Failure, Labels, Options, Place, Subject, Tell, checkup, checkup_again};
use crate::engine::checkup::Checkup;
use crate::migration::ends::{Source, Target};
use crate::migration::error::Error;
use crate::pg::conninfo::PooledHint;
use crate::pg::sql::Client;

/// What a source is compared with.
#[derive(Debug, Clone, Copy)]
pub enum With<'a> {
    /// Nothing.
    Nothing,
    /// A target that is there.
    Target(&'a Target),
    /// A project at Neon that would be created.
    Neon,
}

/// One end: two sessions, and what its address says of a pooler.
struct Connected {
    first: Client,
    second: Client,
    pooled: Option<PooledHint>,
}

impl Connected {
    fn end(&self) -> End<'_> {
        End { client: &self.first, second: Some(&self.second), pooled: self.pooled.as_ref() }
    }
}

/// Sessions of both ends.
pub struct Session {
    source: Connected,
    target: Option<Connected>,
    assumes_neon: bool,
    labels: Labels,
    options: Options,
}

impl Session {
    /// Connects to the ends, twice each. One after the other: a wrong password is tried once, and no account gets locked for it.
    ///
    /// # Errors
    /// Whatever keeps a connection from being made.
    pub async fn open(source: &Source, with: With<'_>, options: Options) -> Result<Session, Error> {
        let target = if let With::Target(target) = with { Some(target) } else { None };
        let labels = Labels { source: source.info().label(), target: target.map(|target| target.info().label()) };
        let options = Options {
            source_address: Address::of(source.info()),
            target_address: target.and_then(|target| Address::of(target.info())),
            ..options
        };
        let pooled = source.info().is_pooled_hint();
        let source = Connected { first: source.sql().await?, second: source.sql().await?, pooled };
        let target = match target {
            Some(target) => {
                let pooled = target.info().is_pooled_hint();
                Some(Connected { first: target.sql().await?, second: target.sql().await?, pooled })
            }
            None => None,
        };
        Ok(Session { source, target, assumes_neon: matches!(with, With::Neon), labels, options })
    }

    /// Makes every check; see [`checkup`].
    ///
    /// # Errors
    /// A connection was lost, or it took too long.
    pub async fn check(&self, tell: Tell<'_>) -> Result<Checkup, Failure> {
        checkup(self.subject(), tell).await
    }

    /// Makes the checks of one code again; see [`checkup_again`].
    ///
    /// # Errors
    /// A connection was lost, or it took too long.
    pub async fn check_again(&self, earlier: Checkup, code: &str) -> Result<Checkup, Failure> {
        checkup_again(earlier, code, self.subject()).await
    }

    fn subject(&self) -> Subject<'_> {
        let against = match &self.target {
            Some(target) => Against::Target(target.end()),
            None if self.assumes_neon => Against::Neon,
            None => Against::Nothing,
        };
        Subject { source: Place::Live(self.source.end()), against, labels: &self.labels, options: &self.options }
    }
}
