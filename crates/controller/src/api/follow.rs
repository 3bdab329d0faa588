//! Events and the trace, one JSON document a line: what was, and for those who stay, what comes.
//!
//! What was and what comes meet without a gap and without doubles: lines are numbered, a follower knows the number that it
//! is at, and one that was too slow for what comes goes back to the store for what it missed. Nothing is left out silently;
//! a follower that cannot be given what it missed is cut off, so that it asks again.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::Query,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use futures::stream;
use lifeboat_brain::fleet::{Brain, KEPT_EVENTS, KEPT_TRACE, records::EventRecord, records::Severity as BrainSeverity};
use lifeboat_client::api::{EventRow, Severity};
use lifeboat_model::{Time, trace::TraceEvent};
use lifeboat_ports::Store;
use serde::{Deserialize, Serialize};
use tokio::{sync::broadcast, time::timeout};

use super::{Failure, Service, State};
use crate::{handle::Unavailable, run::chain};

/// Lines that are read from the store at once. A key ends in 20 digits, so those of a page share the first 17.
const PAGE: u64 = 1000;
/// Lines that go out in one piece, at most.
const PIECE: usize = 256;
/// After so long without a line an empty one is sent, by which both sides learn whether the other is there.
const QUIET: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WhichEvents {
    after: u64,
    follow: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WhichTrace {
    follow: bool,
}

/// Events after a number.
pub(super) async fn events(state: State, Query(which): Query<WhichEvents>) -> Result<Response, Failure> {
    let source = Source::Events(state.service.clone());
    Ok(answer(Follower::start(source, which.after.saturating_add(1), which.follow).await?))
}

/// The trace from its first line that is kept.
pub(super) async fn trace(state: State, Query(which): Query<WhichTrace>) -> Result<Response, Failure> {
    let source = Source::Trace(state.service.clone());
    let mut follower = Follower::start(source, 1, which.follow).await?;
    follower.head().await?;
    Ok(answer(follower))
}

fn answer(follower: Follower) -> Response {
    let pieces =
        stream::unfold(follower, |mut follower| async move { follower.piece().await.map(|piece| (piece, follower)) });
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pieces)).into_response()
}

/// A severity in the API's words.
pub(super) const fn severity(severity: BrainSeverity) -> Severity {
    match severity {
        BrainSeverity::Info => Severity::Info,
        BrainSeverity::Warning => Severity::Warning,
        BrainSeverity::Critical => Severity::Critical,
    }
}

/// An event in the API's words.
fn event_row(event: EventRecord) -> EventRow {
    EventRow {
        sequence: event.sequence,
        time_us: event.time,
        severity: severity(event.severity),
        text: event.text,
        host: event.host,
        vm: event.vm,
        recovery: event.recovery.map(|id| id.0),
    }
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("a row of plain values always has a JSON form");
    line.push(b'\n');
    line
}

/// What is followed.
enum Source {
    Events(Service),
    Trace(Service),
}

/// What comes.
enum Live {
    Events(broadcast::Receiver<EventRecord>),
    Trace(broadcast::Receiver<TraceEvent>),
}

/// Where what was ends and what comes begins.
struct Joint {
    /// Lines that are in memory already, the first of number `until`.
    memory: VecDeque<Vec<u8>>,
    /// The number before which lines are in the store only.
    until: u64,
    live: Live,
}

impl Source {
    const fn service(&self) -> &Service {
        match self {
            Self::Events(service) | Self::Trace(service) => service,
        }
    }

    const fn family(&self) -> &'static str {
        match self {
            Self::Events(_) => "event/",
            Self::Trace(_) => "trace/",
        }
    }

    const fn kept(&self) -> u64 {
        match self {
            Self::Events(_) => KEPT_EVENTS,
            Self::Trace(_) => KEPT_TRACE,
        }
    }

    async fn joint(&self, from: u64) -> Result<Joint, Unavailable> {
        match self {
            Self::Events(service) => {
                let (past, live) = service.handle.events(from - 1);
                let until = past.first().map_or(from, |event| event.sequence);
                let memory = past.into_iter().map(|event| line(&event_row(event))).collect();
                Ok(Joint { memory, until, live: Live::Events(live) })
            }
            Self::Trace(service) => {
                // All that the brain has added when it is asked is stored and told; what is told from then on comes next.
                let handle = service.handle.clone();
                let question = move |brain: &Brain| (brain.next_trace(), handle.trace());
                let (until, live) = service.handle.ask(question).await?;
                Ok(Joint { memory: VecDeque::new(), until, live: Live::Trace(live) })
            }
        }
    }

    /// A stored line as it is told.
    fn told(&self, stored: Vec<u8>) -> Option<Vec<u8>> {
        match self {
            Self::Events(_) => serde_json::from_slice(&stored).ok().map(|event| line(&event_row(event))),
            Self::Trace(_) => {
                let mut line = stored;
                line.push(b'\n');
                Some(line)
            }
        }
    }
}

