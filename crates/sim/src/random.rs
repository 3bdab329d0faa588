//! Random numbers from a seed: the same on every machine, one generator an object.
//!
//! Every object draws from a generator of its own, seeded by the world's seed and the object's name, so that a new object
//! or one more draw somewhere does not shift the numbers of all others.

use lifeboat_model::Seconds;

/// A generator (SplitMix64: one addition and three multiplications a number, good enough for faults and delays).
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

/// A number that depends on a text only (FNV-1a).
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Random {
    /// The generator of an object.
    #[must_use]
    pub fn of(seed: u64, object: &str) -> Self {
        let mut this = Self { state: seed ^ hash(object) };
        // The seeds of similar names differ in few bits; a few turns spread them.
        this.state = this.number() ^ seed.rotate_left(32);
        this.number();
        this
    }

    /// The next 64 bits.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below a bound; 0 when the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        u64::try_from((u128::from(self.number()) * u128::from(bound)) >> 64).unwrap_or(0)
    }

    /// True so many times in a million.
    pub fn chance(&mut self, per_million: u32) -> bool {
        per_million > 0 && self.below(1_000_000) < u64::from(per_million)
    }

    /// A span from the first to the second, both included.
    pub fn between(&mut self, least: Seconds, most: Seconds) -> Seconds {
        let width = most.micros().saturating_sub(least.micros());
        Seconds::from_micros(least.micros() + self.below(width + 1))
    }

    /// One of these; none when there is none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let at = self.below(u64::try_from(from.len()).unwrap_or(u64::MAX));
        from.get(usize::try_from(at).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_name_give_the_same_numbers_and_others_do_not() {
        let numbers = |seed, name| {
            let mut random = Random::of(seed, name);
            (0..4).map(|_| random.number()).collect::<Vec<_>>()
        };
        assert_eq!(numbers(7, "h1"), numbers(7, "h1"));
        assert_ne!(numbers(7, "h1"), numbers(7, "h2"));
        assert_ne!(numbers(7, "h1"), numbers(8, "h1"));
        assert_eq!(
            Random::of(1, "fixed").number(),
            13_078_374_460_798_569_799,
            "the numbers are part of what a seed means"
        );
    }

    #[test]
    fn bounds_hold_and_are_reached() {
        let mut random = Random::of(1, "bounds");
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[usize::try_from(random.below(5)).unwrap()] = true;
            let span = random.between(Seconds::new(2), Seconds::new(3));
            assert!((Seconds::new(2)..=Seconds::new(3)).contains(&span));
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(random.below(0), 0);
    }
}
