use std::sync::Arc;

use futures_util::FutureExt;
use streamgate_core::{Locator, StreamId};

use super::{OF_STREAM_MAX, Watch, Watchers, Woken};

fn id(text: &str) -> StreamId {
    StreamId::parse(text).expect("a name")
}

fn at(bits: u64) -> Locator {
    Locator::from_bits(bits)
}

fn woken(watch: &Watch) -> Option<Woken> {
    watch.woken().now_or_never()
}

#[test]
fn who_watches_there_is_woken_once_however_often_something_ends() {
    let watchers = Watchers::new(10);
    let here = watchers.enter(at(1), &id("a")).expect("there is room");
    let beside = watchers.enter(at(1), &id("b")).expect("there is room");
    let elsewhere = watchers.enter(at(2), &id("a")).expect("there is room");
    for _ in 0..1000 {
        watchers.wake(at(1));
    }
    assert_eq!(woken(&here), Some(Woken::News));
    assert_eq!(woken(&here), None);
    assert_eq!(woken(&beside), Some(Woken::News));
    assert_eq!(woken(&elsewhere), None);
    watchers.wake_all();
    for watch in [&here, &beside, &elsewhere] {
        assert_eq!(woken(watch), Some(Woken::News));
    }
}

#[test]
fn so_many_may_watch_and_who_goes_leaves_nothing_behind() {
    let watchers = Watchers::new(2);
    let first = watchers.enter(at(1), &id("a"));
    let second = watchers.enter(at(2), &id("b"));
    assert!(first.is_some() && second.is_some());
    assert!(watchers.enter(at(3), &id("c")).is_none());
    drop(first);
    let third = watchers.enter(at(3), &id("c"));
    assert!(third.is_some());
    assert_eq!(watchers.len(), 2);
    drop((second, third));
    assert_eq!(watchers.len(), 0);
    assert!(watchers.bells.lock().is_empty());
}

#[test]
fn of_too_many_who_watch_one_stream_the_oldest_is_let_go() {
    let watchers = Watchers::new(100);
    let enter = |name| watchers.enter(at(1), &id(name)).expect("there is room");
    let other = enter("b");
    let mut all: Vec<_> = std::iter::repeat_with(|| enter("a"))
        .take(OF_STREAM_MAX)
        .collect();
    all.push(enter("a"));
    assert_eq!(watchers.len(), OF_STREAM_MAX + 1);
    assert_eq!(woken(&all[0]), Some(Woken::LetGo));
    assert!(all[1..].iter().all(|it| woken(it).is_none()));
    assert_eq!(woken(&other), None);
    drop(all);
    assert_eq!(watchers.len(), 1);
    assert_eq!(Arc::strong_count(&watchers), 2);
}
