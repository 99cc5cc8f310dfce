use super::*;

const FAST: Duration = Duration::from_millis(2_500);
const SLOW: Duration = Duration::from_millis(2_501);

/// With a deadline of 5 seconds.
fn bound_of(requests_max: usize) -> StartBound {
    StartBound::new(&HttpConfig {
        connections_max: 1,
        requests_max,
        deadline: Duration::from_secs(5),
        drain: Duration::ZERO,
    })
}

/// How many get in beside each other.
fn room(bound: &StartBound) -> usize {
    let mut inside = Vec::new();
    while let Some(entered) = bound.enter() {
        inside.push(entered);
    }
    let room = inside.len();
    // They leave without a trace, as if they had never been.
    inside.into_iter().for_each(std::mem::forget);
    bound.in_flight.store(0, Ordering::Relaxed);
    room
}

fn leave(bound: &StartBound, times: usize, took: Duration) {
    for _ in 0..times {
        bound.in_flight.fetch_add(1, Ordering::Relaxed);
        bound.left(took);
    }
}

#[test]
fn starts_in_time_leave_the_bound_where_it_is() {
    let bound = bound_of(4096);
    assert_eq!(room(&bound), 3072);
    leave(&bound, 10_000, FAST);
    assert_eq!(room(&bound), 3072);
}

#[test]
fn slow_starts_let_fewer_in_and_starts_in_time_as_many_as_before() {
    let bound = bound_of(4096);
    leave(&bound, 1, SLOW);
    assert_eq!(room(&bound), 2688);
    leave(&bound, 1000, SLOW);
    assert_eq!(room(&bound), BOUND_MIN);
    leave(&bound, 100, FAST);
    assert_eq!(room(&bound), BOUND_MIN + 100);
    leave(&bound, 10_000, FAST);
    assert_eq!(room(&bound), 3072);
}

#[test]
fn a_small_bound_stays_one() {
    let bound = bound_of(1);
    leave(&bound, 100, SLOW);
    assert_eq!(room(&bound), 1);
}

#[test]
fn whoever_leaves_makes_room() {
    let bound = bound_of(1);
    let entered = bound.enter();
    assert!(entered.is_some() && bound.enter().is_none());
    drop(entered);
    assert!(bound.enter().is_some());
}
