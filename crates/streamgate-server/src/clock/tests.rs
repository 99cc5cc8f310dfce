use super::*;

/// What the lease clock shows after looks at these times, in microseconds since its start.
#[track_caller]
fn check(looks_us: &[u64], expected_ms: u64) {
    let start = instant();
    let mut reading = Reading {
        lease: Timestamp::from_millis(1000),
        taken_at: start,
    };
    let mut shown = reading.lease;
    for us in looks_us {
        let now = reading.at(start + Duration::from_micros(*us));
        assert!(shown <= now, "it never goes back");
        shown = now;
    }
    assert_eq!(shown.as_millis(), 1000 + expected_ms);
}

#[test]
fn it_goes_by_the_monotonic_clock() {
    check(&[], 0);
    check(&[250_000, 600_000, 1_500_000], 1500);
}

#[test]
fn fractions_of_a_millisecond_are_not_lost() {
    check(&[900, 1_800, 2_700], 2);
    check(&[1], 0);
}

#[test]
fn a_process_that_did_not_run_ages_nobody_by_more_than_a_second() {
    check(&[1_000_000], 1000);
    check(&[1_000_999], 1000);
    check(&[7_200_000_000], 1000);
    check(&[7_200_000_000, 7_200_500_000], 1500);
}

#[test]
fn a_look_that_comes_late_from_another_thread_changes_nothing() {
    check(&[500_000, 400_000, 600_000], 600);
}

#[test]
fn the_clock_of_an_engine_is_followed_as_far_as_it_must_be() {
    let time = |earliest, latest| EngineTime {
        earliest: Timestamp::from_millis(earliest),
        latest: Timestamp::from_millis(latest),
    };
    let clock = EngineClock::of(time(1_000_000, 1_000_000));
    let shown = |clock: &EngineClock, from: u64| {
        let now = clock.now().as_millis();
        assert!((from..from + 5000).contains(&now), "{now} is not {from}");
    };
    shown(&clock, 1_000_000);
    // It agrees already.
    clock.follow(time(900_000, 1_100_000));
    shown(&clock, 1_000_000);
    // It was late, by two hours; then early.
    clock.follow(time(8_200_000, 8_300_000));
    shown(&clock, 8_200_000);
    clock.follow(time(900_000, 1_000_000));
    shown(&clock, 1_000_000);
}

#[test]
fn an_instant_from_before_the_clock_was_moved_is_as_long_ago_as_it_is() {
    let at = instant();
    let anchor = Anchor {
        lease: Timestamp::from_millis(10_000),
        at: at + Duration::from_secs(5),
    };
    assert_eq!(anchor.lease_at(at).as_millis(), 5_000);
    assert_eq!(
        anchor.lease_at(at + Duration::from_secs(7)).as_millis(),
        12_000
    );
    let long_ago = Anchor {
        lease: Timestamp::from_millis(10),
        ..anchor
    };
    assert_eq!(long_ago.lease_at(at).as_millis(), 0);
}
