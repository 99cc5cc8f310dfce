//! API keys: what is taken, and until when.

use std::time::Duration;

use crate::auth::{KeyFile, KeyRing, KeyUse, Scope};

use super::WallTime;

const NOW: WallTime = WallTime::from_millis(1_000_000);

#[test]
fn a_key_is_good_until_it_expires_or_is_revoked_and_no_other_text_ever_is() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("keys.json");
    let ring = KeyRing::open(&path).expect("no file is no keys");
    let add = |lasts| {
        let mut file = KeyFile::open(&path).expect("a file of keys");
        file.add("cms".into(), vec![Scope::Play], NOW, lasts)
            .expect("a key")
    };
    let (for_ever, text) = add(None);
    assert!(ring.verify(&text, NOW).is_none(), "not yet read");
    ring.refresh();
    let granted = ring.verify(&text, NOW).expect("it is good");
    assert_eq!(
        (&granted.id, &granted.scopes),
        (&for_ever.id, &vec![Scope::Play])
    );

    let (_, short) = add(Some(Duration::from_secs(5)));
    ring.refresh();
    assert!(
        ring.verify(&short, WallTime::from_millis(1_004_999))
            .is_some()
    );
    assert!(
        ring.verify(&short, WallTime::from_millis(1_005_000))
            .is_none()
    );

    for wrong in [
        "",
        "sgk_",
        &text[..text.len() - 1],
        &format!("{text}0"),
        &text.replace("sgk_", "SGK_"),
        &format!(
            "{}{}",
            &text[..text.len() - 1],
            if text.ends_with('0') { '1' } else { '0' }
        ),
        &format!("{}{}", &text[..17], &short[17..]),
    ] {
        assert!(ring.verify(wrong, NOW).is_none(), "{wrong}");
    }

    let mut file = KeyFile::open(&path).expect("a file of keys");
    assert!(file.revoke(&for_ever.id).expect("it is written"));
    assert!(
        !file.revoke(&for_ever.id).expect("it is read"),
        "gone already"
    );
    drop(file);
    ring.refresh();
    assert!(ring.verify(&text, NOW).is_none());
}

#[test]
fn how_the_keys_are_used_is_told_without_their_ids() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("keys.json");
    let add = |lasts| {
        let mut file = KeyFile::open(&path).expect("a file of keys");
        let added = file.add("cms".into(), vec![Scope::Play], NOW, lasts);
        added.expect("a key").1
    };
    let (one, other) = (add(None), add(Some(Duration::from_secs(5))));
    let ring = KeyRing::open(&path).expect("it is right");
    let start = |key| ring.verify(key, NOW).expect("it is good").count_start();
    let usage = |good, busiest| KeyUse { good, busiest };
    assert_eq!(ring.usage(NOW), usage(2, 0.0));
    for key in [&one, &other, &other, &other] {
        start(key);
    }
    assert_eq!(ring.usage(NOW), usage(2, 0.75));
    assert_eq!(ring.usage(WallTime::from_millis(1_005_000)), usage(1, 0.75));

    add(None);
    ring.refresh();
    let later = ring.usage(NOW);
    assert_eq!(later.good, 3, "another key");
    assert!(
        (0.74..0.76).contains(&later.busiest),
        "nothing is forgotten"
    );

    // A minute later what was before counts for little, and in the end for nothing.
    (0..60).for_each(|_| ring.refresh());
    start(&one);
    let later = ring.usage(NOW).busiest;
    assert!((0.6..0.8).contains(&later), "{later}");
    (0..600).for_each(|_| ring.refresh());
    assert_eq!(ring.usage(NOW), usage(3, 0.0));
}

#[test]
fn the_file_has_no_key_in_it_and_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("keys.json");
    let mut file = KeyFile::open(&path).expect("a file of keys");
    let added = file.add("cms".into(), vec![Scope::Read], NOW, None);
    let (_, text) = added.expect("a key");
    let kept = std::fs::read_to_string(&path).expect("it is there");
    assert!(!kept.contains(&text[20..]), "{kept}");
    let mode = std::fs::metadata(&path).expect("it is there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

#[test]
fn a_damaged_file_is_refused_at_the_start_and_changes_nothing_later() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("keys.json");
    let mut file = KeyFile::open(&path).expect("a file of keys");
    let added = file.add("cms".into(), vec![Scope::Read], NOW, None);
    let (_, text) = added.expect("a key");
    let ring = KeyRing::open(&path).expect("it is right");
    for damaged in ["", "{", "{\"format\":2,\"keys\":[]}", "[]"] {
        std::fs::write(&path, damaged).expect("it is written");
        ring.refresh();
        assert!(ring.verify(&text, NOW).is_some(), "{damaged}");
        assert!(KeyRing::open(&path).is_err(), "{damaged}");
    }
}
