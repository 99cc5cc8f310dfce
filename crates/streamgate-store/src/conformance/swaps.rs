//! What one swap does and what it refuses.

use streamgate_core::{Record, Timestamp};

use super::{Trial, at, number_in, record_of};
use crate::{News, StoreError, Swap, Version, Versioned, Write};

const BOTH: [Write; 2] = [Write::Soft, Write::Durable];

pub(super) async fn what_was_never_written_loads_as_empty(trial: Trial) {
    let nothing = trial.load(at(1)).await;
    trial.same(&nothing, &Versioned::absent(), "an empty store");
}

pub(super) async fn a_record_is_put_where_there_was_none(trial: Trial) {
    for (place, write) in [1, 2].into_iter().zip(BOTH) {
        let version = trial
            .put(at(place), Version::ABSENT, &record_of(7), write)
            .await;
        assert!(
            version != Version::ABSENT,
            "{}: a record has the version of none",
            trial.case
        );
    }
}

pub(super) async fn a_stale_version_changes_nothing_and_is_shown_the_current_record(trial: Trial) {
    let first = trial
        .put(at(1), Version::ABSENT, &record_of(1), Write::Durable)
        .await;
    let second = trial.put(at(1), first, &record_of(2), Write::Durable).await;
    let current = Versioned {
        version: second,
        record: record_of(2),
    };
    for write in BOTH {
        for stale in [Version::ABSENT, first] {
            let shown = trial.refused(at(1), stale, &record_of(3), write).await;
            trial.same(&shown, &current, "what the loser is shown");
            let shown = trial.refused(at(1), stale, &Record::default(), write).await;
            trial.same(&shown, &current, "what the loser of a removal is shown");
            trial.same(&trial.load(at(1)).await, &current, "what is there still");
        }
    }
}

pub(super) async fn a_version_of_what_is_gone_is_told_that_it_is_gone(trial: Trial) {
    let version = trial
        .put(at(1), Version::ABSENT, &record_of(1), Write::Durable)
        .await;
    trial
        .put(at(1), version, &Record::default(), Write::Durable)
        .await;
    for write in BOTH {
        let shown = trial.refused(at(1), version, &record_of(2), write).await;
        trial.same(&shown, &Versioned::absent(), "what the loser is shown");
        trial.same(
            &trial.load(at(1)).await,
            &Versioned::absent(),
            "what is there still",
        );
    }
}

pub(super) async fn an_empty_record_is_removed(trial: Trial) {
    for write in BOTH {
        let version = trial
            .put(at(1), Version::ABSENT, &record_of(1), write)
            .await;
        let version = trial.put(at(1), version, &Record::default(), write).await;
        trial.same(&version, &Version::ABSENT, "the version of what is gone");
        let again = trial.put(at(1), version, &Record::default(), write).await;
        trial.same(&again, &Version::ABSENT, "removing what is not there");
    }
}

pub(super) async fn a_record_made_again_refuses_the_version_it_had_before(trial: Trial) {
    let before = trial
        .put(at(1), Version::ABSENT, &record_of(1), Write::Durable)
        .await;
    let gone = trial
        .put(at(1), before, &Record::default(), Write::Durable)
        .await;
    let again = trial.put(at(1), gone, &record_of(1), Write::Durable).await;
    assert!(
        again != before,
        "{}: two writings of the same record share a version",
        trial.case
    );
    let shown = trial
        .refused(at(1), before, &record_of(2), Write::Durable)
        .await;
    trial.same(&number_in(&shown.record), &1, "what the loser is shown");
}

pub(super) async fn records_do_not_disturb_each_other(trial: Trial) {
    // Neighbours, and numbers that are alike in the low, the middle or the high bits, so that
    // whatever a store makes shards and tags of, some share one.
    let places: Vec<u64> = (0..16)
        .chain((1..16).map(|n| n << 12))
        .chain((1..16).map(|n| n << 24))
        .chain((1..16).map(|n| n << 56))
        .chain([(1 << 60) - 1])
        .collect();
    let mut versions = Vec::new();
    for &place in &places {
        let record = record_of(place + 1);
        versions.push(
            trial
                .put(at(place), Version::ABSENT, &record, Write::Soft)
                .await,
        );
    }
    for (index, (&place, &version)) in places.iter().zip(&versions).enumerate() {
        if index % 3 == 0 {
            trial
                .put(at(place), version, &Record::default(), Write::Soft)
                .await;
        }
    }
    for (index, &place) in places.iter().enumerate() {
        let expected = if index % 3 == 0 { 0 } else { place + 1 };
        let there = trial.load(at(place)).await.record;
        trial.same(&number_in(&there), &expected, "the record at a place");
    }
}

pub(super) async fn soft_and_durable_writes_both_show_at_once(trial: Trial) {
    let mut version = Version::ABSENT;
    for number in 1..=20 {
        let write = BOTH[usize::from(number % 3 == 0)];
        version = trial.put(at(1), version, &record_of(number), write).await;
    }
}

pub(super) async fn a_store_that_is_open_is_ready(trial: Trial) {
    if let Err(error) = trial.store.ready().await {
        trial.fail(error);
    }
}

pub(super) async fn after_close_a_swap_is_answered_and_never_half_done(trial: Trial) {
    let version = trial
        .put(at(1), Version::ABSENT, &record_of(1), Write::Durable)
        .await;
    if let Err(error) = trial
        .store
        .close(streamgate_core::Timestamp::default())
        .await
    {
        trial.fail(error);
    }
    match trial
        .swap(at(1), version, &record_of(2), Write::Durable)
        .await
    {
        Ok(()) => trial.same(
            &number_in(&trial.load(at(1)).await.record),
            &2,
            "it was done",
        ),
        Err(StoreError::Unavailable { .. }) => {}
        Err(error) => trial.fail(error),
    }
}

/// A store that tells nobody is none that breaks this: its nodes look for themselves.
pub(super) async fn what_ends_is_told_where_a_store_tells(trial: Trial) {
    let Some(mut news) = trial.store.news() else {
        return;
    };
    trial.same(&news.recv().await, &Some(News::Missed), "the first news");
    let swap = async |place, seen, ended| {
        let swap = Swap {
            at: at(place),
            seen,
            next: &record_of(1),
            write: Write::Durable,
            ended,
            now: Timestamp::default(),
        };
        trial.store.swap(swap).await
    };
    let told = Some(News::Ended(at(3)));
    for (place, ended, is_done) in [(1, 0, true), (1, 1, false), (3, 2, true)] {
        let swapped = swap(place, Version::ABSENT, ended).await;
        trial.same(&swapped.is_ok(), &is_done, "whether it was swapped");
    }
    trial.same(
        &news.recv().await,
        &told,
        "neither what ends nothing nor what is not done",
    );
}
