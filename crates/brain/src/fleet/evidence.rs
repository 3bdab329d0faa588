//! What each source said last of a host. Bounded: of too many sources the one that has said nothing for longest goes.

use std::collections::BTreeMap;

use lifeboat_model::{
    Seconds, Time,
    liveness::{Evidence, EvidenceSource, Saying},
};

/// Sources that are kept of one host.
pub const MAX_SOURCES: usize = 24;
/// The longest detail that is kept, in bytes.
const MAX_DETAIL: usize = 200;

/// What each source said last of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvidenceSet {
    said: BTreeMap<EvidenceSource, (Saying, Time, Option<String>)>,
}

impl EvidenceSet {
    /// Takes in what a source says now.
    pub(super) fn put(&mut self, source: EvidenceSource, says: Saying, at: Time, detail: Option<String>) {
        let detail = detail.map(|text| {
            let end = text.floor_char_boundary(MAX_DETAIL);
            text.get(..end).unwrap_or_default().to_owned()
        });
        self.said.insert(source, (says, at, detail));
        if self.said.len() > MAX_SOURCES
            && let Some(oldest) = self.said.iter().min_by_key(|(_, (_, at, _))| *at).map(|(source, _)| source.clone())
        {
            self.said.remove(&oldest);
        }
    }

    /// Forgets what a source said.
    pub(super) fn forget(&mut self, source: &EvidenceSource) {
        self.said.remove(source);
    }

    /// What a source said last.
    pub(super) fn last(&self, source: &EvidenceSource) -> Option<Saying> {
        self.said.get(source).map(|(says, ..)| *says)
    }

    /// Everything, by source.
    pub fn iter(&self) -> impl Iterator<Item = Evidence> + '_ {
        self.said.iter().map(|(source, (says, at, detail))| Evidence {
            source: source.clone(),
            says: *says,
            at_us: *at,
            detail: detail.clone(),
        })
    }

    /// What was said after a time and not longer ago than a span.
    pub(super) fn fresh(
        &self,
        after: Time,
        now: Time,
        within: Seconds,
    ) -> impl Iterator<Item = (&EvidenceSource, Saying)> {
        let fresh = move |at: Time| at > after && now.since(at) <= within;
        self.said.iter().filter(move |(_, (_, at, _))| fresh(*at)).map(|(source, (says, ..))| (source, *says))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_sources_speak_few_are_kept_and_the_newest_are_among_them() {
        let mut set = EvidenceSet::default();
        for n in 0..1000_u64 {
            let source = EvidenceSource::Network { address: format!("10.0.0.{n}:7444") };
            set.put(source, Saying::Lives, Time::from_micros(n), Some("ä".repeat(500)));
        }
        let kept: Vec<Evidence> = set.iter().collect();
        assert_eq!(kept.len(), MAX_SOURCES);
        assert!(kept.iter().all(|it| it.at_us >= Time::from_micros(1000 - MAX_SOURCES as u64)), "{kept:?}");
        assert!(kept.iter().all(|it| it.detail.as_ref().is_some_and(|text| text.len() <= MAX_DETAIL)));
    }
}
