//! Heartbeats on their way to the engine, gathered: each is worth next to nothing by itself, and 10,000 a second that each
//! wake the engine, which then wakes a writer each, cost more processor time in the kernel than all else together.

use std::{collections::BTreeMap, time::Duration};

use lifeboat_brain::{
    fleet::{Input, LinkId},
    message::FromAgent,
};
use lifeboat_model::HostName;
use tokio::{sync::mpsc, time::sleep};

use crate::{gather::Gather, handle::Message};

/// The longest that a heartbeat waits for others: a fiftieth of the time between two of a host.
const GATHER: Duration = Duration::from_millis(20);

/// Heartbeats that wait for the engine: the newest of each link, so that there are never more than links, however long the
/// engine stands still.
#[derive(Default)]
pub(crate) struct Heartbeats(Gather<BTreeMap<LinkId, (HostName, FromAgent)>>);

impl Heartbeats {
    /// Adds a heartbeat. It may be handled after what the same link says next: a link that was closed meanwhile is no longer
    /// known then, and nothing comes of it.
    pub(crate) fn add(&self, host: HostName, link: LinkId, heartbeat: FromAgent) {
        self.0.add(|waiting| drop(waiting.insert(link, (host, heartbeat))));
    }

    /// Passes on what has gathered, until nobody takes it.
    pub(crate) async fn pass_on(&self, inbox: &mpsc::Sender<Message>) {
        loop {
            self.0.some().await;
            sleep(GATHER).await;
            // A place first: while the engine stands still, newer heartbeats take the place of older ones.
            let Ok(place) = inbox.reserve().await else { return };
            let said = |(link, (host, message))| Input::AgentSaid { host, link, message };
            place.send(Message::Inputs(self.0.take().into_iter().map(said).collect()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(sequence: u64) -> FromAgent {
        FromAgent::Heartbeat { sequence, pledge: Default::default() }
    }

    fn host(number: u64) -> HostName {
        format!("h{number}").parse().expect("a name")
    }

    async fn passed_on(inbox: &mut mpsc::Receiver<Message>) -> Vec<(u64, FromAgent)> {
        let Some(Message::Inputs(inputs)) = inbox.recv().await else { panic!("heartbeats come") };
        let said = |input| match input {
            Input::AgentSaid { link, message, .. } => (link.0, message),
            other => panic!("not said by an agent: {other:?}"),
        };
        inputs.into_iter().map(said).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn heartbeats_of_many_links_are_passed_on_together_and_later_ones_by_themselves() {
        let (sender, mut inbox) = mpsc::channel(1);
        let heartbeats = Heartbeats::default();
        let follow = async {
            for link in 1..=3 {
                heartbeats.add(host(link), LinkId(link), beat(link));
            }
            assert_eq!(passed_on(&mut inbox).await, [(1, beat(1)), (2, beat(2)), (3, beat(3))]);
            heartbeats.add(host(2), LinkId(2), beat(4));
            assert_eq!(passed_on(&mut inbox).await, [(2, beat(4))]);
        };
        tokio::select! {
            () = heartbeats.pass_on(&sender) => panic!("it goes on"),
            () = follow => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_stands_still_finds_only_the_newest_heartbeat_of_each_link() {
        let (sender, mut inbox) = mpsc::channel(1);
        sender.send(Message::Inputs(Vec::new())).await.expect("a place");
        let heartbeats = Heartbeats::default();
        let follow = async {
            for sequence in 1..=5 {
                heartbeats.add(host(1), LinkId(1), beat(sequence));
                sleep(Duration::from_secs(1)).await;
            }
            assert_eq!(passed_on(&mut inbox).await, []);
            assert_eq!(passed_on(&mut inbox).await, [(1, beat(5))]);
        };
        tokio::select! {
            () = heartbeats.pass_on(&sender) => panic!("it goes on"),
            () = follow => {}
        }
    }

    #[tokio::test]
    async fn passing_on_ends_with_the_engine() {
        let (sender, inbox) = mpsc::channel(1);
        drop(inbox);
        let heartbeats = Heartbeats::default();
        heartbeats.add(host(1), LinkId(1), beat(1));
        heartbeats.pass_on(&sender).await;
    }
}
