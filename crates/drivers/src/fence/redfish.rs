//! BMCs that speak Redfish (DMTF DSP0266) over HTTPS.
//!
//! Theory of operation: the power is read from the `ComputerSystem` resource, and only `Off` counts as off. To cut it the
//! resource is read first: it says whether anything is to be done and where its `Reset` action is to be sent, which differs
//! from vendor to vendor. A refused reset of a system that has gone off meanwhile is a success: somebody else was faster.
//! Answers are limited in size, every call in time; what cannot be understood is an error, never a state.

use std::{path::Path, time::Duration};

use async_trait::async_trait;
use lifeboat_model::spec::RedfishFence;
use lifeboat_ports::{FenceDevice, FenceError, PowerState};
use lifeboat_transport::{
    http::{
        Client, HttpError, Method, Response, StatusCode, Target, basic_auth,
        header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
    },
    secret::SecretFile,
    tls::{BmcTrust, bmc_config},
};
use rustls_pki_types::ServerName;
use serde::Deserialize;
use tokio::time;

use super::{CUT, Fault, READ, excerpt};

/// The longest answer that is read: a system resource has some 10 KiB.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// What cuts the power at once, without the operating system being asked.
const FORCE_OFF: &str = "ForceOff";

mod sensors;

/// A fence device behind a Redfish service.
#[derive(Debug)]
pub struct RedfishDevice {
    spec: RedfishFence,
}

/// What is needed of a `ComputerSystem`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct System {
    power_state: Option<String>,
    #[serde(default)]
    actions: Actions,
    #[serde(default)]
    links: Links,
}

#[derive(Default, Deserialize)]
struct Links {
    #[serde(default, rename = "Chassis")]
    chassis: Vec<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "@odata.id")]
    id: String,
}

#[derive(Default, Deserialize)]
struct Actions {
    #[serde(rename = "#ComputerSystem.Reset")]
    reset: Option<Reset>,
}

#[derive(Deserialize)]
struct Reset {
    target: Option<String>,
    #[serde(rename = "ResetType@Redfish.AllowableValues")]
    allowed: Option<Vec<String>>,
}

/// A connection's worth of settings, read afresh for each call.
struct Session {
    client: Client,
    headers: HeaderMap,
    system: String,
}

impl RedfishDevice {
    /// The device of a declaration.
    #[must_use]
    pub const fn new(spec: RedfishFence) -> Self {
        Self { spec }
    }

    fn session(&self) -> Result<Session, Fault> {
        let limit = Duration::from(self.spec.timeout_s);
        let client = Client::new(self.target()?).time_limit(limit).max_body_bytes(MAX_ANSWER_BYTES);
        let password = SecretFile::read(Path::new(&self.spec.password_file))
            .map_err(|error| Fault::lasting("its password is not usable").because(error))?;
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, basic_auth(&self.spec.user, &password)),
            (ACCEPT, json.clone()),
            (CONTENT_TYPE, json),
        ]);
        let system = &self.spec.system;
        if system.is_empty() || !system.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:@!$&'()*+,;=".contains(&b))
        {
            return Err(Fault::lasting(format!("`{}` is no id of a system", excerpt(system))));
        }
        Ok(Session { client, headers, system: format!("/redfish/v1/Systems/{system}") })
    }

    fn target(&self) -> Result<Target, Fault> {
        let (host, port) = address(&self.spec.url).ok_or_else(|| {
            let problem = format!("its url `{}` is not of the form https://address[:port]", excerpt(&self.spec.url));
            Fault::lasting(problem)
        })?;
        let server_name = ServerName::try_from(host.clone())
            .map_err(|error| Fault::lasting(format!("`{}` is no address of a BMC", excerpt(&host))).because(error))?;
        let trust =
            BmcTrust::from_settings(self.spec.ca_file.as_deref().map(Path::new), self.spec.pin_sha256.as_deref())
                .map_err(|error| Fault::lasting("it is not said whom to trust").because(error))?;
        let config = bmc_config(&trust).map_err(|error| Fault::lasting("TLS cannot be set up").because(error))?;
        Ok(Target::Tls { host, port, config, server_name })
    }

    async fn in_time<T>(&self, call: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let limit = self.spec.timeout_s;
        let late = || {
            Fault::passing(format!(
                "it took longer than {limit}; look whether the BMC is overloaded, or raise timeout_s"
            ))
        };
        time::timeout(limit.into(), call).await.unwrap_or_else(|_| Err(late()))
    }

    async fn cut(&self) -> Result<(), Fault> {
        let session = self.session()?;
        let system = session.system().await?;
        if power_of(&system)? == PowerState::Off {
            return Ok(());
        }
        let target = reset_target(&system)?;
        let body = serde_json::json!({ "ResetType": FORCE_OFF }).to_string();
        let refused = match session.ask(Method::POST, target, body).await {
            Ok(answer) if answer.status.is_success() => return Ok(()),
            Ok(answer) => refusal(&answer, target),
            Err(fault) => fault,
        };
        match session.system().await.and_then(|system| power_of(&system)) {
            Ok(PowerState::Off) => Ok(()),
            _ => Err(refused),
        }
    }

    async fn read(&self) -> Result<PowerState, Fault> {
        power_of(&self.session()?.system().await?)
    }
}

