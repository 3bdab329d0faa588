//! A log that says what is new at once and what goes on at a bounded rate.

use std::time::{Duration, Instant};

/// How often the same trouble is told.
const AGAIN: Duration = Duration::from_secs(60);

/// Troubles of one kind: controllers that are not to be reached, files that cannot be written.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    told: Vec<(String, Instant, u64)>,
}

/// So many different texts are told apart.
const MAX_TEXTS: usize = 8;

impl Trouble {
    /// Takes in a trouble. Gives how often it came since it was last told, when it should be told now.
    pub(crate) fn met(&mut self, text: &str, now: Instant) -> Option<u64> {
        if let Some((_, at, times)) = self.told.iter_mut().find(|(told, ..)| told == text) {
            *times += 1;
            if now.duration_since(*at) < AGAIN {
                return None;
            }
            *at = now;
            return Some(std::mem::take(times));
        }
        if self.told.len() == MAX_TEXTS {
            self.told.remove(0);
        }
        self.told.push((text.to_owned(), now, 0));
        Some(1)
    }

    /// Whether there was trouble since it was last over.
    pub(crate) fn is_on(&self) -> bool {
        !self.told.is_empty()
    }

    /// The trouble is over: the next is new.
    pub(crate) fn over(&mut self) {
        self.told.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_told_once_a_minute_and_a_new_one_at_once() {
        let mut trouble = Trouble::default();
        let start = Instant::now();
        assert_eq!(trouble.met("a", start), Some(1));
        for second in 1..60 {
            assert_eq!(trouble.met("a", start + Duration::from_secs(second)), None);
        }
        assert_eq!(trouble.met("b", start), Some(1));
        assert_eq!(trouble.met("a", start + AGAIN), Some(60));
        trouble.over();
        assert_eq!(trouble.met("a", start + AGAIN), Some(1));
    }
}
