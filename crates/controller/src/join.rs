//! Lets hosts in: a one-time token for a certificate.
//!
//! A token is stored by the hash of its secret, with its host and its end. It is taken by a compare-and-swap that marks it
//! as used, so that of two that bring it at once one is let in.

use std::time::Duration;

use lifeboat_model::{HostName, Seconds, Time};
use lifeboat_ports::{Condition, Expect, Store, StoreError, Transaction, Write};
use lifeboat_transport::{
    Identity,
    frame::{FrameReader, FrameWriter},
    join::{JoinReply, JoinRequest, MAX_JOIN_BYTES},
    token::JoinToken,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{api::Service, run::chain};

/// How long a token is taken.
const LIFE: Seconds = Seconds::new(24 * 3600);
/// Time that a joining host has to say what it wants, and to take the answer.
const LIMIT: Duration = Duration::from_secs(10);
/// What is stored of a token.
#[derive(Debug, Serialize, Deserialize)]
struct TokenRecord {
    host: HostName,
    expires: Time,
    used: Option<Time>,
}

fn key(token: &JoinToken) -> String {
    format!("token/{}", token.secret_hash())
}

fn bytes(record: &TokenRecord) -> Vec<u8> {
    serde_json::to_vec(record).expect("a record of plain values always has a JSON form")
}

/// Makes a token for a host and remembers it.
///
/// # Errors
/// A sentence for a person.
pub(crate) async fn issue(service: &Service, host: &HostName) -> Result<(JoinToken, Time), String> {
    let token = JoinToken::generate(service.authority.fingerprint()).map_err(|error| chain(&error))?;
    let expires = service.clock.now() + LIFE;
    let record = TokenRecord { host: host.clone(), expires, used: None };
    let key = key(&token);
    let transaction = Transaction {
        conditions: vec![Condition { key: key.clone(), expect: Expect::Absent }],
        writes: vec![Write { key, value: Some(bytes(&record)) }],
    };
    forget_expired(service.store.as_ref(), service.clock.now()).await.map_err(|error| chain(&error))?;
    service.store.commit(&transaction).await.map_err(|error| chain(&error))?;
    Ok((token, expires))
}

/// Forgets tokens whose time is over, used or not, so that they do not gather in the store.
async fn forget_expired(store: &dyn Store, now: Time) -> Result<(), StoreError> {
    let expired = |value: &[u8]| serde_json::from_slice(value).is_ok_and(|record: TokenRecord| now > record.expires);
    let stored = store.list("token/").await?.into_iter().filter(|(_, value)| expired(value));
    let writes: Vec<Write> = stored.map(|(key, _)| Write { key, value: None }).collect();
    if writes.is_empty() {
        return Ok(());
    }
    store.commit(&Transaction { conditions: Vec::new(), writes }).await
}

/// Serves one joining host.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite>(stream: S, service: &Service) {
    let (reader, writer) = tokio::io::split(stream);
    let mut reader = FrameReader::new(reader).max_bytes(MAX_JOIN_BYTES).idle_limit(LIMIT);
    let mut writer = FrameWriter::new(writer).time_limit(LIMIT);
    let request = match reader.next::<JoinRequest>().await {
        Ok(Some(request)) => request,
        Ok(None) => return,
        Err(error) => {
            tracing::info!("a join was broken off: {}", chain(&error));
            return;
        }
    };
    let host = request.host.clone();
    let reply = match admit(service, &request).await {
        Ok(reply) => {
            tracing::info!("host {host} was given its certificate");
            reply
        }
        Err(why) => {
            tracing::warn!("host {host} was not let in: {why}");
            JoinReply::Refused { why }
        }
    };
    if let Err(error) = writer.send(&reply).await {
        tracing::warn!("host {host} did not take the answer to its join: {}. It needs another token", chain(&error));
    }
    // A peer that has gone needs no goodbye.
    let _ = writer.close().await;
}

async fn admit(service: &Service, request: &JoinRequest) -> Result<JoinReply, String> {
    let host = &request.host;
    let another = format!("make another: lifeboat token create --host {host}");
    let token = JoinToken::parse(request.token.reveal()).map_err(|error| format!("{}; {another}", chain(&error)))?;
    let key = key(&token);
    let stored = service.store.get(&key).await.map_err(|error| chain(&error))?;
    let stored = stored.ok_or_else(|| format!("this token is not known here; {another}"))?;
    let record: TokenRecord = serde_json::from_slice(&stored)
        .map_err(|_| format!("what is stored of this token cannot be read; {another}"))?;
    if record.host != *host {
        return Err(format!("this token was made for host {}, not for {host}; {another}", record.host));
    }
    if record.used.is_some() {
        return Err(format!("this token was used already, and works once; {another}"));
    }
    let now = service.clock.now();
    if now > record.expires {
        return Err(format!("this token has expired; {another}"));
    }
    let known = host.clone();
    let declared = service.handle.ask(move |brain| brain.hosts().contains_key(&known)).await;
    if !declared.map_err(|error| error.to_string())? {
        return Err(format!("no host {host} is declared; add it to the fleet's file and apply it"));
    }
    let cert_pem =
        service.authority.sign_csr(&request.csr_pem, &Identity::Host(host.clone())).map_err(|error| chain(&error))?;
    let used = TokenRecord { used: Some(now), ..record };
    let transaction = Transaction {
        conditions: vec![Condition { key: key.clone(), expect: Expect::Is(stored) }],
        writes: vec![Write { key, value: Some(bytes(&used)) }],
    };
    match service.store.commit(&transaction).await {
        Ok(()) => Ok(JoinReply::Granted { cert_pem, ca_pem: service.authority.certificate_pem().to_owned() }),
        Err(StoreError::Conflict { .. }) => Err(format!("this token was used already, and works once; {another}")),
        Err(error) => Err(chain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_drivers::store::memory::MemoryStore;

    use super::*;

    #[tokio::test]
    async fn tokens_whose_time_is_over_do_not_stay_in_the_store() {
        let store = MemoryStore::default();
        let host = HostName::new("h1").expect("a name");
        let write = |name: &str, expires: u64, used: Option<Time>| Write {
            key: format!("token/{name}"),
            value: Some(bytes(&TokenRecord { host: host.clone(), expires: Time::from_micros(expires), used })),
        };
        let writes = vec![write("old", 5, None), write("used", 5, Some(Time::from_micros(1))), write("new", 50, None)];
        store.commit(&Transaction { conditions: Vec::new(), writes }).await.expect("stored");
        forget_expired(&store, Time::from_micros(10)).await.expect("forgotten");
        let left: Vec<String> = store.list("token/").await.expect("a list").into_iter().map(|(key, _)| key).collect();
        assert_eq!(left, ["token/new"]);
    }
}
