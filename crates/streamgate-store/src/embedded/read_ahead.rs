//! Reads a file on several threads into the system's page cache, ahead of whoever goes through
//! it page by page: a disk answers many readers several times as fast as one.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many threads read: they wait for the disk, mostly.
const READERS: usize = 4;
/// How many bytes each asks for at once.
const PIECE_BYTES: usize = 1 << 20;

/// Reads `file`, which has so many bytes, while `act` runs, and no longer. What can't be read is
/// left to `act` to find.
pub(super) fn during<T>(file: &File, bytes: u64, act: impl FnOnce() -> T) -> T {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut piece = vec![0; PIECE_BYTES];
                loop {
                    let offset = next.fetch_add(PIECE_BYTES as u64, Ordering::Relaxed);
                    if bytes <= offset || file.read_at(&mut piece, offset).is_err() {
                        return;
                    }
                }
            });
        }
        let done = act();
        next.store(bytes, Ordering::Relaxed);
        done
    })
}
