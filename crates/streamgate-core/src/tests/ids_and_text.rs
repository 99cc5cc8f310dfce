//! Names: their bounds, and the ids that find their own record.

use alloc::format;
use alloc::string::ToString;

use super::{id, user};
use crate::*;

#[test]
fn a_name_has_1_to_as_many_bytes_as_its_type_allows() {
    let long = "x".repeat(257);
    assert_eq!(
        (
            UserId::BYTES_MAX,
            ContentId::BYTES_MAX,
            DeviceText::BYTES_MAX
        ),
        (256, 256, 128)
    );
    assert_eq!(UserId::parse(""), Err(TextError::Empty));
    assert_eq!(UserId::parse("x").unwrap().as_str(), "x");
    assert_eq!(UserId::parse(&long[..256]).unwrap().as_str(), &long[..256]);
    assert_eq!(UserId::parse(&long), Err(TextError::TooLong { max: 256 }));
    assert!(ContentId::parse(&long[..256]).is_ok());
    assert_eq!(
        ContentId::parse(&long),
        Err(TextError::TooLong { max: 256 })
    );
    assert!(DeviceText::parse(&long[..128]).is_ok());
    assert_eq!(
        DeviceText::parse(&long[..129]),
        Err(TextError::TooLong { max: 128 })
    );
    // Bytes, not characters, are what a store has to keep.
    assert!(DeviceText::parse(&"é".repeat(64)).is_ok());
    assert!(DeviceText::parse(&"é".repeat(65)).is_err());
}

