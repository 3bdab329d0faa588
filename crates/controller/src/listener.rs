//! Takes connections: agents, joining hosts and operators on one TLS port; operators on the Unix socket.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use lifeboat_transport::{
    Identity,
    connect::tune_tcp,
    tls::{self, Protocol},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener},
    sync::Semaphore,
};

use crate::{api, join, links, links::Links, run::chain};

/// Time that a peer has for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Handshakes under way at once.
const HANDSHAKES: usize = 256;
/// Joins under way at once. Who joins has shown nothing yet, and must not take the room of agents: more are sent away.
const JOINS: usize = 32;
/// Requests of operators under way at once, over both doors.
const REQUESTS: usize = 256;

/// Serves the TLS port for ever.
pub(crate) async fn serve_agents(
    listener: TcpListener,
    config: Arc<rustls::ServerConfig>,
    service: api::Service,
    links: Links,
    router: Router,
) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    let joins = Arc::new(Semaphore::new(JOINS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Some(stream) = accepted(listener.accept().await.map(|(stream, _)| stream)).await else { continue };
        let (config, service, links, router) = (Arc::clone(&config), service.clone(), links.clone(), router.clone());
        let joins = Arc::clone(&joins);
        tokio::spawn(async move {
            if let Err(error) = tune_tcp(&stream) {
                tracing::debug!("a connection could not be tuned: {error}");
            }
            match tls::accept(stream, &config, HANDSHAKE).await {
                Ok(accepted) => {
                    drop(place);
                    dispatch(accepted, &service, &links, &joins, router).await;
                }
                Err(error) => tracing::info!("a connection was refused: {}", chain(&error)),
            }
        });
    }
}

async fn dispatch(
    accepted: tls::Accepted<TcpStream>,
    service: &api::Service,
    links: &Links,
    joins: &Semaphore,
    router: Router,
) {
    match accepted.protocol {
        Protocol::Agent => match links::host_of(accepted.peer) {
            Ok(host) => {
                let from = accepted.stream.get_ref().0.peer_addr().ok().map(|address| address.ip());
                links.serve(&service.handle, accepted.stream, host, from).await;
            }
            Err(why) => tracing::warn!("{why}"),
        },
        Protocol::Join => match joins.try_acquire() {
            Ok(_place) => join::serve(accepted.stream, service).await,
            Err(_) => tracing::warn!("{JOINS} joins are under way; another one was sent away"),
        },
        Protocol::Http => match accepted.peer {
            Some(Identity::Operator(_)) => serve_http(accepted.stream, router).await,
            _ => tracing::warn!("a peer without an operator's certificate asked for the API; it is refused"),
        },
    }
}

/// Serves the Unix socket for ever: who may open it is an operator.
pub(crate) async fn serve_socket(listener: UnixListener, router: Router) {
    let places = Arc::new(Semaphore::new(REQUESTS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Some(stream) = accepted(listener.accept().await.map(|(stream, _)| stream)).await else { continue };
        let router = router.clone();
        tokio::spawn(async move {
            serve_http(stream, router).await;
            drop(place);
        });
    }
}

/// A taken connection; none after an error, with a pause, since the cause (too many open files) lasts.
async fn accepted<S>(result: std::io::Result<S>) -> Option<S> {
    match result {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::warn!("a connection could not be taken: {error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn serve_http<S>(stream: S, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::debug!("a request broke: {}", chain(&error));
    }
}
