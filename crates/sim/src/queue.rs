//! What is going to happen, by time; what is due at the same time, in the order in which it was put in.
//!
//! Nearly all of it happens within seconds, a heartbeat for example. So time is cut into slots of a quarter of a
//! millisecond, a ring of which reaches four seconds ahead; a slot is put in order when its time has come. What is further
//! away waits in a heap until the ring reaches it, and what is put into the slot that time has reached in another. Putting
//! in and taking out cost about the same for ten hosts and for ten thousand.

use std::{cmp::Reverse, collections::BinaryHeap};

use lifeboat_model::Time;

/// A slot is 2^8 microseconds.
const SLOT_BITS: u32 = 8;
/// Slots in the ring.
const SLOTS: u64 = 16_384;
const WORDS: usize = 256;
/// Lists without an entry that are kept for their room.
const SPARE: usize = 64;

#[derive(Debug)]
struct Entry<T> {
    at: u64,
    number: u64,
    what: T,
}

impl<T> Entry<T> {
    const fn key(&self) -> (u64, u64) {
        (self.at, self.number)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// A queue of what is going to happen.
#[derive(Debug)]
pub struct Queue<T> {
    /// What happens in the slot that time has reached, the next last.
    now: Vec<Entry<T>>,
    /// What was put into that slot, or before it, since time has reached it.
    fresh: BinaryHeap<Reverse<Entry<T>>>,
    /// The number of that slot, counted from the beginning of time.
    slot: u64,
    /// The slots after it, by the remainder of their number, each in no order.
    ring: Vec<Vec<Entry<T>>>,
    /// Lists that have room and no entry. A slot has one only while it has something: thousands of hosts that beat at once
    /// need much room in one slot, and in another at each turn of the ring.
    spare: Vec<Vec<Entry<T>>>,
    /// Which slots of the ring have something.
    taken: [u64; WORDS],
    /// What is further away.
    later: BinaryHeap<Reverse<Entry<T>>>,
    next: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let ring = (0..SLOTS).map(|_| Vec::new()).collect();
        Self {
            now: Vec::new(),
            fresh: BinaryHeap::new(),
            spare: Vec::new(),
            slot: 0,
            ring,
            taken: [0; WORDS],
            later: BinaryHeap::new(),
            next: 0,
        }
    }
}

/// Where a slot is in the ring.
fn place(slot: u64) -> usize {
    usize::try_from(slot % SLOTS).unwrap_or(0)
}

impl<T> Queue<T> {
    /// Puts something in.
    pub fn push(&mut self, at: Time, what: T) {
        self.next += 1;
        self.put(Entry { at: at.micros(), number: self.next, what });
    }

    fn put(&mut self, entry: Entry<T>) {
        let slot = entry.at >> SLOT_BITS;
        if slot <= self.slot {
            self.fresh.push(Reverse(entry));
        } else if slot - self.slot < SLOTS {
            let place = place(slot);
            if self.ring[place].capacity() == 0
                && let Some(room) = self.spare.pop()
            {
                self.ring[place] = room;
            }
            self.ring[place].push(entry);
            self.taken[place / 64] |= 1 << (place % 64);
        } else {
            self.later.push(Reverse(entry));
        }
    }

    /// When the next thing happens.
    pub fn next_at(&mut self) -> Option<Time> {
        self.reach();
        let fresh = self.fresh.peek().map(|Reverse(entry)| entry.at);
        let next = self.now.last().map(|entry| entry.at).into_iter().chain(fresh).min();
        next.map(Time::from_micros)
    }

    /// Takes the next thing out.
    pub fn pop(&mut self) -> Option<(Time, T)> {
        self.reach();
        let fresh = self.fresh.peek().map(|Reverse(entry)| entry.key());
        let entry = match (self.now.last().map(Entry::key), fresh) {
            (Some(now), Some(fresh)) if fresh < now => self.fresh.pop().map(|Reverse(entry)| entry),
            (None, Some(_)) => self.fresh.pop().map(|Reverse(entry)| entry),
            _ => self.now.pop(),
        };
        entry.map(|entry| (Time::from_micros(entry.at), entry.what))
    }

    /// Goes on to the next slot that has something, if there is nothing left of this one.
    fn reach(&mut self) {
        if self.now.is_empty() && self.fresh.is_empty() {
            self.turn();
        }
    }

    /// Goes on to the next slot that has something.
    fn turn(&mut self) {
        let ring = self.next_taken();
        let later = self.later.peek().map(|Reverse(entry)| entry.at >> SLOT_BITS);
        let Some(slot) = [ring, later].into_iter().flatten().min() else { return };
        self.slot = slot;
        let at = place(slot);
        let room = std::mem::replace(&mut self.now, std::mem::take(&mut self.ring[at]));
        if room.capacity() > 0 && self.spare.len() < SPARE {
            self.spare.push(room);
        }
        self.taken[at / 64] &= !(1 << (at % 64));
        self.now.sort_unstable_by_key(|entry| Reverse(entry.key()));
        while self.later.peek().is_some_and(|Reverse(entry)| (entry.at >> SLOT_BITS) - slot < SLOTS) {
            if let Some(Reverse(entry)) = self.later.pop() {
                self.put(entry);
            }
        }
    }

    /// The number of the next slot of the ring that has something.
    fn next_taken(&self) -> Option<u64> {
        let first = place(self.slot + 1);
        // The first word is looked at twice: what lies behind the beginning at last.
        for turn in 0..=WORDS {
            let word = (first / 64 + turn) % WORDS;
            let mut bits = self.taken[word];
            if turn == 0 {
                bits &= u64::MAX << (first % 64);
            } else if turn == WORDS {
                bits &= !(u64::MAX << (first % 64));
            }
            if bits != 0 {
                let place = (word * 64) as u64 + u64::from(bits.trailing_zeros());
                return Some(self.slot + 1 + (place + SLOTS - first as u64) % SLOTS);
            }
        }
        None
    }

    /// How many things have been put in since the beginning.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn things_come_out_by_time_and_then_as_they_were_put_in() {
        for seed in 0..200 {
            let mut random = Random::of(seed, "queue");
            let mut queue = Queue::default();
            let mut expected: Vec<(u64, u64)> = Vec::new();
            let (mut now, mut number) = (1_000_000_000_000, 0);
            for _ in 0..400 {
                if random.below(5) < 3 {
                    let reach = [1, 2000, 100_000, 5_000_000, 400_000_000][usize::try_from(random.below(5)).unwrap()];
                    let at = now + random.below(reach);
                    queue.push(Time::from_micros(at), number);
                    expected.push((at, number));
                    number += 1;
                } else {
                    expected.sort_unstable();
                    let first = (!expected.is_empty()).then(|| expected.remove(0));
                    assert_eq!(queue.next_at().map(Time::micros), first.map(|first| first.0), "seed {seed}");
                    assert_eq!(queue.pop().map(|(at, what)| (at.micros(), what)), first, "seed {seed}");
                    now = first.map_or(now, |first| first.0);
                }
            }
        }
    }
}
