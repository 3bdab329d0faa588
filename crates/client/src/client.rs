//! One method a request.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use lifeboat_model::{
    HostName, OperatorName, VmName, declaration::Object, fleet::Fleet, plan::Plan, spec::Declaration,
};
use lifeboat_transport::{
    credentials::Credentials,
    http::{self, HttpError, Lines, Method, Response, Streamed, Target, header},
    tls::{self, Protocol},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    ClientError, EventStream, TraceStream,
    api::{
        ApplyOutcome, CheckRow, ConfirmOff, ConfirmedOff, Deleted, DrillView, ErrorBody, EvidenceView, FenceTest,
        HardwareView, HostOrdered, HostRow, MaintenanceRequest, NotifyTested, OperatorIssued, OperatorRequest,
        PlanRequest, ReceiverRow, RecoveryRow, RecoveryView, StatusView, TokenIssued, TokenRequest, VmAction, VmRow,
        VolumeRow, path,
    },
};

/// Lists of a fleet of 10,000 hosts stay below this.
const MAX_ANSWER_BYTES: usize = 512 * 1024 * 1024;
/// Long enough to apply, or to plan for, a very large fleet.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// A client of one controller. Cheap to clone; every call is a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    http: http::Client,
}

impl Client {
    /// A client over the controller's Unix socket.
    #[must_use]
    pub fn unix(socket: impl Into<PathBuf>) -> Self {
        Self::new(Target::Unix(socket.into()))
    }

    /// A client over TLS, with the operator's credentials in a directory.
    ///
    /// # Errors
    /// [`ClientError`] when the address is not `host:port` or the credentials cannot be used.
    pub fn tls(address: &str, credentials_dir: &Path) -> Result<Self, ClientError> {
        let (host, port) = split_address(address)?;
        let dir = credentials_dir.display().to_string();
        let credentials = match Credentials::load(credentials_dir) {
            Ok(Some(credentials)) => credentials,
            Ok(None) => return Err(ClientError::NoCredentials { dir }),
            Err(source) => return Err(ClientError::Credentials { dir, source }),
        };
        let config =
            tls::client_config(&credentials, Protocol::Http).map_err(|source| ClientError::Tls { dir, source })?;
        Ok(Self::new(Target::Tls { host, port, config, server_name: tls::controller_name() }))
    }

    fn new(target: Target) -> Self {
        Self { http: http::Client::new(target).time_limit(TIME_LIMIT).max_body_bytes(MAX_ANSWER_BYTES) }
    }

    /// The fleet at a glance.
    ///
    /// # Errors
    /// [`ClientError`]; so for every other call.
    pub async fn status(&self) -> Result<StatusView, ClientError> {
        self.get(path::STATUS).await
    }

