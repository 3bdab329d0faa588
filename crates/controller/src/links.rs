//! Links of agents: takes connections, reads what agents say, writes what they are told.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lifeboat_brain::{
    fleet::{Input, LinkId},
    message::{FromAgent, Hello, ToAgent},
};
use lifeboat_model::HostName;
use lifeboat_transport::{
    Identity,
    frame::{FrameReader, FrameWriter},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};

use crate::{gather::Gather, handle::Handle};

/// Messages that wait for one agent at most. One that does not take them that long has stopped listening, and its link is
/// closed.
const WAITING: usize = 1024;
/// A write to an agent that takes longer than this means that it has stopped listening.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// Links that each say something a second: one each millisecond.
const MANY: usize = 1000;

/// Networks of a host, beside that of its link, over which its agent is looked at.
const MAX_NETWORKS: usize = 4;

/// What happens to a link.
#[derive(Debug)]
enum Word {
    Say(HostName, ToAgent),
    Close,
}

/// The links that are open.
#[derive(Clone, Default)]
pub(crate) struct Links {
    // Boxed, since a queue takes memory for 32 messages at once, and there is a queue for each of 10,000 links.
    open: Arc<Mutex<BTreeMap<LinkId, mpsc::Sender<Box<ToAgent>>>>>,
    next: Arc<AtomicU64>,
    /// What is not yet in the queue of its link. The thread of the links is woken once for all of it, and wakes writers
    /// itself: a writer that another thread wakes costs a system call.
    words: Arc<Gather<Vec<(LinkId, Word)>>>,
}

impl Links {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<LinkId, mpsc::Sender<Box<ToAgent>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something on a link. A link that is gone takes its messages with it: the brain says again what matters.
    pub(crate) fn say(&self, host: &HostName, link: LinkId, message: ToAgent) {
        self.words.add(|words| words.push((link, Word::Say(host.clone(), message))));
    }

    /// Closes a link once what was said on it before is written.
    pub(crate) fn close(&self, link: LinkId) {
        self.words.add(|words| words.push((link, Word::Close)));
    }

    /// Whether there are so many that some have something to say in every millisecond.
    pub(crate) fn are_many(&self) -> bool {
        self.lock().len() >= MANY
    }

    /// Passes words on to their links, for ever.
    pub(crate) async fn pass_on(self) {
        loop {
            self.words.some().await;
            let mut open = self.lock();
            for (link, word) in self.words.take() {
                match word {
                    Word::Say(host, message) => {
                        let Some(sender) = open.get(&link) else { continue };
                        if sender.try_send(Box::new(message)).is_err() {
                            tracing::warn!("the agent of {host} does not read what it is told; its link is closed");
                            open.remove(&link);
                        }
                    }
                    Word::Close => drop(open.remove(&link)),
                }
            }
        }
    }

    /// Serves one agent's connection until either side ends it. Not an `async fn`, whose future would keep the room of the
    /// stream as it came.
    pub(crate) fn serve<S>(
        self,
        handle: Handle,
        stream: S,
        host: HostName,
        from: Option<IpAddr>,
    ) -> impl Future<Output = ()> + Send
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let link = LinkId(self.next.fetch_add(1, Ordering::Relaxed) + 1);
        let (reader, writer) = tokio::io::split(stream);
        let (sender, receiver) = mpsc::channel(WAITING);
        self.lock().insert(link, sender);
        async move {
            let writing = tokio::spawn(write(FrameWriter::new(writer).time_limit(WRITE_LIMIT), receiver));
            let abort = writing.abort_handle();
            tokio::select! {
                () = read(&handle, FrameReader::new(reader), &host, from, link) => abort.abort(),
                // The writer ends when the link was closed by us, or the agent no longer takes anything.
                _ = writing => {}
            }
            self.lock().remove(&link);
            handle.input(Input::LinkClosed { host, link }).await;
        }
    }
}

