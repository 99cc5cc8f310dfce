//! `streamgate bench`: loads a stream limiter, measures it, and checks every answer against a
//! model of what it may say.

mod client;
mod load;
mod model;
mod pace;
mod plan;
mod process;
mod report;
mod tally;
mod traffic;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::print;
use crate::clock::instant;
use load::Worker;
use model::Findings;
use process::{Usage, usage};
use report::Report;
use tally::Tally;

pub(super) use plan::Plan;

pub(super) const EXAMPLES: &str = "\
Examples:
  streamgate bench                                           a local server, as fast as it answers
  streamgate bench --rate 5000 --duration 1m                 latency under an even load
  streamgate bench --mix 0:1:0 --fill 100000 --pid $(pidof streamgate)
                                                             heartbeats only, and what they cost
  streamgate bench --users 100 --connections 256             many starts race for few users
  streamgate bench --batch 100 --json                        heartbeats in batches, for a script
  streamgate bench --key-file my-key --tokens                a server that asks who calls

Exit codes:
  0   done, and every answer was one that a limiter may give
  1   the server could not be reached, answered nothing but 401 and 403, or left more than
      every hundredth request without an answer
  3   the server broke the rules: the report says how";

/// How often progress is shown.
const TICK: Duration = Duration::from_millis(100);

/// The server gave answers that no limiter may give.
#[derive(Debug, thiserror::Error)]
#[error("the server broke the rules {0} times")]
pub(super) struct Violations(u64);

/// What all threads share.
struct Shared {
    /// Moments are counted from here.
    epoch: Instant,
    /// Ends every phase early.
    stop: CancellationToken,
    answered: AtomicU64,
    /// Tells this run's users from those of runs before, which may still have streams.
    tag: u32,
}

pub(super) fn run(plan: Plan) -> anyhow::Result<()> {
    let plan = plan.settled()?;
    let tag = getrandom::u32().context("no random bytes for the names of users")?;
    let shared = Arc::new(Shared {
        epoch: instant(),
        stop: CancellationToken::new(),
        answered: AtomicU64::new(0),
        tag: tag >> 8,
    });
    let report = runtime()?.block_on(async {
        tokio::select! {
            report = measure(&plan, &shared) => report,
            never = interrupted(&shared) => never,
        }
    })?;
    if report.plan.json {
        print(&format!("{}\n", report.json()))?;
    } else {
        print(&report.table()?)?;
    }
    ensure!(report.tally.requests() != 0, "no request was answered");
    let violations = report.findings.violations;
    ensure!(violations == 0, Violations(violations));
    let refused = [401, 403].map(|status| report.tally.statuses.get(&status).unwrap_or(&0));
    ensure!(
        refused.into_iter().sum::<u64>() < report.tally.requests(),
        "every request was answered 401 or 403: a server that asks who calls wants --key-file"
    );
    let unanswered = report.tally.transport_errors;
    ensure!(
        unanswered * 100 <= report.tally.requests(),
        "{unanswered} requests got no answer"
    );
    Ok(())
}

fn runtime() -> anyhow::Result<Runtime> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start a runtime")
}

/// Lets a first Ctrl-C end the measurement early.
async fn interrupted<T>(shared: &Shared) -> anyhow::Result<T> {
    tokio::signal::ctrl_c().await?;
    shared.stop.cancel();
    std::future::pending().await
}

async fn measure(plan: &Plan, shared: &Arc<Shared>) -> anyhow::Result<Report> {
    let probe = TcpStream::connect(&plan.url.authority).await;
    drop(probe.with_context(|| format!("cannot reach {}", plan.url.url))?);
    usages(plan)?;

    let threads = usize::try_from(plan.threads)?;
    let (filled, mut fills) = mpsc::channel(threads);
    let (finished, mut results) = mpsc::channel(threads);
    let (go, start) = watch::channel(None);
    for thread in 0..plan.threads {
        let (plan, shared) = (plan.clone(), Arc::clone(shared));
        let (filled, finished, start) = (filled.clone(), finished.clone(), start.clone());
        std::thread::Builder::new()
            .name(format!("load-{thread}"))
            .spawn(move || {
                let result = work(&plan, &shared, thread, &filled, start);
                // Nobody listens any more only when the run has failed.
                drop(finished.blocking_send(result));
            })?;
    }
    drop((filled, finished));

    let bar = progress(
        plan.fill,
        "filling  {bar:40} {pos}/{len} streams, {per_sec}",
    )?;
    let all_filled = async {
        for _ in 0..plan.threads {
            fills.recv().await;
        }
    };
    shown(&bar, shared, 0, all_filled).await;

    let begin = instant();
    go.send(Some(begin)).ok().context("no thread is left")?;
    let span = plan.warmup + plan.duration;
    let bar = progress(
        span.as_secs(),
        "loading  {elapsed} of {len} s, {pos} answers, {per_sec}",
    )?;
    let answered = shared.answered.load(Ordering::Relaxed);
    let before = async {
        tokio::select! {
            () = tokio::time::sleep(plan.warmup) => {}
            () = shared.stop.cancelled() => {}
        }
        usages(plan)
    };
    let before = shown(&bar, shared, answered, before).await?;
    let (mut tally, mut findings) = (Tally::new(), Findings::default());
    let all_finished = async {
        while let Some(result) = results.recv().await {
            let (its_tally, its_findings) = result?;
            tally.merge(&its_tally);
            findings.merge(its_findings);
        }
        anyhow::Ok(())
    };
    shown(&bar, shared, answered, all_finished).await?;
    let after = usages(plan)?;
    let mut usages = before.into_iter().zip(after);
    Ok(Report {
        plan: plan.clone(),
        tally,
        findings: if plan.unchecked {
            Findings::default()
        } else {
            findings
        },
        generator: usages.next().context("there is at least this process")?,
        server: usages.collect(),
    })
}

/// What one thread does.
fn work(
    plan: &Plan,
    shared: &Shared,
    thread: u64,
    filled: &mpsc::Sender<()>,
    mut start: watch::Receiver<Option<Instant>>,
) -> anyhow::Result<(Tally, Findings)> {
    let worker = Worker::new(plan, shared, thread)?;
    let mut connections = worker.connections();
    runtime()?.block_on(async {
        worker.fill(&mut connections).await;
        filled.send(()).await?;
        let begin = *start.wait_for(Option::is_some).await?;
        worker
            .load(&mut connections, begin.context("it is some")?)
            .await;
        anyhow::Ok(())
    })?;
    Ok(worker.finish())
}

/// What this process and those of `--pid` have used.
fn usages(plan: &Plan) -> anyhow::Result<Vec<Usage>> {
    let servers = plan.pid.iter().map(u32::to_string);
    let all = std::iter::once("self".to_owned()).chain(servers);
    all.map(|pid| usage(&pid)).collect()
}

/// A line on stderr, if that is a terminal.
fn progress(len: u64, template: &str) -> anyhow::Result<ProgressBar> {
    Ok(ProgressBar::new(len).with_style(ProgressStyle::with_template(template)?))
}

/// Shows how many answers came since there were `from`, until `phase` is done.
async fn shown<T>(
    bar: &ProgressBar,
    shared: &Shared,
    from: u64,
    phase: impl Future<Output = T>,
) -> T {
    let ticks = async {
        loop {
            bar.set_position(shared.answered.load(Ordering::Relaxed) - from);
            tokio::time::sleep(TICK).await;
        }
    };
    let done = tokio::select! {
        done = phase => done,
        never = ticks => never,
    };
    bar.finish_and_clear();
    done
}
