//! One process at a time, private files, and errors that name what can't be used.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use streamgate_core::LocatorKey;

use super::super::data_dir::DataDir;
use super::{
    EmbeddedStore, JOURNAL, LeaseStore, OpenError, Write, journal_bytes, millis, numbers, open,
    put, record_of, refusal,
};

const UNFINISHED: &str = "streams.redb.new";

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_over_is_over_also_for_a_copy_of_its_handle() {
    let dir = tempfile::tempdir().unwrap();
    let first = DataDir::lock(dir.path()).unwrap();
    let _copy = first.lock.try_clone().unwrap();
    drop(first);
    DataDir::lock(dir.path()).unwrap();
}

#[test]
fn a_second_open_is_refused_until_the_first_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    let before = journal_bytes(dir.path());
    let error = refusal(dir.path());
    assert!(matches!(error, OpenError::InUse { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "{} is in use by another streamgate; stop it first, or choose another --data-dir",
            dir.path().display()
        )
    );
    assert!(before == journal_bytes(dir.path()));
    drop(first);
    open(dir.path()).unwrap();
}

#[test]
fn the_directory_and_its_files_are_for_their_owner_only() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("a/b");
    drop(open(&dir).unwrap());
    assert_eq!(mode(&dir), 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_new_directory_holds_nothing_unfinished() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["lock", JOURNAL]);
}

#[tokio::test]
async fn what_an_unfinished_creation_left_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let leftovers = [
        b"garbage".as_slice(),
        b"",
        b"redb\x1a\x0a\xa9\x0d\x0a and more",
    ];
    for leftover in leftovers {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(UNFINISHED), leftover).unwrap();
        assert_eq!(open(dir.path()).unwrap().records, 0);
    }
    let store = open(dir.path()).unwrap().store;
    put(&store, 1, &record_of(7), Write::Durable, millis(1)).await;
    drop(store);
    for leftover in leftovers {
        fs::write(dir.path().join(UNFINISHED), leftover).unwrap();
        assert_eq!(numbers(&open(dir.path()).unwrap().store, 2).await[&1], 7);
    }
}

#[test]
fn a_path_that_cannot_be_used_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let below_a_file = file.join("data");
    let cases = [
        (
            below_a_file.as_path(),
            below_a_file.as_path(),
            ErrorKind::NotADirectory,
        ),
        (
            Path::new("/proc/streamgate"),
            Path::new("/proc/streamgate"),
            ErrorKind::NotFound,
        ),
    ];
    for (dir, expected, kind) in cases {
        check_io(&refusal(dir), expected, kind);
    }
    for name in ["lock", JOURNAL] {
        let dir = parent.path().join(format!("with-{name}"));
        fs::create_dir_all(dir.join(name)).unwrap();
        let named = if name == "lock" {
            dir.clone()
        } else {
            dir.join(name)
        };
        check_io(&refusal(&dir), &named, ErrorKind::IsADirectory);
    }
}

#[track_caller]
fn check_io(error: &OpenError, expected: &Path, kind: ErrorKind) {
    assert_eq!(
        error.to_string(),
        format!("cannot use {}", expected.display())
    );
    let OpenError::Io { path, source } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(path, expected);
    assert_eq!(source.kind(), kind, "{source}");
}

#[tokio::test]
async fn a_directory_keeps_the_locator_key_that_it_was_made_with() {
    let (ours, theirs) = (
        LocatorKey::from_bytes([1; 16]),
        LocatorKey::from_bytes([2; 16]),
    );
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path(), Some(ours.clone()))
        .unwrap()
        .store;
    put(&store, 1, &record_of(7), Write::Durable, millis(1)).await;
    store.close(millis(1)).await.unwrap();
    drop(store);

    let before = journal_bytes(dir.path());
    let error = EmbeddedStore::open(dir.path(), Some(theirs)).err().unwrap();
    assert!(matches!(error, OpenError::OtherKey { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "{} was made with another locator key than the configuration has",
            dir.path().join(JOURNAL).display()
        )
    );
    assert!(
        before == journal_bytes(dir.path()),
        "refused and written to"
    );

    for key in [Some(ours.clone()), None] {
        let opened = EmbeddedStore::open(dir.path(), key).unwrap();
        assert_eq!(opened.key, ours);
        assert_eq!(numbers(&opened.store, 2).await[&1], 7);
    }
}

#[test]
fn a_directory_without_a_key_makes_its_own_and_keeps_it() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = open(one.path()).unwrap().key;
    assert_eq!(open(one.path()).unwrap().key, key);
    assert!(open(other.path()).unwrap().key != key);
}
