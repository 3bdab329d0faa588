//! What the daemons share: their log, and the signals that end them.

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::failure::{Exit, Failure, Outcome};

/// Logs to standard error what `LIFEBOAT_LOG` asks for (`info` unless set), in colour only on a terminal.
pub fn log() -> Outcome {
    let wanted = std::env::var("LIFEBOAT_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::try_new(&wanted).map_err(|error| {
        Failure::new(Exit::BadInput, format!("LIFEBOAT_LOG is `{wanted}`: {error}"))
            .advice("write `info`, `debug`, or `lifeboat_controller=debug,info`")
    })?;
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal).init();
    Ok(())
}

/// Ready when the process is asked to end.
pub async fn asked_to_end() {
    let signals = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
    // Without signals the process can still be killed, and loses nothing by it.
    let Ok((mut terminate, mut interrupt)) = signals else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
