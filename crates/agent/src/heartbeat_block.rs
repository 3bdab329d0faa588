//! Beats in the host's slot of a heartbeat block, for as long as the agent's main loop turns and the storage takes them.

use std::time::Duration;

use lifeboat_drivers::heartbeat_block::{Beat, Block, BlockError, BlockSlot};
use lifeboat_model::HostName;
use lifeboat_transport::agent_look::LoopTurns;
use tokio::{
    sync::oneshot,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tracing::warn;

use crate::{error::chain, report::Trouble};

/// Between two beats: several within the time in which a silent host is judged.
const EVERY: Duration = Duration::from_millis(500);

/// Beats for ever. What stands in the way is told in the log, and tried again: storage that is away comes back.
pub(crate) async fn write(slot: BlockSlot, host: HostName, turns: LoopTurns) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut trouble = Trouble::default();
    let mut open: Option<Block> = None;
    let mut sequence = 0;
    loop {
        ticks.tick().await;
        let (turned, turns_now) = oneshot::channel();
        if turns.send(turned).await.is_err() {
            return;
        }
        // Without an answer the loop has ended.
        let Ok(epoch) = turns_now.await else { return };
        sequence += 1;
        let beat = Beat { host: host.clone(), epoch, sequence };
        let (block, place) = (open.take(), slot.clone());
        let written = spawn_blocking(move || once(block, &place, &beat)).await;
        match written {
            Ok(Ok(block)) => open = Some(block),
            Ok(Err(error)) => {
                let why = chain(&error);
                if let Some(times) = trouble.met(&why, std::time::Instant::now()) {
                    warn!(times, "no heartbeat in the heartbeat block, trying on: {why}");
                }
            }
            Err(error) => warn!("a heartbeat broke off: {error}"),
        }
    }
}

fn once(block: Option<Block>, slot: &BlockSlot, beat: &Beat) -> Result<Block, BlockError> {
    let block = block.map_or_else(|| Block::open_slot(slot, &beat.host), Ok)?;
    block.write(slot.slot, beat)?;
    Ok(block)
}

#[cfg(test)]
mod tests {
    use lifeboat_model::Epoch;
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_host_beats_as_long_as_its_main_loop_turns() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let slot = BlockSlot { path: file.path().to_owned(), slot: 1 };
        let host = HostName::new("h1").expect("a name");
        let (turns, mut asked) = mpsc::channel::<oneshot::Sender<Epoch>>(1);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(write(slot, host.clone(), turns));
        // Asked for the third time, it has written twice.
        for _ in 0..2 {
            asked.recv().await.expect("asked").send(Epoch(9)).expect("it waits for the answer");
        }
        let third = asked.recv().await.expect("asked");
        let block = Block::open(file.path()).expect("opens");
        let stands = block.read(1).expect("read");
        assert_eq!(stands, Some(Beat { host, epoch: Epoch(9), sequence: 2 }));
        drop(third);
        assert!(tasks.join_next().await.expect("one task").is_ok(), "it ends with the main loop");
    }
}