#[test]
fn a_name_has_no_control_characters() {
    for text in ["a\0", "\n", "a\tb", "\u{7f}", "\u{85}"] {
        assert_eq!(UserId::parse(text), Err(TextError::Control), "{text:?}");
        assert_eq!(DeviceText::parse(text), Err(TextError::Control), "{text:?}");
    }
    for text in ["Living room TV", "Wohnzimmer 📺", "a/b?c=d", "  "] {
        assert_eq!(DeviceText::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn a_text_error_says_what_was_expected() {
    assert_eq!(TextError::Empty.to_string(), "must not be empty");
    assert_eq!(
        TextError::TooLong { max: 64 }.to_string(),
        "must be at most 64 bytes long"
    );
    assert_eq!(
        TextError::Control.to_string(),
        "must not contain control characters"
    );
    assert_eq!(
        TextError::Foreign.to_string(),
        "must consist of letters, digits and . _ ~ - only"
    );
}

#[test]
fn a_limit_is_1_to_64() {
    assert_eq!(Limit::new(0), None);
    assert_eq!(Limit::new(1).map(Limit::get), Some(1));
    assert_eq!(Limit::new(64).map(Limit::get), Some(64));
    assert_eq!(Limit::new(65), None);
    assert_eq!(Limit::DEFAULT.get(), 3);
    assert_eq!(Limit::DEFAULT.to_string(), "3");
}

#[test]
fn a_chosen_id_has_1_to_64_unreserved_characters() {
    let long = "x".repeat(65);
    assert_eq!(StreamId::parse(""), Err(TextError::Empty));
    assert!(StreamId::parse(&long[..64]).is_ok());
    assert_eq!(StreamId::parse(&long), Err(TextError::TooLong { max: 64 }));
    for text in ["azAZ09._~-", ".", "0", "not-a-uuid"] {
        assert_eq!(id(text).to_string(), text);
    }
    for text in ["a b", "a/b", "a%20", "ä", "a\n", "a:b", "a+b"] {
        assert_eq!(StreamId::parse(text), Err(TextError::Foreign), "{text}");
    }
}

#[test]
fn every_spelling_of_an_id_is_shown_as_it_came() {
    let uuid = "01234567-89ab-cdef-0123-456789abcdef";
    let upper = "01234567-89AB-CDEF-0123-456789ABCDEF";
    for text in [
        uuid,
        upper,
        "0123456789abcdef0123456789abcdef",
        "01234567-89ab-cdef-0123-456789abcdeg",
        "0123456-789ab-cdef-0123-456789abcdef",
        "01234567-89ab-cdef-0123-456789abcde",
        "01234567-89ab-cdef-0123-456789abcdef0",
        "------------------------------------",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ] {
        assert_eq!(id(text).to_string(), text);
    }
    assert_ne!(id(uuid), id(upper), "another spelling is another id");
}

#[test]
fn a_minted_id_is_a_uuid_of_version_8_with_its_locator_inside() {
    let minted = StreamId::mint(Locator::from_bits(0x0123_4567_89ab_cdef), u64::MAX);
    assert_eq!(minted.to_string(), "12345678-9abc-8def-bfff-ffffffffffff");
    let minted = StreamId::mint(Locator::from_bits(u64::MAX), 0);
    assert_eq!(minted.to_string(), "ffffffff-ffff-8fff-8000-000000000000");
    for bits in [0, 1, 0xfff, 0x1000, 0x0fed_cba9_8765_4321, (1 << 60) - 1] {
        let locator = Locator::from_bits(bits);
        assert_eq!(locator.bits(), bits);
        let minted = StreamId::mint(locator, 0x0123_4567_89ab_cdef);
        assert_eq!(minted.locator(), Some(locator));
        assert_eq!(id(&minted.to_string()), minted);
    }
    assert_eq!(Locator::from_bits(u64::MAX).bits(), (1 << 60) - 1);
}

#[test]
fn only_ids_of_the_minted_form_have_a_locator() {
    for (text, has) in [
        ("12345678-9abc-8def-bfff-ffffffffffff", true),
        ("12345678-9abc-8def-8000-000000000000", true),
        ("12345678-9abc-8def-9000-000000000000", true),
        ("12345678-9abc-4def-bfff-ffffffffffff", false),
        ("12345678-9abc-9def-bfff-ffffffffffff", false),
        ("12345678-9abc-cdef-bfff-ffffffffffff", false),
        ("12345678-9abc-8def-cfff-ffffffffffff", false),
        ("12345678-9abc-8def-3fff-ffffffffffff", false),
        ("12345678-9ABC-8DEF-BFFF-FFFFFFFFFFFF", false),
        ("a", false),
    ] {
        assert_eq!(id(text).locator().is_some(), has, "{text}");
    }
}

#[test]
fn a_locator_is_a_keyed_hash_of_its_user() {
    // SipHash-2-4 of "L", the user and 0xff under the key 00 01 … 0f, cut to 60 bits. Stored
    // ids and stored records carry it, so it must never change.
    let key = LocatorKey::from_bytes(core::array::from_fn(|i| u8::try_from(i).unwrap()));
    assert_eq!(key.locator(&user("123456789")).bits(), KNOWN_LOCATOR);
    assert_ne!(
        key.locator(&user("123456789")),
        key.locator(&user("12345678"))
    );
    let other = LocatorKey::from_bytes([7; 16]);
    assert_ne!(
        key.locator(&user("123456789")),
        other.locator(&user("123456789"))
    );
}

#[test]
fn the_same_idempotency_key_is_the_same_stream() {
    let secret = LocatorKey::from_bytes(core::array::from_fn(|i| u8::try_from(i).unwrap()));
    let first = secret.idempotent_id(&user("123456789"), "retry-1");
    assert_eq!(first.to_string(), KNOWN_IDEMPOTENT_ID);
    assert_eq!(first.locator(), Some(secret.locator(&user("123456789"))));
    assert_eq!(first, secret.idempotent_id(&user("123456789"), "retry-1"));
    assert_ne!(first, secret.idempotent_id(&user("123456789"), "retry-2"));
    assert_ne!(first, secret.idempotent_id(&user("12345678"), "retry-1"));
    let other = LocatorKey::from_bytes([7; 16]);
    assert_ne!(first, other.idempotent_id(&user("123456789"), "retry-1"));

    // User and key don't run together, nor is an id the locator's hash.
    let low =
        |user_name, key| secret.idempotent_id(&user(user_name), key).to_string()[19..].to_string();
    assert_ne!(low("ab", "c"), low("a", "bc"));
    assert_ne!(
        low("a", ""),
        format!("{:x}", secret.locator(&user("a")).bits())
    );
}

#[test]
fn a_secret_is_not_shown() {
    let secret = LocatorKey::from_bytes([42; 16]);
    assert_eq!(format!("{secret:?}"), "LocatorKey(secret)");
    assert_eq!(secret.as_bytes(), &[42; 16]);
}

const KNOWN_LOCATOR: u64 = 0x0654_8e08_90df_6cd9;
const KNOWN_IDEMPOTENT_ID: &str = "6548e089-0df6-8cd9-b3fb-e7f791115cc7";
