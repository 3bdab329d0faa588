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
    sync::{Semaphore, oneshot, watch},
    task::spawn_blocking,
    time::timeout,
};

use crate::{api, join, links, links::Links, memory, run::chain};

/// Time that a peer has for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Handshakes under way at once.
const HANDSHAKES: usize = 256;
/// What the thread of the links sleeps for before it looks for more to do, where there are many.
const NAP: Duration = Duration::from_millis(2);
/// A storm of handshakes leaves much memory unused, which is given back when there was none for so long
const CALM: Duration = Duration::from_secs(2);
/// after at least so many: a hundredth of what a large pod has.
const STORM: u64 = 100;
/// Joins under way at once. Who joins has shown nothing yet, and must not take the room of agents: more are sent away.
const JOINS: usize = 32;
/// Requests of operators under way at once, over both doors.
const REQUESTS: usize = 256;

/// What the TLS port needs.
pub(crate) struct AgentPort {
    /// Its configuration.
    pub(crate) tls: Arc<rustls::ServerConfig>,
    /// Who joins, and what the engine is told.
    pub(crate) service: api::Service,
    /// The links of agents.
    pub(crate) links: Links,
    /// The API.
    pub(crate) router: Router,
}

/// Serves the TLS port on a thread of its own, until that is no longer awaited. 10,000 links wake somebody 20,000 times a
/// second, for some microseconds each: among several threads most of that time goes by in waking one another.
///
/// # Errors
/// What the system says when there is no thread to be had, or the socket cannot be handed over.
pub(crate) fn serve_agents(listener: TcpListener, port: AgentPort) -> std::io::Result<impl Future<Output = ()>> {
    let listener = listener.into_std()?;
    let links = port.links.clone();
    // With many links there is always one that has something to say soon: it is worth waiting for.
    let nap = move || {
        if links.are_many() {
            std::thread::sleep(NAP)
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().on_thread_park(nap).build()?;
    let main = tokio::runtime::Handle::current();
    let (wanted, unwanted) = oneshot::channel::<()>();
    let (serves, ended) = oneshot::channel::<()>();
    let work = async move {
        let _serves = serves;
        match TcpListener::from_std(listener) {
            Ok(listener) => tokio::select! {
                () = accept_all(listener, port, main) => {}
                _ = unwanted => {}
            },
            Err(error) => tracing::error!("the TLS port cannot be served: {error}"),
        }
    };
    std::thread::Builder::new().name("links".to_owned()).spawn(move || runtime.block_on(work))?;
    Ok(async move {
        // Kept until then: it goes with whoever awaits this.
        let _wanted = wanted;
        // Nothing is ever sent.
        let _ = ended.await;
    })
}

/// Takes connections for ever. Operators are served by the runtime `main`, since their answers may be large.
async fn accept_all(listener: TcpListener, port: AgentPort, main: tokio::runtime::Handle) {
    let AgentPort { tls, service, links, router } = port;
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    let joins = Arc::new(Semaphore::new(JOINS));
    let (done, counted) = watch::channel(0_u64);
    tokio::spawn(give_back_after_storms(counted));
    tokio::spawn(links.clone().pass_on());
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Some(stream) = accepted(listener.accept().await.map(|(stream, _)| stream)).await else { continue };
        let (tls, service, links, router) = (Arc::clone(&tls), service.clone(), links.clone(), router.clone());
        let (joins, done, main) = (Arc::clone(&joins), done.clone(), main.clone());
        tokio::spawn(async move {
            if let Err(error) = tune_tcp(&stream) {
                tracing::debug!("a connection could not be tuned: {error}");
            }
            match tls::accept(stream, &tls, HANDSHAKE).await {
                Ok(accepted) => {
                    drop(place);
                    done.send_modify(|count| *count += 1);
                    dispatch(accepted, &service, links, &joins, router, &main).await;
                }
                Err(error) => tracing::info!("a connection was refused: {}", chain(&error)),
            }
        });
    }
}

/// Gives memory back whenever many handshakes were done and no more come, until nobody counts them any longer.
async fn give_back_after_storms(mut handshakes: watch::Receiver<u64>) {
    let mut before = 0;
    while handshakes.changed().await.is_ok() {
        while timeout(CALM, handshakes.changed()).await.is_ok_and(|more| more.is_ok()) {}
        let now = *handshakes.borrow();
        if now - before >= STORM {
            // Waited for, so that a second one never stands behind the first.
            let _ = spawn_blocking(memory::give_back).await;
        }
        before = now;
    }
}

async fn dispatch(
    accepted: tls::Accepted<TcpStream>,
    service: &api::Service,
    links: Links,
    joins: &Semaphore,
    router: Router,
    main: &tokio::runtime::Handle,
) {
    match accepted.protocol {
        Protocol::Agent => match links::host_of(accepted.peer) {
            Ok(host) => {
                let from = accepted.stream.get_ref().0.peer_addr().ok().map(|address| address.ip());
                // A task of its own: this one is as large as the largest that a peer may ask for, and links last.
                tokio::spawn(links.serve(service.handle.clone(), accepted.stream, host, from));
            }
            Err(why) => tracing::warn!("{why}"),
        },
        Protocol::Join => match joins.try_acquire() {
            Ok(_place) => join::serve(accepted.stream, service).await,
            Err(_) => tracing::warn!("{JOINS} joins are under way; another one was sent away"),
        },
        Protocol::Http => match accepted.peer {
            Some(Identity::Operator(_)) => drop(main.spawn(serve_http(accepted.stream, router))),
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
