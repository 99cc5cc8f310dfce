//! The slots of a shard, dense and numbered. They stand in chunks of one size, so that growth
//! neither copies them nor leaves memory behind that fits nobody.

use streamgate_core::Locator;

use super::Slot;

/// How many slots a chunk has: a power of two.
const CHUNK: usize = 64;

#[derive(Default)]
pub(super) struct Slots {
    /// All full but the last, which has at least one.
    chunks: Vec<Vec<Slot>>,
}

impl Slots {
    pub(super) fn len(&self) -> u32 {
        let full = self.chunks.len().saturating_sub(1) * CHUNK;
        let len = full + self.chunks.last().map_or(0, Vec::len);
        u32::try_from(len).expect("a shard has less than 2^32 records")
    }

    pub(super) fn get(&self, place: u32) -> &Slot {
        &self.chunks[place as usize / CHUNK][place as usize % CHUNK]
    }

    pub(super) fn get_mut(&mut self, place: u32) -> &mut Slot {
        &mut self.chunks[place as usize / CHUNK][place as usize % CHUNK]
    }

    pub(super) fn at(&self, place: u32) -> Locator {
        self.get(place).at
    }

    /// Adds a slot at the end and returns its place.
    pub(super) fn push(&mut self, slot: Slot) -> u32 {
        let place = self.len();
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(slot),
            Some(_) | None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(slot);
                self.chunks.push(chunk);
            }
        }
        place
    }

    /// Takes a slot away; the last one gets its place.
    pub(super) fn swap_remove(&mut self, place: u32) -> Slot {
        let chunk = self.chunks.last_mut().expect("there is such a place");
        let last = chunk.pop().expect("the last chunk has a slot");
        if chunk.is_empty() {
            self.chunks.pop();
        }
        if place == self.len() {
            return last;
        }
        std::mem::replace(self.get_mut(place), last)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.chunks.iter().flatten()
    }
}
