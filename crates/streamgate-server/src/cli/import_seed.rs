//! `streamgate import-seed`: takes in the streams of the service that this one grew from, so that
//! nobody who watches is dropped when its clients move here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Arg, Args};
use futures_util::StreamExt;
use futures_util::stream;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use streamgate_core::{Device, Limit, OnLimit, StreamId, TakenIn, Terms, UserId};
use streamgate_store::{SeedStream, SeedTable, SeedUser, StoreError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{ServeArgs, print};
use crate::config::StoreKind;
use crate::engine::{self, Follower};
use crate::http::as_javascript_writes;
use crate::limiter::{Limiter, Naming, StartCall};
use crate::log::log_to_stderr;
use crate::metrics::Metrics;
use crate::service::{self, Kept};

pub(super) const EXAMPLES: &str = "\
Examples:
  streamgate import-seed --store dynamodb --dry-run          what it would do
  streamgate import-seed --store dynamodb                    from table userStreams in AWS_REGION
  streamgate import-seed --from-table old --store redis --store-url redis://127.0.0.1

The seed is the service that this one grew from: it kept an item with userId and streamId for each
stream in a table of DynamoDB. Each stream has a place here until a DELETE /stream ends it, for
seed.lease_seconds at the most, also above the limit. To run it again does no harm; do so once more
within ten minutes after the clients were moved. docs/aws.md has the whole way.

Exit codes: as for all commands; 1 also when some items could not be taken in.";

/// How many streams are with the store at once.
const AT_ONCE_MAX: usize = 64;
/// How often, and how long apart, a stream is tried that the store has no time for.
const TRIES_MAX: u32 = 8;
const PAUSE: Duration = Duration::from_millis(100);
/// How many of the items that were refused are shown.
const SHOWN_MAX: usize = 10;

#[derive(Args)]
#[command(mut_args(without_what_serves))]
pub(super) struct ImportArgs {
    /// The seed's table
    #[arg(long, value_name = "NAME", default_value = "userStreams")]
    from_table: String,
    /// The endpoint of `DynamoDB` that has it [default: AWS's own]
    #[arg(long, value_name = "URL")]
    from_url: Option<String>,
    /// Say what would come of each item, and enter none
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten, next_help_heading = "Where to, as for `serve`")]
    to: ServeArgs,
}

/// What serves requests has no meaning here.
fn without_what_serves(flag: Arg) -> Arg {
    match flag.get_id().as_str() {
        "listen" | "auth" | "allow_unauthenticated" => flag.hide(true),
        _ => flag,
    }
}

/// What became of the items.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    /// Whether it is only what would.
    dry_run: bool,
    /// Items that were read.
    read: u64,
    /// Streams that have a place now, or would have.
    entered: u64,
    /// Streams that had one.
    known: u64,
    /// Streams that ended here since.
    over: u64,
    /// Items that could not be taken in, and why, for the first few.
    refused: u64,
    refusals: Vec<String>,
}

/// Why an item can't be taken in.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("it has no userId")]
    NoUser,
    #[error("it has no streamId")]
    NoStream,
    #[error("its userId {0}")]
    User(streamgate_core::TextError),
    #[error("its streamId {0}")]
    Stream(streamgate_core::TextError),
    #[error("its user has 64 streams already")]
    Full,
    #[error(
        "more than 64 streams of its user ended within ten minutes, perhaps it did; later it can be told"
    )]
    Forgotten,
}

pub(super) fn run(args: &ImportArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(import(args))
}

