//! Looking whether an agent lives, beside its link: by the controller over each of its host's networks, and by other
//! agents, when the controller no longer hears it.
//!
//! # Theory of operation
//!
//! An agent listens on a TCP port. Who looks connects and sends a greeting and a nonce; the answer is a digest of the nonce,
//! the host's name and the id of its boot, which only its agent and the controller know. It is given by the agent's main
//! loop: a loop that stands still answers nothing, however well the kernel takes connections. What a look sees:
//!
//! | what happens within the limit | it says |
//! | --- | --- |
//! | no connection | silent |
//! | the connection is refused, or somebody else answers | no agent |
//! | a connection, no answer | hangs |
//! | the right answer | lives |

use std::{net::SocketAddr, time::Duration};

use lifeboat_model::{BootId, Epoch, HostName, liveness::Saying};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{sleep, timeout},
};

/// How long a look may take.
const LOOK: Duration = Duration::from_millis(800);
/// How long one who looks may keep a connection open.
const SERVE: Duration = Duration::from_secs(3);
/// Connections that are served at once; more are closed.
pub const AT_ONCE: usize = 64;
const GREETING: [u8; 8] = *b"LBLOOK/1";
/// Bytes of the nonce.
pub const NONCE: usize = 16;

/// Asks an agent's main loop whether it turns; it answers with the highest epoch that it has seen.
pub type LoopTurns = mpsc::Sender<oneshot::Sender<Epoch>>;

fn digest(nonce: &[u8], host: &HostName, boot: &BootId) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(GREETING);
    hash.update(nonce);
    hash.update([0]);
    hash.update(host.as_str());
    hash.update([0]);
    hash.update(&boot.0);
    hash.finalize().into()
}

/// Answers those who look, for ever.
pub async fn serve(listener: TcpListener, host: HostName, boot: BootId, turns: LoopTurns) {
    let mut served = JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.accept() => match taken {
                Ok((stream, _)) if served.len() < AT_ONCE => {
                    let (host, boot, turns) = (host.clone(), boot.clone(), turns.clone());
                    served.spawn(async move {
                        // Who looked may have gone away.
                        let _ = timeout(SERVE, answer(stream, &host, &boot, &turns)).await;
                    });
                }
                Ok(_) => {}
                // Too many open files, most often: it passes, but not at once.
                Err(_) => sleep(Duration::from_millis(100)).await,
            },
            Some(_) = served.join_next() => {}
        }
    }
}

async fn answer(mut stream: TcpStream, host: &HostName, boot: &BootId, turns: &LoopTurns) -> std::io::Result<()> {
    let mut asked = [0; GREETING.len() + NONCE];
    stream.read_exact(&mut asked).await?;
    let (greeting, nonce) = asked.split_at(GREETING.len());
    if greeting != GREETING {
        return Ok(());
    }
    let (turned, turns_now) = oneshot::channel();
    if turns.send(turned).await.is_err() || turns_now.await.is_err() {
        return Ok(());
    }
    stream.write_all(&digest(nonce, host, boot)).await
}

/// Looks at another host's agent: what it says, and more for a person. Never longer than a second.
pub async fn look(address: &str, host: &HostName, boot: &BootId, nonce: [u8; NONCE]) -> (Saying, Option<String>) {
    let Ok(address) = address.parse::<SocketAddr>() else {
        return (Saying::Unknown, Some(format!("`{address}` is no address")));
    };
    let begun = tokio::time::Instant::now();
    let mut stream = match timeout(LOOK, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return (Saying::NoAgent, Some(format!("{address} refuses connections")));
        }
        Ok(Err(error)) => return (Saying::Silent, Some(format!("{address}: {error}"))),
        Err(_) => return (Saying::Silent, Some(format!("{address} takes no connection"))),
    };
    let exchange = async {
        stream.write_all(&GREETING).await?;
        stream.write_all(&nonce).await?;
        let mut answer = [0; 32];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match timeout(LOOK.saturating_sub(begun.elapsed()), exchange).await {
        Ok(Ok(answer)) if answer == digest(&nonce, host, boot) => (Saying::Lives, None),
        Ok(Ok(_)) => (Saying::NoAgent, Some(format!("somebody else answers at {address}, or in another boot"))),
        Ok(Err(error)) => (Saying::NoAgent, Some(format!("{address}: {error}"))),
        Err(_) => (Saying::Hangs, Some(format!("{address} took a connection and does not answer"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> HostName {
        HostName::new("h1").expect("a name")
    }

    fn boot(id: &str) -> BootId {
        BootId(id.to_owned())
    }

    /// An agent's listener, its address, and its main loop's end of the questions.
    async fn listening() -> (JoinSet<()>, String, mpsc::Receiver<oneshot::Sender<Epoch>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (turns, asked) = mpsc::channel(8);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, host(), boot("b1"), turns));
        (tasks, address, asked)
    }

    fn turning(tasks: &mut JoinSet<()>, mut asked: mpsc::Receiver<oneshot::Sender<Epoch>>) {
        tasks.spawn(async move {
            while let Some(answer) = asked.recv().await {
                let _ = answer.send(Epoch(1));
            }
        });
    }

    #[tokio::test]
    async fn an_agent_whose_loop_turns_lives_and_one_whose_loop_stands_still_hangs() {
        let (mut tasks, address, asked) = listening().await;
        assert_eq!(look(&address, &host(), &boot("b1"), [1; NONCE]).await.0, Saying::Hangs);
        turning(&mut tasks, asked);
        assert_eq!(look(&address, &host(), &boot("b1"), [2; NONCE]).await.0, Saying::Lives);
    }

    #[tokio::test]
    async fn whoever_does_not_know_the_hosts_boot_is_not_taken_for_its_agent() {
        let (mut tasks, address, asked) = listening().await;
        turning(&mut tasks, asked);
        assert_eq!(look(&address, &host(), &boot("b2"), [1; NONCE]).await.0, Saying::NoAgent);
    }

    #[tokio::test]
    async fn an_agent_that_is_gone_is_told_from_a_host_that_is_gone() {
        let (tasks, address, _asked) = listening().await;
        drop(tasks);
        tokio::task::yield_now().await;
        assert_eq!(look(&address, &host(), &boot("b1"), [1; NONCE]).await.0, Saying::NoAgent);
        assert_eq!(look("nowhere", &host(), &boot("b1"), [1; NONCE]).await.0, Saying::Unknown);
    }

    #[tokio::test]
    async fn nonsense_is_not_answered_and_disturbs_nobody() {
        let (mut tasks, address, asked) = listening().await;
        turning(&mut tasks, asked);
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        stream.write_all(&[b'x'; 4096]).await.expect("written");
        let mut rest = Vec::new();
        // It is closed, or reset with what it did not read.
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
        assert_eq!(look(&address, &host(), &boot("b1"), [3; NONCE]).await.0, Saying::Lives);
    }
}
