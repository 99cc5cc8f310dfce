//! Random swaps, compared with a map after each.

use std::collections::{HashMap, HashSet};

use streamgate_core::Record;

use super::{Random, Trial, at, record_of};
use crate::{Version, Versioned, Write};

const SEEDS: u64 = 3;
const STEPS: u64 = 700;
const PLACES: u64 = 6;

pub(super) async fn any_sequence_of_swaps_does_what_a_map_would(trial: Trial) {
    for seed in 0..SEEDS {
        let mut play = Play {
            trial: trial.clone(),
            random: Random(seed),
            first_place: seed << 32,
            there: HashMap::new(),
            versions: HashSet::new(),
            past: vec![Version::ABSENT],
        };
        for step in 0..STEPS {
            play.step(step).await;
        }
    }
}

struct Play {
    trial: Trial,
    random: Random,
    first_place: u64,
    /// The model.
    there: HashMap<u64, Versioned>,
    /// Those that each place had.
    versions: HashSet<(u64, u64)>,
    past: Vec<Version>,
}

impl Play {
    async fn step(&mut self, step: u64) {
        let place = self.first_place + self.random.below(PLACES);
        let expected = self
            .there
            .get(&place)
            .cloned()
            .unwrap_or_else(Versioned::absent);
        let next = if self.random.once_in(4) {
            Record::default()
        } else {
            record_of(step + 1)
        };
        let write = if self.random.once_in(3) {
            Write::Durable
        } else {
            Write::Soft
        };
        let picked = usize::try_from(self.random.below(self.past.len() as u64)).expect("an index");
        let stale = self.past[picked];
        if self.random.once_in(3) && stale != expected.version {
            let shown = self.trial.refused(at(place), stale, &next, write).await;
            self.trial.same(&shown, &expected, "what a loser is shown");
        } else {
            self.put(place, &expected, next, write).await;
        }
        let loaded = self.trial.load(at(place)).await;
        let expected = self.there.get(&place).cloned();
        self.trial.same(
            &loaded,
            &expected.unwrap_or_else(Versioned::absent),
            "what is there",
        );
    }

    async fn put(&mut self, place: u64, expected: &Versioned, next: Record, write: Write) {
        let version = self
            .trial
            .put(at(place), expected.version, &next, write)
            .await;
        if next.is_empty() {
            self.trial
                .same(&version, &Version::ABSENT, "the version of nothing");
            self.there.remove(&place);
            return;
        }
        let is_new = version != Version::ABSENT && self.versions.insert((place, version.0));
        self.trial.same(&is_new, &true, "a version is new");
        self.past.push(version);
        self.there.insert(
            place,
            Versioned {
                version,
                record: next,
            },
        );
    }
}
