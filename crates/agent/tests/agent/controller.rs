//! A controller that says what the test wants.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lifeboat_agent::ControllerAddress;
use lifeboat_brain::message::{Command, CommandId, FromAgent, Hello, LeaseTerms, Order, Outcome, ToAgent};
use lifeboat_model::{Epoch, Generation};
use lifeboat_transport::{
    Identity,
    ca::Authority,
    frame::{FrameReader, FrameWriter},
    join::{JoinReply, JoinRequest},
    tls::{AcceptError, Accepted, Protocol, accept, controller_config},
};
use rustls::ServerConfig;
use tokio::{
    io::{ReadHalf, WriteHalf, split},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::server::TlsStream;

use crate::{
    host::{host_name, vm},
    soon,
};

pub struct Controller {
    pub authority: Authority,
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    commands: Arc<AtomicU64>,
}

impl Controller {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let authority = Authority::open_or_create(dir.path()).expect("an authority");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let tls = controller_config(&authority, &[]).expect("TLS");
        Self { authority, listener, tls, commands: Arc::default() }
    }

    pub fn address(&self) -> ControllerAddress {
        let address = self.listener.local_addr().expect("bound");
        ControllerAddress { host: address.ip().to_string(), port: address.port() }
    }

    pub async fn try_accept(&self) -> Result<Accepted<TcpStream>, AcceptError> {
        let (stream, _) = soon("a connection", self.listener.accept()).await.expect("accepted");
        accept(stream, &self.tls, Duration::from_secs(30)).await
    }

    /// A newcomer asks; the answer depends on what.
    pub async fn answer_newcomer(&self, decide: impl FnOnce(&JoinRequest) -> JoinReply) {
        let accepted = self.try_accept().await.expect("a newcomer");
        assert_eq!((accepted.peer, accepted.protocol), (None, Protocol::Join));
        let (read, write) = split(accepted.stream);
        let request: JoinRequest =
            soon("a request", FrameReader::new(read).next()).await.expect("read").expect("a request");
        FrameWriter::new(write).send(&decide(&request)).await.expect("answered");
    }

    /// An agent connects and says Hello.
    pub async fn accept(&self) -> (Session, Hello) {
        let accepted = self.try_accept().await.expect("an agent");
        assert_eq!(accepted.peer, Some(Identity::Host(host_name("h1"))));
        assert_eq!(accepted.protocol, Protocol::Agent);
        let (read, write) = split(accepted.stream);
        let mut session = Session {
            reader: FrameReader::new(read),
            writer: FrameWriter::new(write),
            commands: Arc::clone(&self.commands),
        };
        match session.next().await {
            Some(FromAgent::Hello(hello)) => (session, hello),
            other => panic!("{other:?} is no Hello"),
        }
    }

    /// An agent connects and is taken.
    pub async fn welcome(&self, epoch: u64, keep: &[(&str, u64)]) -> (Session, Hello) {
        let (mut session, hello) = self.accept().await;
        session.welcome(epoch, keep).await;
        (session, hello)
    }
}

pub struct Session {
    reader: FrameReader<ReadHalf<TlsStream<TcpStream>>>,
    writer: FrameWriter<WriteHalf<TlsStream<TcpStream>>>,
    commands: Arc<AtomicU64>,
}

impl Session {
    pub async fn say(&mut self, message: ToAgent) {
        self.writer.send(&message).await.expect("sent");
    }

    pub async fn welcome(&mut self, epoch: u64, keep: &[(&str, u64)]) {
        let keep = keep.iter().map(|(name, generation)| (vm(name), Generation(*generation))).collect();
        self.say(ToAgent::Welcome {
            epoch: Epoch(epoch),
            heartbeat_ms: 500,
            keep,
            leave: Vec::new(),
            lease_ms: 0,
            terms: LeaseTerms::default(),
        })
        .await;
    }

    /// What the agent says next but heartbeats, which are answered; `None` when it closes the link.
    pub async fn next(&mut self) -> Option<FromAgent> {
        loop {
            match soon("a message", self.reader.next()).await {
                Ok(Some(FromAgent::Heartbeat { sequence, .. })) => {
                    // The agent may have gone meanwhile: then the next read says so.
                    let _ = self.writer.send(&ToAgent::Heard { sequence, lease_ms: 0 }).await;
                }
                Ok(Some(said)) => return Some(said),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    pub async fn command(&mut self, epoch: u64, name: &str, generation: u64, order: Order) -> CommandId {
        let id = CommandId(self.commands.fetch_add(1, Ordering::Relaxed));
        let (epoch, generation) = (Epoch(epoch), Generation(generation));
        self.say(ToAgent::Command(Command { id, epoch, vm: vm(name), generation, order })).await;
        id
    }

    /// Has a command carried out; how it ended.
    pub async fn order(&mut self, epoch: u64, name: &str, generation: u64, order: Order) -> Outcome {
        let id = self.command(epoch, name, generation, order).await;
        match self.next().await {
            Some(FromAgent::Done { command, outcome }) if command == id => outcome,
            other => panic!("{other:?} is no answer to {id:?}"),
        }
    }

    /// Has a VM configured and started.
    pub async fn start(&mut self, epoch: u64, name: &str, generation: u64) {
        assert_eq!(self.order(epoch, name, generation, configure()).await, Outcome::Done);
        assert_eq!(self.order(epoch, name, generation, Order::Start).await, Outcome::Done);
    }
}

pub fn configure() -> Order {
    Order::Configure { vcpus: 1, memory_mib: 64, machine: Box::default(), attachments: Vec::new() }
}
