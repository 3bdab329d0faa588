//! An agent without a hypervisor: it joins and beats as the real one does, and says of every command at once that it is
//! done. What is measured with it is everything but the host.

use std::{sync::Arc, time::Duration};

use lifeboat_brain::message::{Command, FromAgent, Hello, Outcome, PROTOCOL, ToAgent};
use lifeboat_client::Client;
use lifeboat_model::{BootId, Epoch, HostName};
use lifeboat_transport::{
    Identity,
    ca::Authority,
    connect,
    credentials::{Credentials, KeyAndRequest},
    frame::{FrameReader, FrameWriter},
    join::Newcomer,
    tls::{self, Protocol, controller_name},
    token::JoinToken,
};
use tokio::{sync::mpsc, task::JoinHandle, time::interval};

use super::Failure;

const LIMIT: Duration = Duration::from_secs(20);
const LOCALHOST: &str = "127.0.0.1";

/// A host that may join.
pub struct Host {
    pub name: HostName,
    port: u16,
    credentials: Credentials,
}

/// A host whose agent is connected. It falls silent when dropped.
pub struct Session(JoinHandle<()>);

impl Drop for Session {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Host {
    /// Joins a host that a controller knows.
    pub async fn join(name: &HostName, client: &Client, port: u16) -> Result<Self, Failure> {
        let token = JoinToken::parse(&client.create_token(name).await?.token)?;
        let credentials = Newcomer::new(name.clone(), token)?.ask(LOCALHOST, port, LIMIT).await?;
        Ok(Self { name: name.clone(), port, credentials })
    }

    /// A host that a controller knows, with credentials that its authority signs without being asked over the network.
    pub fn signed(name: HostName, port: u16, authority: &Authority) -> Result<Self, Failure> {
        let request = KeyAndRequest::generate()?;
        let certificate = authority.sign_csr(request.request_pem(), &Identity::Host(name.clone()))?;
        let credentials =
            request.into_credentials(&certificate, authority.certificate_pem(), &authority.fingerprint())?;
        Ok(Self { name, port, credentials })
    }

    /// Connects its agent, in a new boot and with nothing running. Each command that it is given comes out of `commands`.
    pub async fn connect(&self, boot: u64, commands: mpsc::Sender<Command>) -> Result<Session, Failure> {
        let config: Arc<_> = tls::client_config(&self.credentials, Protocol::Agent)?;
        let stream = connect::tls(LOCALHOST, self.port, &config, &controller_name(), LIMIT).await?;
        let (read, write) = tokio::io::split(stream);
        let (mut reader, mut writer) = (FrameReader::new(read), FrameWriter::new(write));
        let hello = Hello {
            protocol: PROTOCOL,
            host: self.name.clone(),
            boot: BootId(format!("boot-{boot}")),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: Epoch(0),
            vms: Vec::new(),
            pledge: Default::default(),
            probe_port: None,
            probe_addresses: Vec::new(),
        };
        writer.send(&FromAgent::Hello(hello)).await?;
        let Some(ToAgent::Welcome { heartbeat_ms, .. }) = reader.next().await? else {
            return Err(format!("the controller does not welcome {}", self.name).into());
        };
        let mut beats = interval(Duration::from_millis(heartbeat_ms));
        let talk = async move {
            let mut sequence = 0;
            loop {
                tokio::select! {
                    _ = beats.tick() => {
                        sequence += 1;
                        writer.send(&FromAgent::Heartbeat { sequence, pledge: Default::default() }).await?;
                    }
                    said = reader.next::<ToAgent>() => match said? {
                        Some(ToAgent::Command(command)) => {
                            let done = FromAgent::Done { command: command.id, outcome: Outcome::Done };
                            writer.send(&done).await?;
                            // Nobody may want to know.
                            let _ = commands.send(command).await;
                        }
                        Some(ToAgent::Probe { nonce }) => writer.send(&FromAgent::Probed { nonce }).await?,
                        Some(_) => {}
                        None => return Ok::<(), Failure>(()),
                    },
                }
            }
        };
        let name = self.name.clone();
        Ok(Session(tokio::spawn(async move {
            if let Err(error) = talk.await {
                eprintln!("the agent of {name} has lost its controller: {error}");
            }
        })))
    }
}
