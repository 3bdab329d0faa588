//! The Redfish interface of all hosts' BMCs: a small HTTPS server.
//!
//! It has what a fence driver and `fence_redfish` need: the service root, the collection of systems, a system a host, and
//! its `Reset` action. The user and the password are asked for everywhere but at the root, as the standard says.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use lifeboat_model::HostName;
use lifeboat_transport::{
    ca::Authority,
    http::basic_auth,
    secret::SecretFile,
    tls::{accept, https_config},
};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time};

use super::{USER, deaf_file, password_file};
use crate::{
    Lab, LabError,
    layout::{self, Layout},
    process::{Enter, EntryPoint},
};

const HANDSHAKE: Duration = Duration::from_secs(5);
const HEADERS: Duration = Duration::from_secs(10);
const MAX_BODY_BYTES: usize = 16 * 1024;
/// How long a deaf BMC holds a request before it drops the connection.
const DEAF: Duration = Duration::from_secs(120);

/// Starts the server of a lab.
pub(crate) fn start(layout: &Layout, entry: &EntryPoint) -> Result<(), LabError> {
    let enter = Enter {
        cgroup: layout.cgroup_of("fabric")?.path().to_owned(),
        netns: Layout::netns_file(&layout.fabric_netns()),
        hostname: None,
        log: layout.log("redfish"),
        wait: false,
        command: entry.words(&["redfish", &layout.dir.to_string_lossy()]),
    };
    enter.start(entry)
}

/// The hidden entry: serves until it is killed.
pub(crate) fn run(lab: Lab) -> Result<(), LabError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(LabError::system("start the Redfish server"))?.block_on(serve(Arc::new(lab)))
}

async fn serve(lab: Arc<Lab>) -> Result<(), LabError> {
    let failed = |detail: String| LabError::Program { operation: "start the Redfish server".to_owned(), detail };
    let authority =
        Authority::open_or_create(&lab.layout().bmc().join("authority")).map_err(|error| failed(error.to_string()))?;
    let name = ServerName::IpAddress(std::net::IpAddr::V4(layout::FABRIC).into());
    let certificate = authority.issue_server(&[name]).map_err(|error| failed(error.to_string()))?;
    let config = https_config(certificate).map_err(|error| failed(error.to_string()))?;
    let password = SecretFile::read(&password_file(lab.layout())).map_err(|error| failed(error.to_string()))?;
    let authorization = Arc::new(basic_auth(USER, &password));
    let address = SocketAddr::from((layout::FABRIC, layout::REDFISH_PORT));
    let listener = TcpListener::bind(address).await.map_err(LabError::system(format!("listen on {address}")))?;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (lab, config, authorization) = (Arc::clone(&lab), Arc::clone(&config), Arc::clone(&authorization));
        tokio::spawn(async move {
            let Ok(accepted) = accept(stream, &config, HANDSHAKE).await else { return };
            let answer = service_fn(|request| {
                let (lab, authorization) = (Arc::clone(&lab), Arc::clone(&authorization));
                async move {
                    let authorized = request.headers().get(AUTHORIZATION) == Some(authorization.as_ref());
                    Ok::<_, Infallible>(answer(&lab, authorized, request).await)
                }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEADERS);
            // A client that goes away is its own affair.
            let _ = server.serve_connection(TokioIo::new(accepted.stream), answer).await;
        });
    }
}

type Answer = Response<Full<Bytes>>;

fn reply(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, "application/json".parse().expect("a constant header"));
    answer
}

fn refuse(status: StatusCode, message: &str) -> Answer {
    reply(status, &json!({ "error": { "code": "Base.1.0.GeneralError", "message": message } }))
}

