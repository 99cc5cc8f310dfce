//! Tells whether a file changed since it was read.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What a file looked like when it was read; nothing where there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp(Option<[i128; 6]>);

impl Stamp {
    /// What the file looks like now.
    pub(crate) fn of(path: &Path) -> Self {
        let metadata = fs::metadata(path).ok();
        Self(metadata.map(|it| {
            let times = [it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec()];
            let [modified, modified_ns, changed, changed_ns] = times.map(i128::from);
            // Also when only its owner changed: it may be readable now.
            [
                it.ino().into(),
                it.len().into(),
                modified,
                modified_ns,
                changed,
                changed_ns,
            ]
        }))
    }
}
