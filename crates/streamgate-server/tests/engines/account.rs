//! What players asked and saw, in the words of the checker: counted, and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use streamgate_store::history::{Answer, Asked, Checked, Operation, check};

use crate::say;

/// How far the lease clocks of nodes over Redis may lie from the test's.
pub(crate) const CLOCKS_APART: Duration = Duration::from_millis(100);

/// How long before and after a master's turn its answers may rest on what it alone has.
const SLACK_US: u64 = 500_000;

/// Everything that the players of one test saw.
#[derive(Default)]
pub(crate) struct Account {
    pub(crate) operations: Vec<Operation>,
    /// How often each thing was met.
    words: BTreeMap<&'static str, usize>,
}

impl Account {
    pub(crate) fn add(&mut self, other: Self) {
        self.operations.extend(other.operations);
        for (word, count) in other.words {
            *self.words.entry(word).or_default() += count;
        }
    }

    pub(crate) fn count(&mut self, word: &'static str) {
        self.count_many(word, 1);
    }

    pub(crate) fn count_many(&mut self, word: &'static str, count: usize) {
        *self.words.entry(word).or_default() += count;
    }

    /// How often something was met.
    pub(crate) fn of(&self, word: &str) -> usize {
        self.words.get(word).copied().unwrap_or(0)
    }

    /// The engine lost everything between these instants.
    pub(crate) fn lost_everything(&mut self, from_us: u64, to_us: u64) {
        let users: BTreeSet<_> = self.operations.iter().map(|it| it.user.clone()).collect();
        self.operations
            .extend(users.into_iter().map(|user| Operation {
                user,
                asked: Asked::Loss,
                invoked_us: from_us,
                answered: Some((to_us, Answer::Done)),
            }));
    }

    /// Where an answer of the engine is lost, a node asks again, and meanwhile others may have been
    /// there: a start that finds its own stream, or how that ended, may have started it itself.
    pub(crate) fn nodes_asked_again(&mut self) {
        let again = self.operations.iter().filter(|it| {
            let answer = it.answered.as_ref().map(|(_, answer)| answer);
            matches!(it.asked, Asked::Start(..))
                && matches!(answer, Some(Answer::Same { .. } | Answer::Over(_)))
        });
        let again: Vec<Operation> = again
            .map(|it| Operation {
                answered: None,
                ..it.clone()
            })
            .collect();
        self.operations.extend(again);
    }

    /// Takes answers that promise nothing for none at all, of operations that were under way when
    /// a master went, or came back without knowing that it was replaced: a "no" and a plain
    /// heartbeat may rest on what nobody else has.
    pub(crate) fn doubt_what_promises_nothing(&mut self, turn_us: u64) {
        let (from_us, to_us) = (turn_us.saturating_sub(SLACK_US), turn_us + SLACK_US);
        for operation in &mut self.operations {
            let invoked_us = operation.invoked_us;
            operation.answered.take_if(|(at, answer)| {
                let promises_nothing = match answer {
                    Answer::Denied { .. }
                    | Answer::Over(_)
                    | Answer::Unknown
                    | Answer::Renewed { .. } => true,
                    Answer::Admitted { .. }
                    | Answer::Same { .. }
                    | Answer::Resumed { .. }
                    | Answer::Done => false,
                };
                promises_nothing && invoked_us <= to_us && from_us <= *at
            });
        }
    }

    /// The same for an engine that may lose what it has acknowledged: counts the users of whom it
    /// did, and takes them out first.
    #[track_caller]
    pub(crate) fn check_what_is_not_lost(
        mut self,
        test: &str,
        clocks_apart: Duration,
        words: &[&str],
    ) {
        let mut users: BTreeMap<String, Vec<Operation>> = BTreeMap::new();
        for operation in self.operations.drain(..) {
            let of_user = users.entry(operation.user.as_str().to_owned()).or_default();
            of_user.push(operation);
        }
        for operations in users.into_values() {
            match check(&operations, clocks_apart) {
                Ok(_) => self.operations.extend(operations),
                Err(lost) => {
                    say(&format!("{test}: lost: {lost}"));
                    self.count("users who lost something");
                }
            }
        }
        self.check(test, clocks_apart, words);
    }

    /// Checks it, says how much it was, and that each of these was met.
    #[track_caller]
    pub(crate) fn check(&self, test: &str, clocks_apart: Duration, words: &[&str]) -> Checked {
        let checked = match check(&self.operations, clocks_apart) {
            Ok(checked) => checked,
            Err(refuted) => panic!("{test}: {refuted}"),
        };
        say(&format!("{test}: {checked:?} {:?}", self.words));
        for word in words {
            assert!(0 < self.of(word), "{test}: never {word}: {:?}", self.words);
        }
        assert!(0 < checked.concurrent, "{test}: nobody met");
        checked
    }
}
