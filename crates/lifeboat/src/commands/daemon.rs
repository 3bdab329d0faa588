//! What the daemons share: their log, and the signals that end them.

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::failure::{Exit, Failure, Outcome};

/// Open files below which a fleet of some thousand hosts would find no connection.
const FEW_FILES: u64 = 16_384;

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

/// Lets this process have as many files open as it may: a connection for each host of a large fleet is more than the usual
/// 1,024. Tells how many those are when they are few.
pub fn open_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where that is refused, what was allowed is still allowed.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if let Some(most) = limit.maximum.filter(|most| *most < FEW_FILES) {
        tracing::warn!("at most {most} files may be open: too few for many hosts; raise LimitNOFILE of the service");
    }
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

#[cfg(test)]
mod tests {
    use rustix::process::{Resource, getrlimit, setrlimit};

    #[test]
    fn a_daemon_may_open_as_many_files_as_the_system_lets_it() {
        let mut fewer = getrlimit(Resource::Nofile);
        fewer.current = fewer.maximum.map_or(Some(4096), |most| Some(most - 1));
        setrlimit(Resource::Nofile, fewer).expect("a lower limit is always allowed");
        super::open_many_files();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
