//! A file that is not ours is refused, with a message that helps, and not a byte of it changes.

use std::fs;
use std::path::Path;

use redb::{Database, TableDefinition};
use streamgate_core::LocatorKey;

use super::{JOURNAL, OpenError, at, journal_bytes, millis, open, refusal};
use crate::embedded::entry::{Batch, Op};
use crate::embedded::journal::Journal;
use crate::table::Table;

const HEADER: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("header");

/// Checks that a directory with the journal that `make` leaves is refused, and returns why.
#[track_caller]
fn refused(make: impl FnOnce(&Path)) -> OpenError {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(JOURNAL);
    make(&path);
    let before = fs::read(&path).unwrap();
    let error = refusal(dir.path());
    assert!(
        before == journal_bytes(dir.path()),
        "refused and written to"
    );
    assert!(
        error.to_string().starts_with(&path.display().to_string()),
        "the message does not begin with the path: {error}"
    );
    error
}

#[track_caller]
fn check_foreign(bytes: &[u8]) {
    check_not_ours(&refused(|path| fs::write(path, bytes).unwrap()));
}

#[track_caller]
fn check_not_ours(error: &OpenError) {
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    let expected = "was not written by streamgate; move it away, or choose another --data-dir";
    assert!(error.to_string().ends_with(expected), "{error}");
}

/// A new journal at `path`, changed by hand.
fn journal_with(path: &Path, change: impl FnOnce(&mut redb::Table<'_, &str, &[u8]>)) {
    drop(open(path.parent().unwrap()).unwrap());
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&mut transaction.open_table(HEADER).unwrap());
    transaction.commit().unwrap();
}

#[test]
fn a_text_an_empty_file_and_another_database_are_not_ours() {
    check_foreign(b"");
    check_foreign(b"dear diary");
    check_foreign(&[0; 8192]);
    check_foreign(b"redb");
    check_foreign(&[b"SQLite format 3\0".as_slice(), &[0; 4080]].concat());
}

#[test]
fn the_start_of_a_redb_file_and_nothing_else_is_damaged() {
    let error = refused(|path| fs::write(path, b"redb\x1a\x0a\xa9\x0d\x0a").unwrap());
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[test]
fn a_redb_file_of_somebody_else_is_not_ours() {
    check_not_ours(&refused(|path| drop(Database::create(path).unwrap())));
    check_not_ours(&refused(|path| {
        let database = Database::create(path).unwrap();
        let transaction = database.begin_write().unwrap();
        let theirs = TableDefinition::<u64, u64>::new("theirs");
        transaction
            .open_table(theirs)
            .unwrap()
            .insert(1, 2)
            .unwrap();
        transaction.commit().unwrap();
    }));
}

#[test]
fn a_header_that_lacks_something_is_not_ours() {
    for name in ["format", "locator-key", "watermark-ms", "closed"] {
        check_not_ours(&refused(|path| {
            journal_with(path, |header| drop(header.remove(name).unwrap()));
        }));
    }
    for (name, value) in [
        ("locator-key", [1; 15].as_slice()),
        ("watermark-ms", &[1; 9]),
        ("format", &[]),
    ] {
        check_not_ours(&refused(|path| {
            journal_with(path, |header| drop(header.insert(name, value).unwrap()));
        }));
    }
}

#[test]
fn another_format_is_named() {
    for found in [0, 3, 255] {
        let error = refused(|path| {
            journal_with(path, |header| {
                header.insert("format", [found].as_slice()).unwrap();
            });
        });
        assert!(
            matches!(error, OpenError::Format { found: f, .. } if f == found),
            "{error:?}"
        );
        let expected = format!("has data format {found}, which this version does not know");
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
}

#[test]
fn a_record_that_cannot_be_read_is_damage() {
    for bytes in [b"\x01garbage".as_slice(), b"\x02", &[1; 100]] {
        let error = refused(|path| {
            let backend = redb::backends::FileBackend::new(fs::File::create_new(path).unwrap());
            let key = LocatorKey::from_bytes([1; 16]);
            let mut journal = Journal::create(backend.unwrap(), &key, millis(0)).unwrap();
            let mut batch = Batch::default();
            batch.push(Op {
                number: 1,
                at: at(1),
                bytes,
            });
            journal
                .commit(batch, millis(0), &Table::new(millis(0)))
                .unwrap();
        });
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
        let expected =
            "is damaged; restore it from a copy, or move it away to start without any streams";
        assert!(error.to_string().ends_with(expected), "{error}");
    }
}
