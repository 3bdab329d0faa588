//! Events and the trace: nothing twice, nothing left out.

use axum::body::Body;
use futures::StreamExt as _;
use lifeboat_brain::fleet::records::{EventRecord, Severity};
use lifeboat_client::api::EventRow;
use lifeboat_model::trace::{TraceEvent, What};
use lifeboat_ports::{Transaction, Write};
use serde::de::DeserializeOwned;

use super::routes::Controller;

/// The lines of a body as they come.
struct Lines {
    body: axum::body::BodyDataStream,
    rest: Vec<u8>,
}

impl Lines {
    async fn of(controller: &Controller, path: &str) -> Self {
        let answer = controller.send("GET", path, Body::empty()).await;
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        Self { body: answer.into_body().into_data_stream(), rest: Vec::new() }
    }

    async fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                if line.len() > 1 {
                    return Some(serde_json::from_slice(&line).expect("a line"));
                }
                continue;
            }
            self.rest.extend(self.body.next().await?.expect("the body goes on"));
        }
    }

    async fn all<T: DeserializeOwned>(mut self) -> Vec<T> {
        let mut all = Vec::new();
        while let Some(line) = self.next().await {
            all.push(line);
        }
        all
    }
}

async fn delete(controller: &Controller, vm: &str) {
    controller.ask::<serde_json::Value>("DELETE", &format!("/v1/vms/{vm}"), ()).await.expect("it is deleted");
}

#[tokio::test]
async fn a_follower_gets_what_was_and_then_what_comes() {
    let controller = Controller::with_fleet().await;
    let past: Vec<EventRow> = Lines::of(&controller, "/v1/events").await.all().await;
    let last = past.last().expect("the apply was told").sequence;
    let mut lines = Lines::of(&controller, "/v1/events?after=0&follow=true").await;
    for event in &past {
        assert_eq!(lines.next::<EventRow>().await.as_ref(), Some(event));
    }
    delete(&controller, "v1").await;
    let new: EventRow = lines.next().await.expect("it comes");
    assert!(new.sequence == last + 1 && new.text.contains("v1"), "{new:?}");
    let after: Vec<EventRow> = Lines::of(&controller, &format!("/v1/events?after={last}")).await.all().await;
    assert_eq!(after, [new]);
}

fn event(controller: &Controller, sequence: u64) -> EventRecord {
    EventRecord {
        sequence,
        time: controller.service.clock.now(),
        severity: Severity::Info,
        text: format!("event {sequence}"),
        host: None,
        vm: None,
        recovery: None,
        trouble: None,
        over: false,
    }
}

/// Stores events as the engine does.
async fn store(controller: &Controller, numbers: std::ops::RangeInclusive<u64>) {
    let write = |sequence| Write {
        key: format!("event/{sequence:020}"),
        value: Some(serde_json::to_vec(&event(controller, sequence)).expect("JSON")),
    };
    let transaction = Transaction { conditions: Vec::new(), writes: numbers.map(write).collect() };
    controller.service.store.commit(&transaction).await.expect("they are kept");
}

#[tokio::test]
async fn events_that_are_no_longer_in_memory_come_from_the_store() {
    let controller = Controller::start().await;
    // What an earlier controller stored and this one has not read: three pages' worth.
    store(&controller, 1..=2500).await;
    controller.log.tell(event(&controller, 2501));
    let all: Vec<EventRow> = Lines::of(&controller, "/v1/events?after=10").await.all().await;
    let numbers: Vec<u64> = all.iter().map(|event| event.sequence).collect();
    assert_eq!(numbers, (11..=2501).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_follower_that_was_too_slow_misses_nothing() {
    let controller = Controller::start().await;
    let mut lines = Lines::of(&controller, "/v1/events?follow=true").await;
    // More than a follower may be behind, and more than is kept in memory.
    let last = 10_000;
    store(&controller, 1..=last).await;
    for number in 1..=last {
        controller.log.tell(event(&controller, number));
    }
    for number in 1..=last {
        assert_eq!(lines.next::<EventRow>().await.map(|event| event.sequence), Some(number));
    }
}

#[tokio::test]
async fn a_trace_begins_with_who_writes_it_and_goes_on() {
    let controller = Controller::with_fleet().await;
    let past: Vec<TraceEvent> = Lines::of(&controller, "/v1/trace").await.all().await;
    assert!(matches!(past[0].what, What::TraceStarted { .. }), "{past:?}");
    assert_eq!(past[1].what, What::ControllerLeader);
    assert_eq!(past[0].t, past[1].t);
    let mut lines = Lines::of(&controller, "/v1/trace?follow=true").await;
    for event in &past {
        assert_eq!(lines.next::<TraceEvent>().await.as_ref(), Some(event));
    }
    let refused = controller.send("GET", "/v1/trace?folow=true", Body::empty()).await;
    assert_eq!(refused.status(), axum::http::StatusCode::BAD_REQUEST);
}