async fn import(args: &ImportArgs) -> anyhow::Result<()> {
    let (mut config, warnings) = args.to.load()?;
    if args.dry_run && config.store == StoreKind::Embedded && !config.data_dir.exists() {
        // It would be made, and empty.
        config.store = StoreKind::Memory;
    }
    log_to_stderr(&config.log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let ending = CancellationToken::new();
    let interrupted = ending.clone();
    let tasks = TaskTracker::new();
    tasks.spawn(async move {
        // Without a handler the signal ends the process, which does no harm either.
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });

    let kept = Kept::open(&config, &ending).await?;
    let limiter = service::limiter(&config, &kept, Arc::new(Metrics::new()));
    let follower = Follower::new(limiter.clone(), kept.engine_clock());
    let following = ending.child_token();
    tasks.spawn(engine::follow(follower, following.clone()));

    let import = Import {
        limiter,
        limit: config.limit,
        terms: service::seed_terms(&config),
        is_trial: args.dry_run,
    };
    let endpoint = args.from_url.as_deref().unwrap_or("AWS");
    tracing::info!(
        table = args.from_table,
        endpoint,
        "reading the seed's table"
    );
    let table = SeedTable::open(args.from_url.as_deref(), &args.from_table).await;
    let imported = import.all(table, &ending).await;
    following.cancel();
    let closed = kept.store.close(kept.clock().now()).await;
    closed.context("the store was not closed in order")?;

    let (summary, is_whole) = imported?;
    if args.json {
        print(&(serde_json::to_string_pretty(&summary)? + "\n"))?;
    } else {
        print(&format!("{summary}"))?;
    }
    if !is_whole {
        bail!("interrupted; run it again for the rest");
    }
    if 0 < summary.refused {
        bail!("{} items were not taken in", summary.refused);
    }
    Ok(())
}

struct Import {
    limiter: Limiter,
    limit: Limit,
    terms: Terms,
    is_trial: bool,
}

impl Import {
    /// Takes in all of a table, and says whether it came to its end.
    async fn all(
        &self,
        mut table: SeedTable,
        ending: &CancellationToken,
    ) -> anyhow::Result<(Summary, bool)> {
        let bar = ProgressBar::no_length()
            .with_style(ProgressStyle::with_template("{spinner} {msg}, {elapsed}")?);
        let mut summary = Summary {
            dry_run: self.is_trial,
            ..Summary::default()
        };
        loop {
            let page = ending.run_until_cancelled(table.page()).await;
            let page = match page {
                None => return Ok((summary, false)),
                Some(page) => page.context("cannot read the seed's table")?,
            };
            let Some(page) = page else {
                bar.finish_and_clear();
                return Ok((summary, true));
            };
            let mut taken = stream::iter(page)
                .map(|item| self.one(item))
                .buffer_unordered(AT_ONCE_MAX);
            loop {
                match ending.run_until_cancelled(taken.next()).await {
                    None => return Ok((summary, false)),
                    Some(None) => break,
                    Some(Some(one)) => {
                        let (item, taken) =
                            one.context("cannot write to the store; run it again")?;
                        summary.count(&item, taken);
                    }
                }
                bar.set_message(format!(
                    "{} read, {} entered",
                    summary.read, summary.entered
                ));
                bar.tick();
            }
        }
    }

    /// Takes in one item, or says why it can't be.
    async fn one(
        &self,
        item: SeedStream,
    ) -> Result<(SeedStream, Result<TakenIn, Unfit>), StoreError> {
        let taken = match self.call(&item) {
            Ok(call) => Ok(self.taken(call).await?),
            Err(unfit) => Err(unfit),
        };
        Ok((item, taken))
    }

    async fn taken(&self, call: StartCall) -> Result<TakenIn, StoreError> {
        let mut pause = PAUSE;
        for _ in 1..TRIES_MAX {
            match self.limiter.take_in(call.clone(), self.is_trial).await {
                Err(StoreError::Overloaded { .. } | StoreError::Unavailable { .. }) => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
        self.limiter.take_in(call, self.is_trial).await
    }

    fn call(&self, item: &SeedStream) -> Result<StartCall, Unfit> {
        let user = match item.user.as_ref().ok_or(Unfit::NoUser)? {
            SeedUser::Text(text) => text.clone(),
            SeedUser::Number(digits) => digits
                .parse()
                .map_or_else(|_| digits.clone(), |number| as_javascript_writes(&number)),
        };
        let id = item.stream.as_ref().ok_or(Unfit::NoStream)?;
        Ok(StartCall {
            user: UserId::parse(&user).map_err(Unfit::User)?,
            naming: Naming::Chosen(StreamId::parse(id).map_err(Unfit::Stream)?),
            device: Device::default(),
            content: None,
            replace: Vec::new(),
            on_limit: OnLimit::Deny,
            limit: self.limit,
            terms: self.terms,
        })
    }
}

impl Summary {
    fn count(&mut self, item: &SeedStream, taken: Result<TakenIn, Unfit>) {
        self.read += 1;
        let unfit = match taken {
            Ok(TakenIn::Entered) => return self.entered += 1,
            Ok(TakenIn::Known) => return self.known += 1,
            Ok(TakenIn::Over(_)) => return self.over += 1,
            Ok(TakenIn::Full) => Unfit::Full,
            Ok(TakenIn::Forgotten) => Unfit::Forgotten,
            Err(unfit) => unfit,
        };
        self.refused += 1;
        if self.refusals.len() < SHOWN_MAX {
            self.refusals.push(format!("{item}: {unfit}"));
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            read,
            entered,
            known,
            over,
            refused,
            ..
        } = self;
        let (only, entered_how) = if self.dry_run {
            ("dry run, nothing was changed: ", "would be entered")
        } else {
            ("", "entered")
        };
        writeln!(
            f,
            "{only}{read} items read: {entered} streams {entered_how}, {known} known, {over} over here, {refused} refused"
        )?;
        for refusal in &self.refusals {
            writeln!(f, "  {refusal}")?;
        }
        Ok(())
    }
}