#[async_trait]
impl FenceDevice for RedfishDevice {
    async fn power_off(&self) -> Result<(), FenceError> {
        self.in_time(self.cut()).await.map_err(|fault| fault.of(&self.spec.name, CUT))
    }

    async fn power_state(&self) -> Result<PowerState, FenceError> {
        self.in_time(self.read()).await.map_err(|fault| fault.of(&self.spec.name, READ))
    }
}

impl Session {
    async fn system(&self) -> Result<System, Fault> {
        let answer = self.ask(Method::GET, &self.system, String::new()).await?;
        if answer.status != StatusCode::OK {
            return Err(refusal(&answer, &self.system));
        }
        serde_json::from_slice(&answer.body).map_err(|error| {
            Fault::passing(format!("its answer for {} is no ComputerSystem; check `url` and `system`", self.system))
                .because(error)
        })
    }

    async fn ask(&self, method: Method, path: &str, body: String) -> Result<Response, Fault> {
        self.client.request(method, path, self.headers.clone(), body).await.map_err(|error: HttpError| {
            // A certificate that is not trusted stays so; all else may pass.
            if error.tls_fault().is_some() {
                return Fault::lasting("the BMC is not the one that is trusted").because(error);
            }
            Fault::passing("the BMC did not answer as it should").because(error)
        })
    }
}

fn power_of(system: &System) -> Result<PowerState, Fault> {
    match system.power_state.as_deref() {
        Some("Off") => Ok(PowerState::Off),
        Some("On" | "PoweringOn" | "PoweringOff" | "Paused") => Ok(PowerState::On),
        Some(other) => {
            Err(Fault::passing(format!("it reports a PowerState that Redfish does not know: `{}`", excerpt(other))))
        }
        None => Err(Fault::passing("it reports no PowerState now; look whether the BMC is still starting")),
    }
}

fn reset_target(system: &System) -> Result<&str, Fault> {
    let none = || Fault::lasting("the system offers no Reset; check that `system` and the user's rights are right");
    let reset = system.actions.reset.as_ref().ok_or_else(none)?;
    if let Some(allowed) = &reset.allowed
        && !allowed.iter().any(|kind| kind == FORCE_OFF)
    {
        let offered = excerpt(&allowed.join(", "));
        return Err(Fault::lasting(format!("the system offers no reset of type {FORCE_OFF}, only: {offered}")));
    }
    match reset.target.as_deref() {
        Some(path) if path.starts_with('/') && !path.starts_with("//") => Ok(path),
        Some(other) => Err(Fault::lasting(format!("the target of its Reset is not a path: `{}`", excerpt(other)))),
        None => Err(none()),
    }
}

fn refusal(answer: &Response, path: &str) -> Fault {
    let status = answer.status;
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Fault::lasting(format!(
            "it refuses the user ({status}); check `user`, the password file and the user's rights"
        )),
        StatusCode::NOT_FOUND => {
            Fault::lasting(format!("it has no {} ({status}); check `url` and `system`", excerpt(path)))
        }
        _ => Fault::passing(format!("it answered {status} for {}: {}", excerpt(path), said(&answer.body))),
    }
}

/// What the BMC says went wrong, as Redfish words it or as it came.
fn said(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Told {
        error: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    match serde_json::from_slice::<Told>(body) {
        Ok(told) => excerpt(&told.error.message),
        Err(_) if body.is_empty() => "nothing more".to_owned(),
        Err(_) => excerpt(&String::from_utf8_lossy(&body[..body.len().min(1024)])),
    }
}

/// Host and port of `https://address[:port]`, brackets around an IPv6 address taken away.
fn address(url: &str) -> Option<(String, u16)> {
    let authority = url.strip_prefix("https://")?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, if rest.is_empty() { "443" } else { rest.strip_prefix(':')? })
        }
        None => authority.split_once(':').unwrap_or((authority, "443")),
    };
    let port: u16 = port.parse().ok()?;
    (port > 0 && !host.is_empty() && !host.contains(['/', '@', '?', '#'])).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests;