    /// The last drill, beside an earlier one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn last_drill(&self) -> Result<DrillView, ClientError> {
        self.get(path::DRILL).await
    }

    /// Drills now, and keeps and compares what is found.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn drill(&self) -> Result<DrillView, ClientError> {
        self.post(path::DRILL, &()).await
    }

    /// All hosts.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn hosts(&self) -> Result<Vec<HostRow>, ClientError> {
        self.get(path::HOSTS).await
    }

    /// What is known of a host, and what is judged by it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn evidence(&self, host: &HostName) -> Result<EvidenceView, ClientError> {
        self.get(&path::evidence(host)).await
    }

    /// All VMs.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn vms(&self) -> Result<Vec<VmRow>, ClientError> {
        self.get(path::VMS).await
    }

    /// All checks of VMs, each with each of its VMs.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn checks(&self) -> Result<Vec<CheckRow>, ClientError> {
        self.get(path::CHECKS).await
    }

    /// All volumes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn volumes(&self) -> Result<Vec<VolumeRow>, ClientError> {
        self.get(path::VOLUMES).await
    }

    /// The recoveries that the controller remembers, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn recoveries(&self) -> Result<Vec<RecoveryRow>, ClientError> {
        self.get(path::RECOVERIES).await
    }

    /// One recovery with its VMs.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn recovery(&self, id: u64) -> Result<RecoveryView, ClientError> {
        self.get(&path::recovery(id)).await
    }

    /// The declaration as the controller keeps it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn declaration(&self) -> Result<Declaration, ClientError> {
        self.get(path::DECLARATION).await
    }

    /// The fleet as it is now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn fleet(&self) -> Result<Fleet, ClientError> {
        self.get(path::FLEET).await
    }

    /// Lays a declaration over what the controller keeps: all of it, or nothing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn apply(&self, declaration: &Declaration) -> Result<ApplyOutcome, ClientError> {
        self.post(path::APPLY, declaration).await
    }

    /// Deletes a declared thing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete(&self, object: &Object) -> Result<Deleted, ClientError> {
        self.call(Method::DELETE, &path::object(object), Vec::new()).await
    }

    /// Gives an order for a VM.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn order(&self, vm: &VmName, action: VmAction) -> Result<VmRow, ClientError> {
        self.call(Method::POST, &path::vm_action(vm, action), Vec::new()).await
    }

    /// Gives an operator's word that a host has no power.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn confirm_off(&self, host: &HostName) -> Result<ConfirmedOff, ClientError> {
        self.post(&path::confirm_off(host), &ConfirmOff { host: host.clone() }).await
    }

    /// Keeps a host from getting VMs, or lets it have them again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn maintain(&self, host: &HostName, request: &MaintenanceRequest) -> Result<HostOrdered, ClientError> {
        self.post(&path::maintenance(host), request).await
    }

    /// What is known of a host's hardware.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn hardware(&self, host: &HostName) -> Result<HardwareView, ClientError> {
        self.get(&path::hardware(host)).await
    }

    /// Has the VMs that belong to a host go back to it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn failback(&self, host: &HostName) -> Result<HostOrdered, ClientError> {
        self.call(Method::POST, &path::failback(host), Vec::new()).await
    }

    /// Has a host emptied.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn drain(&self, host: &HostName) -> Result<HostOrdered, ClientError> {
        self.call(Method::POST, &path::drain(host), Vec::new()).await
    }

    /// Receivers of what people are told.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn receivers(&self) -> Result<Vec<ReceiverRow>, ClientError> {
        self.get(path::RECEIVERS).await
    }

    /// Has a test message sent to a receiver, once.
    ///
    /// # Errors
    /// [`ClientError`]. That the receiver did not take it is no error, but in the answer.
    pub async fn test_receiver(&self, name: &str) -> Result<NotifyTested, ClientError> {
        self.call(Method::POST, &path::test_receiver(name), Vec::new()).await
    }

    /// Has the fence devices of a host read, and what its ladder would do told. Nothing is cut.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn fence_test(&self, host: &HostName) -> Result<FenceTest, ClientError> {
        self.call(Method::POST, &path::fence_test(host), Vec::new()).await
    }

    /// Plans for the failure of hosts, all at once, and changes nothing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn plan(&self, failed: Vec<HostName>) -> Result<Plan, ClientError> {
        self.post(path::PLAN, &PlanRequest { failed }).await
    }

    /// Events after a number, and with `follow` those to come.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn events(&self, after: u64, follow: bool) -> Result<EventStream, ClientError> {
        self.stream(&path::events(after, follow)).await.map(EventStream)
    }

    /// The trace, and with `follow` what is to come.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn trace(&self, follow: bool) -> Result<TraceStream, ClientError> {
        self.stream(&path::trace(follow)).await.map(TraceStream)
    }

    /// A one-time token with which a host's agent joins.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_token(&self, host: &HostName) -> Result<TokenIssued, ClientError> {
        self.post(path::TOKENS, &TokenRequest { host: host.clone() }).await
    }

    /// A certificate with which an operator gives orders over TLS.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_operator(&self, name: &OperatorName, csr_pem: &str) -> Result<OperatorIssued, ClientError> {
        self.post(path::OPERATORS, &OperatorRequest { name: name.clone(), csr_pem: csr_pem.to_owned() }).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, Vec::new()).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).expect("the API's types have text keys and finite numbers only");
        self.call(Method::POST, path, body).await
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Vec<u8>) -> Result<T, ClientError> {
        let what = format!("{method} {path}");
        let answer = self.http.request(method, path, headers(), body).await.map_err(ClientError::of)?;
        if !answer.status.is_success() {
            return Err(refused(what, &answer));
        }
        serde_json::from_slice(&answer.body).map_err(|source| ClientError::NotUnderstood { what, source })
    }

    async fn stream(&self, path: &str) -> Result<Lines, ClientError> {
        let started: Result<Streamed, HttpError> = self.http.stream(Method::GET, path, headers(), Vec::new()).await;
        match started.map_err(ClientError::of)? {
            Streamed::Lines(lines) => Ok(lines),
            Streamed::Refused(answer) => Err(refused(format!("GET {path}"), &answer)),
        }
    }
}

fn headers() -> header::HeaderMap {
    let json = header::HeaderValue::from_static("application/json");
    [(header::CONTENT_TYPE, json.clone()), (header::ACCEPT, json)].into_iter().collect()
}

fn refused(what: String, answer: &Response) -> ClientError {
    match serde_json::from_slice::<ErrorBody>(&answer.body) {
        Ok(body) => ClientError::Refused(Box::new(body)),
        Err(_) => ClientError::Bare { what, status: answer.status.as_u16() },
    }
}

/// `host:port` or `[v6]:port`.
fn split_address(address: &str) -> Result<(String, u16), ClientError> {
    let wrong = || ClientError::Address { address: address.chars().take(100).collect() };
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let plain = bare.unwrap_or(host);
    if port == 0 || plain.is_empty() || (bare.is_none() && host.contains(':')) || plain.contains(['/', ' ', '@']) {
        return Err(wrong());
    }
    Ok((plain.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let good = |text: &str| split_address(text).expect("an address");
        assert_eq!(good("controller.example:7443"), ("controller.example".to_owned(), 7443));
        assert_eq!(good("10.0.0.1:1"), ("10.0.0.1".to_owned(), 1));
        assert_eq!(good("[::1]:7443"), ("::1".to_owned(), 7443));
        for bad in ["", "h", "h:", ":1", "h:0", "h:99999", "::1:7443", "https://h:1", "a b:1", "u@h:1"] {
            assert!(split_address(bad).is_err(), "{bad:?} was taken for an address");
        }
    }
}
