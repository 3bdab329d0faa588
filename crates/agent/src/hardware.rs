//! Looks at the host's hardware every few minutes, in a task of its own.

use std::time::Duration;

use lifeboat_drivers::hardware::{self, HardwareConfig, diagnostic::Diagnostic};
use lifeboat_model::hardware::{HardwareReading, HardwareSource};
use tokio::{sync::mpsc, task::JoinSet, time::sleep};

/// The first look comes soon, so that a host that has just joined shows what it has.
const FIRST: Duration = Duration::from_secs(5);

/// Begins to look; what is read comes out of the channel. Ends with the tasks.
pub(crate) fn begin(config: HardwareConfig, tasks: &mut JoinSet<()>) -> mpsc::Receiver<Vec<HardwareReading>> {
    let (sender, readings) = mpsc::channel(1);
    if config.every_s > 0 {
        tasks.spawn(look(config, sender));
    }
    readings
}

async fn look(config: HardwareConfig, sender: mpsc::Sender<Vec<HardwareReading>>) {
    let every = Duration::from_secs(config.every_s);
    let diagnostic = config.diagnostic.then(Diagnostic::start).flatten();
    sleep(FIRST.min(every)).await;
    loop {
        let mut readings = hardware::read(&config).await;
        readings.insert(
            0,
            match &diagnostic {
                Some(diagnostic) => diagnostic.reading(),
                None if config.diagnostic => {
                    HardwareReading::absent(HardwareSource::Diagnostic, "the system gave no thread for it")
                }
                None => {
                    HardwareReading::absent(HardwareSource::Diagnostic, "it is switched off in the agent's settings")
                }
            },
        );
        if sender.send(readings).await.is_err() {
            return;
        }
        sleep(every).await;
    }
}
