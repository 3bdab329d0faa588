//! Names to numbers. Look-ups only: a table is never walked, so its order never shows in a plan.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A small multiplicative hash: the same on every machine, quick on short texts.
#[derive(Clone, Default)]
pub(crate) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0.rotate_left(23) ^ u64::from_le_bytes(word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
    }
}

/// Name to position in a list.
pub(crate) struct Table<'a>(HashMap<&'a str, u32, BuildHasherDefault<Mix>>);

impl<'a> Table<'a> {
    /// Numbers the names from 0. Of a name that comes twice, the first position counts.
    pub(crate) fn new(names: impl ExactSizeIterator<Item = &'a str>) -> Self {
        let mut map = HashMap::with_capacity_and_hasher(names.len(), BuildHasherDefault::default());
        for (at, name) in names.enumerate() {
            map.entry(name).or_insert(at as u32);
        }
        Self(map)
    }

    /// The position of a name.
    pub(crate) fn get(&self, name: &str) -> Option<u32> {
        self.0.get(name).copied()
    }
}

/// A list of short lists, in one piece of memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    ends: Vec<u32>,
    items: Vec<u32>,
}

impl Lists {
    /// Sorts `(list, item)` pairs into `len` lists; items of a list keep their order.
    pub(crate) fn new(len: usize, pairs: &[(u32, u32)]) -> Self {
        let mut ends = vec![0_u32; len + 1];
        for (list, _) in pairs {
            ends[*list as usize + 1] += 1;
        }
        for at in 1..ends.len() {
            ends[at] += ends[at - 1];
        }
        let mut next = ends.clone();
        let mut items = vec![0; pairs.len()];
        for (list, item) in pairs {
            let slot = &mut next[*list as usize];
            items[*slot as usize] = *item;
            *slot += 1;
        }
        Self { ends, items }
    }

    /// The items of a list.
    pub(crate) fn of(&self, list: usize) -> &[u32] {
        &self.items[self.ends[list] as usize..self.ends[list + 1] as usize]
    }
}