async fn write<W: AsyncWrite + Unpin>(mut writer: FrameWriter<W>, mut messages: mpsc::Receiver<Box<ToAgent>>) {
    while let Some(message) = messages.recv().await {
        if writer.send(&message).await.is_err() {
            return;
        }
    }
    // The agent sees a clean end, or has gone already.
    let _ = writer.close().await;
}

async fn read<R: AsyncRead + Unpin>(
    handle: &Handle,
    mut reader: FrameReader<R>,
    host: &HostName,
    from: Option<IpAddr>,
    link: LinkId,
) {
    loop {
        let message = match reader.next::<FromAgent>().await {
            Ok(Some(FromAgent::Hello(hello))) if hello.host != *host => {
                tracing::warn!(
                    "an agent with the certificate of {host} says that it is {}; its link is closed",
                    hello.host
                );
                return;
            }
            Ok(Some(FromAgent::Hello(hello))) => FromAgent::Hello(reached_at(hello, from)),
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(error) => {
                tracing::info!("the link of {host} broke: {}", crate::run::chain(&error));
                return;
            }
        };
        if let FromAgent::Heartbeat { .. } = message {
            handle.heartbeat(host.clone(), link, message);
        } else {
            // Apart, so that a link has no room for it while it waits, which is nearly always.
            Box::pin(handle.input(Input::AgentSaid { host: host.clone(), link, message })).await;
        }
    }
}

/// With the address that the agent's link comes from before those that it says of itself.
fn reached_at(mut hello: Hello, from: Option<IpAddr>) -> Hello {
    let seen = hello.probe_port.zip(from).map(|(port, ip)| SocketAddr::new(ip.to_canonical(), port));
    hello.probe_addresses.truncate(MAX_NETWORKS);
    hello.probe_addresses.splice(0..0, seen.map(|address| address.to_string()));
    hello
}

/// The host that a peer's certificate is made out to.
///
/// # Errors
/// A sentence for the log when it is none.
pub(crate) fn host_of(peer: Option<Identity>) -> Result<HostName, String> {
    match peer {
        Some(Identity::Host(host)) => Ok(host),
        Some(other) => Err(format!("a peer with the certificate of {other} wants to be an agent; it is refused")),
        None => Err("a peer without a certificate wants to be an agent; it is refused".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::handle::{EventLog, Message};

    const LINK: LinkId = LinkId(1);

    /// A link of `h1`, the stream of its agent, and what the engine is told.
    fn link() -> (Links, tokio::io::DuplexStream, mpsc::Receiver<Message>) {
        let (inbox, messages) = mpsc::channel(8);
        let handle = Handle::new(inbox, watch::channel(None).1, EventLog::new([]));
        let (ours, theirs) = tokio::io::duplex(4096);
        let links = Links::default();
        tokio::spawn(links.clone().pass_on());
        tokio::spawn(links.clone().serve(handle, ours, host(), None));
        (links, theirs, messages)
    }

    fn host() -> HostName {
        "h1".parse().expect("a name")
    }

    async fn is_closed(messages: &mut mpsc::Receiver<Message>) -> bool {
        matches!(messages.recv().await, Some(Message::Input(Input::LinkClosed { link: LINK, .. })))
    }

    #[tokio::test]
    async fn what_was_said_on_a_link_before_it_was_closed_is_written_and_nothing_after() {
        let (links, theirs, mut messages) = link();
        for nonce in 1..=3 {
            links.say(&host(), LINK, ToAgent::Probe { nonce });
        }
        links.close(LINK);
        links.say(&host(), LINK, ToAgent::Probe { nonce: 4 });
        let mut agent = FrameReader::new(theirs);
        for nonce in 1..=3 {
            assert_eq!(agent.next().await.expect("a message"), Some(ToAgent::Probe { nonce }));
        }
        assert_eq!(agent.next::<ToAgent>().await.expect("an end"), None);
        assert!(is_closed(&mut messages).await);
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_does_not_read_what_it_is_told_loses_its_link() {
        let (links, _theirs, mut messages) = link();
        for nonce in 0..WAITING as u64 + 2 {
            links.say(&host(), LINK, ToAgent::Probe { nonce });
        }
        assert!(is_closed(&mut messages).await);
    }
}
