//! The connection to one controller, as a task: messages in, messages out, until either side ends it.

use std::{sync::Arc, time::Duration};

use lifeboat_brain::{
    host::{CONNECT_LIMIT, HostInput, LinkId},
    message::{FromAgent, ToAgent},
};
use lifeboat_transport::{
    connect,
    frame::{FrameReader, FrameWriter},
    tls::controller_name,
};
use rustls::ClientConfig;
use tokio::{sync::mpsc, task::AbortHandle};

use crate::{
    config::ControllerAddress,
    error::{AgentError, chain},
};

/// Messages that wait to be sent; a controller that does not take them loses the link.
const OUTGOING: usize = 256;
/// How long one message may take to be sent.
const SEND_LIMIT: Duration = Duration::from_secs(10);

/// What happens on a link.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// For the brain.
    Input(HostInput),
    /// The link is gone or was never made; why, for a person, when it was not the controller that ended it in order.
    Ended { link: LinkId, why: Option<String> },
}

/// A link that is made or in use. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub id: LinkId,
    outgoing: mpsc::Sender<FromAgent>,
    task: AbortHandle,
}

impl Link {
    /// Begins to connect.
    pub(crate) fn open(
        id: LinkId,
        controller: ControllerAddress,
        config: Arc<ClientConfig>,
        events: mpsc::Sender<LinkEvent>,
    ) -> Self {
        let (outgoing, messages) = mpsc::channel(OUTGOING);
        let task = tokio::spawn(async move {
            let why = talk(id, &controller, &config, messages, &events).await.err();
            // The body is gone when this cannot be said.
            let _ = events.send(LinkEvent::Ended { link: id, why }).await;
        });
        Self { id, outgoing, task: task.abort_handle() }
    }

    /// Hands a message over; whether there was room for it.
    pub(crate) fn send(&self, message: FromAgent) -> bool {
        self.outgoing.try_send(message).is_ok()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn talk(
    link: LinkId,
    controller: &ControllerAddress,
    config: &Arc<ClientConfig>,
    mut messages: mpsc::Receiver<FromAgent>,
    events: &mpsc::Sender<LinkEvent>,
) -> Result<(), String> {
    let said = |error: &(dyn std::error::Error + 'static)| chain(error);
    let (name, limit) = (controller_name(), CONNECT_LIMIT.into());
    let connected = connect::tls(&controller.host, controller.port, config, &name, limit).await;
    let stream = connected.map_err(|error| said(&error))?;
    let (read, write) = tokio::io::split(stream);
    let mut writer = FrameWriter::new(write).time_limit(SEND_LIMIT);
    let mut reader = FrameReader::new(read);
    let tell = |input| async { events.send(LinkEvent::Input(input)).await.map_err(|_| "the agent ends".to_owned()) };
    tell(HostInput::LinkOpened { link }).await?;
    let incoming = async {
        while let Some(message) = reader.next::<ToAgent>().await.map_err(|error| said(&error))? {
            tell(HostInput::Message { link, message }).await?;
        }
        Ok(())
    };
    let outgoing = async {
        while let Some(message) = messages.recv().await {
            writer.send(&message).await.map_err(|error| said(&error))?;
        }
        Ok(())
    };
    tokio::select! {
        ended = incoming => ended,
        ended = outgoing => ended,
    }
}

/// The TLS side of all links.
pub(crate) fn client_config(
    credentials: &lifeboat_transport::credentials::Credentials,
) -> Result<Arc<ClientConfig>, AgentError> {
    Ok(lifeboat_transport::tls::client_config(credentials, lifeboat_transport::tls::Protocol::Agent)?)
}