/// The stored lines of a family whose number begins with the same digits as this one, from it on.
async fn page(store: &Arc<dyn Store>, family: &str, from: u64) -> Result<Vec<(u64, Vec<u8>)>, String> {
    let prefix = format!("{family}{:017}", from / PAGE);
    let found = store.list(&prefix).await.map_err(|error| chain(&error))?;
    let number = |key: &str| key.strip_prefix(family)?.parse::<u64>().ok();
    Ok(found.into_iter().filter_map(|(key, value)| Some((number(&key)?, value))).filter(|(n, _)| *n >= from).collect())
}

struct Follower {
    source: Source,
    /// The number of the next line that is to be read from the store, or that comes.
    next: u64,
    /// The number before which lines are in the store only.
    until: u64,
    /// Lines that go out next.
    ready: VecDeque<Vec<u8>>,
    /// Lines that go out when the store has none left before `until`.
    memory: VecDeque<Vec<u8>>,
    /// What comes; none when it must be begun anew.
    live: Option<Live>,
    follow: bool,
    broken: bool,
}

impl Follower {
    async fn start(source: Source, from: u64, follow: bool) -> Result<Self, Failure> {
        let (ready, memory) = (VecDeque::new(), VecDeque::new());
        let mut this = Self { source, next: from, until: from, ready, memory, live: None, follow, broken: false };
        this.begin().await?;
        Ok(this)
    }

    /// Begins, also anew, at the next line.
    async fn begin(&mut self) -> Result<(), Unavailable> {
        let joint = self.source.joint(self.next).await?;
        // Older ones than are kept need not be looked for.
        self.next = self.next.max(joint.until.saturating_sub(self.source.kept())).max(1);
        (self.until, self.memory, self.live) = (joint.until, joint.memory, Some(joint.live));
        Ok(())
    }

    /// Puts the first line of a trace before the others.
    async fn head(&mut self) -> Result<(), Failure> {
        while self.ready.is_empty() && self.next < self.until {
            self.read().await.map_err(|why| Failure::new(lifeboat_client::api::ErrorCode::Unavailable, why))?;
        }
        let first = self.ready.front().and_then(|line| serde_json::from_slice::<TraceEvent>(line).ok());
        let now = self.source.service().clock.now();
        let at = first.map_or(now, |event| Time::from_micros((event.t * 1e6).round() as u64));
        self.ready.push_front(line(&Brain::trace_head(at)));
        Ok(())
    }

    /// Reads the next page of the store.
    async fn read(&mut self) -> Result<(), String> {
        let found = page(&self.source.service().store, self.source.family(), self.next).await?;
        let end = (self.next / PAGE + 1).saturating_mul(PAGE).min(self.until);
        let before = found.into_iter().filter(|(number, _)| *number < end);
        self.ready.extend(before.filter_map(|(_, stored)| self.source.told(stored)));
        self.next = end;
        Ok(())
    }

    /// The next piece of the body; none at its end.
    async fn piece(&mut self) -> Option<io::Result<Bytes>> {
        if self.broken {
            return None;
        }
        match self.lines().await {
            Ok(bytes) => bytes.map(Ok),
            Err(why) => {
                self.broken = true;
                Some(Err(io::Error::other(why)))
            }
        }
    }

    async fn lines(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            if !self.ready.is_empty() {
                let count = self.ready.len().min(PIECE);
                return Ok(Some(self.ready.drain(..count).flatten().collect::<Vec<u8>>().into()));
            }
            if self.next < self.until {
                self.read().await?;
                continue;
            }
            if !self.memory.is_empty() {
                self.next += u64::try_from(self.memory.len()).unwrap_or(u64::MAX);
                self.ready = std::mem::take(&mut self.memory);
                continue;
            }
            if !self.follow {
                return Ok(None);
            }
            match timeout(QUIET, self.wait()).await {
                Err(_) => return Ok(Some(Bytes::from_static(b"\n"))),
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return Ok(None),
                Ok(Err(why)) => return Err(why.to_string()),
            }
        }
    }

    /// Waits for what comes; false when nothing will.
    async fn wait(&mut self) -> Result<bool, Unavailable> {
        use broadcast::error::RecvError;
        let came = match &mut self.live {
            None => {
                self.begin().await?;
                return Ok(true);
            }
            Some(Live::Events(live)) => live.recv().await.map(|event| (event.sequence, line(&event_row(event)))),
            Some(Live::Trace(live)) => live.recv().await.map(|event| (self.next, line(&event))),
        };
        match came {
            Ok((number, line)) if number >= self.next => {
                self.next = number + 1;
                self.until = self.next;
                self.ready.push_back(line);
            }
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => self.live = None,
            Err(RecvError::Closed) => return Ok(false),
        }
        Ok(true)
    }
}
