//! Opens a file without changing it. redb repairs and marks a file while it opens it; here all
//! of that stays in memory, so that a file that turns out to be somebody else's, or damaged, is
//! left as it was found.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use parking_lot::RwLock;
use redb::StorageBackend;

/// A file, and in memory what was written to it since: the few pages of a repair.
#[derive(Debug)]
pub(super) struct Trial {
    file: File,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    len: u64,
    /// How much of the file itself shows: what was cut off is gone, also when it grows again.
    file_len: u64,
    /// In the order in which they were written.
    writes: Vec<(u64, Vec<u8>)>,
}

impl Trial {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let state = State {
            len,
            file_len: len,
            writes: Vec::new(),
        };
        Ok(Self {
            file,
            state: RwLock::new(state),
        })
    }
}

impl StorageBackend for Trial {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.read().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state.read();
        let end = offset + out.len() as u64;
        if state.len < end {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let (of_file, beyond) = out.split_at_mut(length(offset, end.min(state.file_len)));
        self.file.read_exact_at(of_file, offset)?;
        beyond.fill(0);
        for (start, bytes) in &state.writes {
            let from = offset.max(*start);
            let to = end.min(start + bytes.len() as u64);
            if from < to {
                out[length(offset, from)..length(offset, to)]
                    .copy_from_slice(&bytes[length(*start, from)..length(*start, to)]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.write();
        state.len = len;
        state.file_len = state.file_len.min(len);
        for (start, bytes) in &mut state.writes {
            bytes.truncate(length(*start, len));
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.write();
        state.len = state.len.max(offset + bytes.len() as u64);
        state.writes.push((offset, bytes.to_vec()));
        Ok(())
    }
}

/// How long it is from one offset to the other; nothing when that is not after the first.
fn length(from: u64, to: u64) -> usize {
    usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX)
}
