//! How many of a resource's lanes are in use over time, with search for the earliest gap.
//!
//! A timeline is a list of moments, each with the number of lanes in use from then until the next; neighbours with the
//! same number are one. Equal operations that begin together, which is what a recovery mostly consists of, so cost one
//! entry however many they are.

/// Use of a number of equal lanes over time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    /// `(from, in use)`; empty means: never used. The last entry is always `(_, 0)`.
    points: Vec<(u64, u32)>,
}

impl Timeline {
    /// Whether nothing is booked.
    pub(crate) const fn is_idle(&self) -> bool {
        self.points.is_empty()
    }

    /// When the last booking ends.
    pub(crate) fn end(&self) -> u64 {
        self.points.last().map_or(0, |point| point.0)
    }

    /// Forgets all bookings.
    pub(crate) fn clear(&mut self) {
        self.points.clear();
    }

    fn segment_at(&self, time: u64) -> usize {
        self.points.partition_point(|point| point.0 <= time)
    }

    /// The earliest moment from `from` on at which one of `lanes` lanes is free for `span`.
    pub(crate) fn earliest(&self, from: u64, span: u64, lanes: u32) -> u64 {
        let mut begin = from;
        let mut at = self.segment_at(from).saturating_sub(1);
        while let Some(&(since, used)) = self.points.get(at) {
            if since >= begin.saturating_add(span.max(1)) {
                break;
            }
            if used >= lanes
                && let Some(next) = self.points.get(at + 1)
            {
                begin = begin.max(next.0);
            }
            at += 1;
        }
        begin
    }

    /// When `count` operations of length `span` could all have ended, were these lanes theirs alone to fill from `from`
    /// on. It assumes that lanes come free for good, which is so behind the last booking and nearly so before it.
    pub(crate) fn fill_end(&self, from: u64, span: u64, lanes: u32, count: u32) -> u64 {
        if count == 0 || span == 0 {
            return from;
        }
        let mut begin = from;
        let mut left = count;
        let mut at = self.segment_at(from).saturating_sub(1);
        loop {
            let used = self.points.get(at).map_or(0, |point| if point.0 <= begin { point.1 } else { 0 });
            let until = self.points.get(at + 1).map_or(u64::MAX, |point| point.0);
            let free = lanes.saturating_sub(used);
            if free > 0 {
                let rounds = (u64::from(left)).div_ceil(u64::from(free));
                let fit = if until == u64::MAX { rounds } else { ((until - begin) / span).min(rounds) };
                let done = fit * u64::from(free);
                if done >= u64::from(left) {
                    return begin + rounds * span;
                }
                left -= done as u32;
            }
            if until == u64::MAX {
                return begin + span;
            }
            begin = until;
            at += 1;
        }
    }

    /// How many of `lanes` lanes are free from `begin` for all of `span`.
    pub(crate) fn free(&self, begin: u64, span: u64, lanes: u32) -> u32 {
        let from = self.segment_at(begin).saturating_sub(1);
        let until = begin.saturating_add(span.max(1));
        let met = self.points[from.min(self.points.len())..].iter().take_while(|point| point.0 < until);
        lanes.saturating_sub(met.map(|point| point.1).max().unwrap_or(0))
    }

    /// Books lanes from `begin` to `end`.
    pub(crate) fn book(&mut self, begin: u64, end: u64, lanes: u32) {
        if begin >= end || lanes == 0 {
            return;
        }
        if self.points.is_empty() {
            self.points.push((0, 0));
        }
        let first = self.split(begin);
        let last = self.split(end);
        for point in &mut self.points[first..last] {
            point.1 += lanes;
        }
        // Only the two edges can have become equal to their neighbours.
        if self.points[last].1 == self.points[last - 1].1 {
            self.points.remove(last);
        }
        if first > 0 && self.points[first].1 == self.points[first - 1].1 {
            self.points.remove(first);
        }
    }

    /// Makes sure that an entry begins at `time`, and says where it stands.
    fn split(&mut self, time: u64) -> usize {
        let at = self.segment_at(time);
        if at > 0 && self.points[at - 1].0 == time {
            return at - 1;
        }
        let used = if at > 0 { self.points[at - 1].1 } else { 0 };
        self.points.insert(at, (time, used));
        at
    }
}

#[cfg(test)]
mod tests {
    use super::Timeline;
    use proptest::prelude::*;

    #[test]
    fn a_gap_is_found_before_later_bookings() {
        let mut line = Timeline::default();
        line.book(0, 10, 1);
        line.book(30, 40, 1);
        assert_eq!(line.earliest(0, 20, 1), 10);
        assert_eq!(line.earliest(0, 21, 1), 40);
        assert_eq!(line.earliest(0, 21, 2), 0);
        assert_eq!(line.earliest(35, 5, 1), 40);
    }

    #[test]
    fn equal_operations_share_their_entries() {
        let mut line = Timeline::default();
        for round in 0..100 {
            for _ in 0..4 {
                let at = line.earliest(15, 12, 4);
                assert_eq!(at, 15 + 12 * round);
                line.book(at, at + 12, 1);
            }
        }
        assert_eq!(line.points.len(), 3);
        assert_eq!(line.fill_end(15, 12, 4, 5), 15 + 1200 + 24);
    }

    proptest! {
        #[test]
        fn lanes_are_never_overbooked(ops in proptest::collection::vec((0_u64..50, 1_u64..9), 1..40), lanes in 1_u32..4) {
            let mut line = Timeline::default();
            let mut booked = Vec::new();
            for (from, span) in ops {
                let at = line.earliest(from, span, lanes);
                prop_assert!(at >= from);
                line.book(at, at + span, 1);
                booked.push((at, at + span));
                for t in 0..600 {
                    let used = booked.iter().filter(|(a, b)| *a <= t && t < *b).count();
                    prop_assert!(used <= lanes as usize);
                }
            }
        }
    }
}