async fn answer(lab: &Arc<Lab>, authorized: bool, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().trim_end_matches('/').to_owned();
    if path == "/redfish/v1" {
        let systems = json!({ "@odata.id": "/redfish/v1/Systems" });
        return reply(
            StatusCode::OK,
            &json!({ "@odata.id": "/redfish/v1/", "RedfishVersion": "1.6.0", "Systems": systems }),
        );
    }
    if !authorized {
        let mut answer = refuse(StatusCode::UNAUTHORIZED, "user and password are needed");
        answer.headers_mut().insert(WWW_AUTHENTICATE, "Basic realm=\"lab\"".parse().expect("a constant header"));
        return answer;
    }
    if let Some(host) = path.strip_prefix("/redfish/v1/Chassis/").and_then(|rest| rest.strip_suffix("/Thermal")) {
        return thermal(host);
    }
    let Some(rest) = path.strip_prefix("/redfish/v1/Systems") else {
        return refuse(StatusCode::NOT_FOUND, "there is nothing here");
    };
    if rest.is_empty() {
        let members: Vec<Value> =
            lab.hosts().iter().map(|host| json!({ "@odata.id": format!("/redfish/v1/Systems/{host}") })).collect();
        return reply(StatusCode::OK, &json!({ "Members@odata.count": members.len(), "Members": members }));
    }
    let (name, action) = rest[1..].split_once('/').unwrap_or((&rest[1..], ""));
    let Some(host) = lab.hosts().iter().find(|host| host.as_str() == name).cloned() else {
        return refuse(StatusCode::NOT_FOUND, "there is no such system");
    };
    if deaf_file(lab.layout(), &host).exists() {
        time::sleep(DEAF).await;
        return refuse(StatusCode::GATEWAY_TIMEOUT, "deaf");
    }
    match (request.method(), action) {
        (&Method::GET, "") => system(lab, host).await,
        (&Method::POST, "Actions/ComputerSystem.Reset") => reset(lab, host, request.into_body()).await,
        _ => refuse(StatusCode::METHOD_NOT_ALLOWED, "that cannot be done here"),
    }
}

async fn system(lab: &Arc<Lab>, host: HostName) -> Answer {
    let (looking, name) = (Arc::clone(lab), host.clone());
    match blocking(move || looking.has_power(&name)).await {
        Ok(on) => reply(StatusCode::OK, &resource(&host, if on { "On" } else { "Off" })),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// A chassis that is well.
fn thermal(host: &str) -> Answer {
    let well = json!({ "Health": "OK", "State": "Enabled" });
    reply(
        StatusCode::OK,
        &json!({
            "@odata.id": format!("/redfish/v1/Chassis/{host}/Thermal"),
            "@odata.type": "#Thermal.v1_7_0.Thermal",
            "Temperatures": [
                { "Name": "Inlet", "ReadingCelsius": 24, "UpperThresholdCritical": 47, "Status": well },
                { "Name": "CPU1", "ReadingCelsius": 58, "UpperThresholdCritical": 95, "Status": well },
            ],
            "Fans": [{ "Name": "Fan1", "Reading": 5400, "LowerThresholdCritical": 600, "Status": well }],
        }),
    )
}

fn resource(host: &HostName, power: &str) -> Value {
    let path = format!("/redfish/v1/Systems/{host}");
    let reset = json!({
        "target": format!("{path}/Actions/ComputerSystem.Reset"),
        "ResetType@Redfish.AllowableValues": ["On", "ForceOff", "ForceRestart"],
    });
    json!({
        "@odata.id": path,
        "@odata.type": "#ComputerSystem.v1_13_0.ComputerSystem",
        "Id": host,
        "Name": host,
        "PowerState": power,
        "Links": { "Chassis": [{ "@odata.id": format!("/redfish/v1/Chassis/{host}") }] },
        "Actions": { "#ComputerSystem.Reset": reset },
    })
}

async fn reset(lab: &Arc<Lab>, host: HostName, body: Incoming) -> Answer {
    let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
        return refuse(StatusCode::BAD_REQUEST, "the body is broken or too long");
    };
    let order: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    let kind = order.get("ResetType").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !matches!(kind.as_str(), "On" | "ForceOff" | "ForceRestart") {
        return refuse(StatusCode::BAD_REQUEST, "ResetType must be On, ForceOff or ForceRestart");
    }
    let lab = Arc::clone(lab);
    let done = blocking(move || {
        if kind != "On" {
            lab.power_off(&host)?;
        }
        if kind != "ForceOff" {
            lab.power_on(&host)?;
        }
        Ok(())
    });
    match done.await {
        Ok(()) => {
            let mut answer = Response::new(Full::default());
            *answer.status_mut() = StatusCode::NO_CONTENT;
            answer
        }
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LabError> + Send + 'static,
) -> Result<T, LabError> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|panic| {
        Err(LabError::Program { operation: "switch the power".to_owned(), detail: panic.to_string() })
    })
}
