//! A disk that loses power: what was synced stays, what was not is kept or lost in any mixture,
//! a sector of 512 bytes at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

use crate::conformance::Random;

const SECTOR: usize = 512;

/// What a sync does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sync {
    /// It brings everything to the platter.
    Honest,
    /// It says so and does nothing.
    Lies,
}

/// A disk with one file on it. Clones are the same disk.
#[derive(Clone)]
pub(super) struct SimDisk(Arc<Mutex<State>>);

struct State {
    /// What a process sees.
    shown: Vec<u8>,
    /// What is certain to be there after a power failure.
    durable: Vec<u8>,
    /// What may have become of each sector that was written since the last sync, in order.
    versions: BTreeMap<usize, Vec<[u8; SECTOR]>>,
    /// The lengths that the file has had since the last sync.
    lengths: Vec<usize>,
    sync: Sync,
    panics: bool,
    /// How many changes the disk still takes before the power fails.
    changes_left: u64,
}

impl SimDisk {
    /// A disk with this on it whose power fails at the change after so many.
    pub(super) fn new(image: Vec<u8>, sync: Sync, changes_left: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            shown: image.clone(),
            durable: image,
            versions: BTreeMap::new(),
            lengths: Vec::new(),
            sync,
            panics: false,
            changes_left,
        })))
    }

    /// Whether the power has failed.
    pub(super) fn is_dead(&self) -> bool {
        self.0.lock().changes_left == 0
    }

    /// Another disk with the same on it, which never fails.
    pub(super) fn copy(&self) -> Self {
        Self::new(self.0.lock().shown.clone(), Sync::Honest, u64::MAX)
    }

    /// The power fails now.
    pub(super) fn cut(&self) {
        self.0.lock().changes_left = 0;
    }

    /// As if the storage crate had a bug: a sync panics.
    pub(super) fn panic_from_now_on(&self) {
        self.0.lock().panics = true;
    }

    /// What is on it once the power is back.
    pub(super) fn after_power_failure(&self, random: &mut Random) -> Vec<u8> {
        self.cut();
        let mut state = self.0.lock();
        let mut image = std::mem::take(&mut state.durable);
        let lengths = state.lengths.len() as u64;
        let picked = random.below(lengths + 1);
        if picked < lengths {
            let length = state.lengths[index(picked)];
            image.resize(length, 0);
        }
        // The moods: anything goes, almost everything is kept, almost nothing, everything.
        let kept_of_16 = [8, 15, 1, 16][index(random.below(4))];
        for (sector, versions) in &state.versions {
            let start = sector * SECTOR;
            if start < image.len() && random.below(16) < kept_of_16 {
                let last = versions.len() - 1;
                let picked = if random.once_in(4) {
                    index(random.below(versions.len() as u64))
                } else {
                    last
                };
                let version = &versions[picked];
                let end = image.len().min(start + SECTOR);
                image[start..end].copy_from_slice(&version[..end - start]);
            }
        }
        image
    }
}

fn index(n: u64) -> usize {
    usize::try_from(n).expect("an index")
}

impl State {
    /// Counts a change. The one at which the power fails is under way: it may be kept or lost,
    /// and nothing after it is taken.
    fn change(&mut self) -> std::io::Result<bool> {
        if self.changes_left == 0 {
            return Err(std::io::Error::other("no power"));
        }
        self.changes_left -= 1;
        Ok(self.changes_left == 0)
    }

    fn remember(&mut self, sectors: std::ops::Range<usize>) {
        for sector in sectors {
            let start = sector * SECTOR;
            let mut now = [0; SECTOR];
            let end = self.shown.len().min(start + SECTOR);
            if start < end {
                now[..end - start].copy_from_slice(&self.shown[start..end]);
            }
            self.versions.entry(sector).or_default().push(now);
        }
    }
}

/// The answer to the change at which the power fails.
fn unless_dead(is_dead: bool) -> std::io::Result<()> {
    if is_dead {
        Err(std::io::Error::other("the power fails"))
    } else {
        Ok(())
    }
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimDisk")
    }
}

impl StorageBackend for SimDisk {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.0.lock().shown.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        let state = self.0.lock();
        let start = index(offset);
        let there = state.shown.get(start..start + out.len());
        let there = there.ok_or_else(|| std::io::Error::other("read beyond the end"))?;
        out.copy_from_slice(there);
        Ok(())
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        let mut state = self.0.lock();
        let is_dead = state.change()?;
        let (before, after) = (state.shown.len(), index(len));
        state.shown.resize(after, 0);
        state.lengths.push(after);
        // What is cut off is gone, also when the file grows again over it.
        state.remember(after.min(before).div_ceil(SECTOR)..before.div_ceil(SECTOR));
        unless_dead(is_dead)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        let mut state = self.0.lock();
        assert!(!state.panics, "a bug");
        let is_dead = state.change()?;
        // A sync during which the power fails has promised nothing yet.
        if !is_dead && state.sync == Sync::Honest {
            let State {
                shown,
                durable,
                versions,
                ..
            } = &mut *state;
            durable.resize(shown.len(), 0);
            for sector in versions.keys() {
                let start = (sector * SECTOR).min(shown.len());
                let end = shown.len().min(start + SECTOR);
                durable[start..end].copy_from_slice(&shown[start..end]);
            }
            state.versions.clear();
            state.lengths.clear();
        }
        unless_dead(is_dead)
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        let mut state = self.0.lock();
        let is_dead = state.change()?;
        let start = index(offset);
        let end = start + data.len();
        if state.shown.len() < end {
            state.shown.resize(end, 0);
            state.lengths.push(end);
        }
        state.shown[start..end].copy_from_slice(data);
        state.remember(start / SECTOR..end.div_ceil(SECTOR));
        unless_dead(is_dead)
    }
}
