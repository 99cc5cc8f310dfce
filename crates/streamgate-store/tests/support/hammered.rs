//! Holds what a hammer was answered against what is there after it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::SystemTime;

use streamgate_core::{Limit, Locator, Timestamp, UserId};
use streamgate_store::{EmbeddedStore, LeaseStore};

const USERS: u64 = 6;

/// What a run of the hammer said.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: ExitStatus,
    pub(crate) lines: Vec<String>,
}

/// The program that `cargo test` builds beside the tests; never one from before the last change.
pub(crate) fn hammer_path() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let target = test.ancestors().nth(2).expect("a target directory");
    let path = target.join("examples/hammer");
    // What it was made of, as cargo notes it.
    let sources = std::fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    let newest = sources
        .split_whitespace()
        .skip(1)
        .filter_map(modified)
        .max();
    assert!(
        newest.is_some() && newest <= modified(&path),
        "{} is not up to date: cargo build -p streamgate-store --example hammer",
        path.display()
    );
    path
}

fn modified(path: impl AsRef<Path>) -> Option<SystemTime> {
    let metadata = path.as_ref().metadata();
    metadata.and_then(|metadata| metadata.modified()).ok()
}

/// A stream, by its user's place and its id.
type Name = (u64, String);

impl Run {
    pub(crate) fn new(status: ExitStatus, stdout: &[u8]) -> Self {
        let stdout = String::from_utf8_lossy(stdout);
        // A line that was cut off was not answered.
        let whole = stdout.rsplit_once('\n').map_or("", |(whole, _)| whole);
        Self {
            status,
            lines: whole.lines().map(String::from).collect(),
        }
    }

    /// The streams that a kind of line names.
    pub(crate) fn named(&self, verb: &str) -> BTreeSet<Name> {
        let named = self.lines.iter().filter_map(|line| {
            let mut words = line.split(' ');
            let is_meant = words.next() == Some(verb);
            let place = words.next()?.parse().ok();
            let id = words.next()?;
            is_meant.then_some((place?, id.into()))
        });
        named.collect()
    }
}

/// Opens the directory and checks that it has what these runs were answered, one after the
/// other: every stream that was started and that nobody asked to stop, and none that was
/// stopped. Returns how many answers that were.
pub(crate) async fn check(dir: &Path, runs: &[Run], what: &str) -> usize {
    let all = |verb| -> BTreeSet<Name> { runs.iter().flat_map(|run| run.named(verb)).collect() };
    let (started, stopping, stopped) = (all("started"), all("stopping"), all("stopped"));
    let opened = match EmbeddedStore::open(dir, None) {
        Ok(opened) => opened,
        Err(error) => panic!("{what}: it does not open: {error:?}"),
    };
    let user = UserId::parse("user").expect("a user");
    let mut live = BTreeSet::new();
    for place in 0..USERS {
        let found = opened.store.load(Locator::from_bits(place)).await;
        let record = found.expect("a record").record;
        let (streams, _) = record.streams(&user, Timestamp::default());
        assert!(
            streams.len() <= usize::from(Limit::DEFAULT.get()),
            "{what}: over the limit"
        );
        live.extend(streams.iter().map(|stream| (place, stream.id.to_string())));
    }
    let lost: Vec<&Name> = started
        .difference(&stopping)
        .filter(|name| !live.contains(*name))
        .collect();
    assert!(lost.is_empty(), "{what}: lost {lost:?}, there are {live:?}");
    let back: Vec<&Name> = stopped.intersection(&live).collect();
    assert!(back.is_empty(), "{what}: stopped and there again {back:?}");
    started.len() + stopped.len()
}
