//! Bytes that were once written must be read for ever.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{SEED_TERMS, TERMS, a_start, at, id, policy, user};
use crate::*;

/// [`sample`], as the first version that wrote format 1 wrote it.
const FORMAT_1: &str = "\
    018182846931323334353637383905818650123456789abc8defbfffffffffffffff831a0010a1d01a00015f\
    901975301b000001a1ee565e0001836474762d396e4c6976696e6720726f6f6d205456627476676d6f766965\
    2d318483687265706c6163656482028150123456789abc8defbfffffffffffffff1a00195460836773746f70\
    7065648200801a00197b708367657669637465648203801a0019a28083676578706972656482018186676578\
    7069726564831a000f42401a00015f901975301b000001a1ee565e000080676d6f7669652d311a0019c99084\
    67616e6f746865720581866473656564821a00102ca01a00dbba001b000001a1ee565e000080676d6f766965\
    2d3180";

/// The same by a later version, which has added a field to the end of each structure.
const FORMAT_1_FROM_LATER: &str = "\
    018282866931323334353637383905818750123456789abc8defbfffffffffffffff841a0010a1d01a00015f\
    9019753082656c61746572071b000001a1ee565e0001846474762d396e4c6976696e6720726f6f6d20545662\
    747682656c6174657207676d6f7669652d3182656c61746572078484687265706c6163656482028250123456\
    789abc8defbfffffffffffffff82656c61746572071a0019546082656c6174657207846773746f7070656482\
    008182656c61746572071a00197b7082656c617465720784676576696374656482038182656c61746572071a\
    0019a28082656c6174657207846765787069726564820182876765787069726564841a000f42401a00015f90\
    19753082656c61746572071b000001a1ee565e000084f6f6f682656c6174657207676d6f7669652d3182656c\
    617465720782656c61746572071a0019c99082656c6174657207f682656c61746572078667616e6f74686572\
    0581876473656564841a00102ca01a00dbba00f682656c61746572071b000001a1ee565e000084f6f6f68265\
    6c6174657207676d6f7669652d3182656c617465720780f682656c617465720782656c6174657207";

/// Two users, both kinds of lease and of id, and every kind of ending.
fn sample() -> Record {
    let mut record = Record::default();
    let tv = Device {
        id: DeviceText::parse("tv-9").ok(),
        name: DeviceText::parse("Living room TV").ok(),
        kind: DeviceText::parse("tv").ok(),
    };
    let mut start = |user, stream, terms, device: &Device, seconds| {
        let request = Start {
            device: device.clone(),
            content: ContentId::parse("movie-1").ok(),
            started_at: WallTime::from_millis(1_795_000_000_000),
            ..a_start(user, stream)
        };
        record.start(&request, &policy(5, terms), at(seconds));
    };
    let nobody = Device::default();
    start("123456789", "expired", TERMS, &nobody, "1000");
    start("123456789", "stopped", TERMS, &nobody, "1050");
    start("123456789", "evicted", TERMS, &nobody, "1050");
    start("123456789", "replaced", TERMS, &tv, "1050");
    start(
        "123456789",
        "12345678-9abc-8def-bfff-ffffffffffff",
        TERMS,
        &tv,
        "1060",
    );
    start("another", "seed", SEED_TERMS, &nobody, "1060");

    let (owner, stopped, playing) = (
        user("123456789"),
        id("stopped"),
        "12345678-9abc-8def-bfff-ffffffffffff",
    );
    record.stop(
        Target {
            user: Some(&owner),
            id: &stopped,
        },
        at("1070"),
    );
    record.evict(&owner, Which::One(&id("evicted")), at("1080"));
    let beat = Heartbeat {
        playback: Some(Playback::Paused),
        content: None,
    };
    record.heartbeat(
        Target {
            user: None,
            id: &id(playing),
        },
        &beat,
        TERMS,
        at("1090"),
    );
    record
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("a byte");
    (0..hex.len()).step_by(2).map(byte).collect()
}

#[test]
fn format_1_is_read_for_ever() {
    assert_eq!(Record::decode(&unhex(FORMAT_1)).unwrap(), sample());
}

#[test]
fn format_1_is_what_is_written() {
    assert_eq!(hex(&sample().encode()), FORMAT_1);
}

#[test]
fn fields_that_a_later_version_added_are_skipped() {
    assert_eq!(
        Record::decode(&unhex(FORMAT_1_FROM_LATER)).unwrap(),
        sample()
    );
}

#[test]
fn that_an_ending_was_dropped_is_read_for_ever() {
    // Of user 1, limit 3, without streams and endings: until second 1090.
    let bytes = unhex("0181818561310380801a0010a1d0");
    let record = Record::decode(&bytes).unwrap();
    assert!(record.may_have_forgotten(Some(&user("1")), at("1089.999")));
    assert!(!record.may_have_forgotten(None, at("1090")));
    assert!(!record.may_have_forgotten(Some(&user("2")), at("0")));
    assert_eq!(record.encode(), bytes);
}

#[test]
fn no_bytes_are_the_empty_record() {
    assert_eq!(Record::decode(&[]).unwrap(), Record::default());
    assert_eq!(
        Record::decode(&Record::default().encode()).unwrap(),
        Record::default()
    );
}

#[test]
fn an_unknown_format_is_refused() {
    let mut bytes = sample().encode();
    for format in [0, 2, 255] {
        bytes[0] = format;
        let error = Record::decode(&bytes).unwrap_err();
        assert!(matches!(error, DecodeError::Format(found) if found == format));
        assert_eq!(
            error.to_string(),
            format!("the record has format {format}, expected 1")
        );
    }
}

#[test]
fn a_record_that_was_cut_off_is_refused() {
    let bytes = sample().encode();
    for len in 1..bytes.len() {
        let error = Record::decode(&bytes[..len]).unwrap_err();
        assert!(
            matches!(error, DecodeError::Damaged(_)),
            "{len} bytes: {error}"
        );
        assert_eq!(error.to_string(), "the record is damaged");
    }
}

#[test]
fn no_damage_to_a_byte_makes_reading_panic() {
    let good = sample().encode();
    for at in 0..good.len() {
        for flip in 1..=u8::MAX {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            let read = Record::decode(&bytes);
            assert!(read.is_err() || 0 < at);
        }
    }
}

#[test]
fn names_out_of_bounds_are_refused_in_a_record_too() {
    for (name, damaged) in [
        ("another", "an\u{7}ther"),
        ("seed", "se/d"),
        ("Living room TV", "Living\nroom TV"),
    ] {
        let damaged =
            hex(&sample().encode()).replace(&hex(name.as_bytes()), &hex(damaged.as_bytes()));
        assert!(Record::decode(&unhex(&damaged)).is_err(), "{name}");
    }
}

#[test]
fn an_id_that_is_no_uuid_is_refused() {
    // The byte string of 16 becomes one of 15; the byte too many is then no next field either.
    let damaged = hex(&sample().encode()).replace("50123456789abc", "4f123456789abc");
    assert!(Record::decode(&unhex(&damaged)).is_err());
}
