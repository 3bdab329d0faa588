//! How this host gets its credentials: from its state directory, or once with a token.

use std::{future::Future, pin::pin, time::Instant};

use lifeboat_transport::{
    Identity,
    credentials::Credentials,
    join::{JoinError, Newcomer},
    secret::SecretFile,
    token::JoinToken,
};
use tokio::time::{Duration, sleep};
use tracing::{info, warn};

use crate::{
    config::AgentConfig,
    error::{AgentError, chain},
    report::Trouble,
};

/// How long a controller may take to shake hands.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long to wait after none of the controllers was reached.
const ROUND: Duration = Duration::from_secs(2);
/// Certificates that run out within this time are warned of.
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);

/// The credentials of this host; `None` when the agent is to end before it has any.
pub(crate) async fn credentials(
    config: &AgentConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<Option<Credentials>, AgentError> {
    let credentials = match Credentials::load(&config.state_dir)? {
        Some(credentials) => credentials,
        None => match join(config, shutdown).await? {
            Some(credentials) => credentials,
            None => return Ok(None),
        },
    };
    if *credentials.identity() != Identity::Host(config.host.clone()) {
        let (dir, host) = (config.state_dir.clone(), config.host.clone());
        return Err(AgentError::OtherIdentity { dir, found: credentials.identity().clone(), host });
    }
    warn_of_expiry(&credentials);
    Ok(Some(credentials))
}

async fn join(config: &AgentConfig, shutdown: impl Future<Output = ()>) -> Result<Option<Credentials>, AgentError> {
    let host = config.host.clone();
    let Some(path) = &config.token_file else { return Err(AgentError::NoToken { host }) };
    let secret = SecretFile::read(path).map_err(|source| AgentError::TokenFile { host: host.clone(), source })?;
    let token = JoinToken::parse(secret.reveal());
    let token = token.map_err(|source| AgentError::Token { path: path.clone(), source })?;
    let failed = |source| AgentError::Join { host: host.clone(), source };
    let newcomer = Newcomer::new(host.clone(), token).map_err(failed)?;
    let mut shutdown = pin!(shutdown);
    let credentials = tokio::select! {
        joined = ask_in_turn(config, &newcomer) => joined.map_err(failed)?,
        () = &mut shutdown => return Ok(None),
    };
    credentials.store(&config.state_dir)?;
    info!(host = %config.host, "joined; the token in {} is used up and can be deleted", path.display());
    Ok(Some(credentials))
}

/// Asks one controller after the other until one answers.
async fn ask_in_turn(config: &AgentConfig, newcomer: &Newcomer) -> Result<Credentials, JoinError> {
    let mut trouble = Trouble::default();
    loop {
        for controller in &config.controllers {
            match newcomer.ask(&controller.host, controller.port, CONNECT_LIMIT).await {
                Ok(credentials) => return Ok(credentials),
                Err(error) if error.may_pass() => {
                    let text = chain(&error);
                    if trouble.met(&text, Instant::now()).is_some() {
                        warn!(%controller, "cannot join yet, trying on: {text}");
                    }
                }
                Err(error) => return Err(error),
            }
        }
        sleep(ROUND).await;
    }
}

fn warn_of_expiry(credentials: &Credentials) {
    match credentials.expires().duration_since(std::time::SystemTime::now()) {
        Ok(left) if left > SOON => {}
        Ok(left) => warn!(
            days = left.as_secs() / (24 * 3600),
            "this host's certificate runs out soon: join anew with a new token before it does"
        ),
        Err(_) => warn!("this host's certificate has run out, or the clock is wrong: set the clock, or join anew"),
    }
}
