//! Records before effects: what the brain wants done waits here until what it wants remembered is on the disk.
//!
//! A thread of its own writes; outputs that come meanwhile wait for the next write, together. Only heartbeats and answers
//! to probes do not wait, so that a slow disk alone makes nobody believe that the host is dead. While the disk cannot be
//! written at all the write is tried again and again, and nothing is obeyed.

use std::{collections::VecDeque, time::Duration};

use lifeboat_brain::host::{HostEffect, HostMemory, HostOutput, HostRecord};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until, timeout},
};
use tracing::{error, info};

use crate::{
    error::chain,
    records::{RecordFile, RecordsError},
    report::Trouble,
};

/// How long after a failed write the next is tried.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// A write that has ended.
#[derive(Debug)]
pub(crate) struct Written {
    file: RecordFile,
    records: Vec<HostRecord>,
    result: Result<(), RecordsError>,
}

#[derive(Debug)]
enum Writer {
    Idle(RecordFile),
    Writing(JoinHandle<Written>),
    /// Between a failed write and the next.
    Waiting(RecordFile, Instant),
    /// Only while the state changes.
    Gone,
}

/// The records and what waits for them.
#[derive(Debug)]
pub(crate) struct Journal {
    writer: Writer,
    /// Waits for the write that runs.
    held: VecDeque<HostEffect>,
    /// What the next write is for, and what waits for that.
    unwritten: Vec<HostRecord>,
    behind: VecDeque<HostEffect>,
    trouble: Trouble,
}

impl Journal {
    pub(crate) fn new(file: RecordFile) -> Self {
        Self {
            writer: Writer::Idle(file),
            held: VecDeque::new(),
            unwritten: Vec::new(),
            behind: VecDeque::new(),
            trouble: Trouble::default(),
        }
    }

    /// How many effects wait.
    pub(crate) fn waiting(&self) -> usize {
        self.held.len() + self.behind.len()
    }

    /// Takes in an output of the brain whose memory is given. Gives the effects that may be carried out now.
    pub(crate) fn take_in(&mut self, output: HostOutput, memory: &HostMemory) -> Vec<HostEffect> {
        let HostOutput { writes, effects } = output;
        if writes.is_empty() && matches!(self.writer, Writer::Idle(_)) {
            return effects;
        }
        let (urgent, patient): (Vec<_>, Vec<_>) = effects.into_iter().partition(HostEffect::is_urgent);
        self.unwritten.extend(writes);
        self.behind.extend(patient);
        if let Writer::Idle(_) = self.writer {
            self.begin(memory);
        }
        urgent
    }

    /// Waits for the end of what the writer does; for ever when it is idle. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Option<Written> {
        match &mut self.writer {
            Writer::Writing(task) => Some(task.await.expect("writing records does not panic")),
            Writer::Waiting(_, until) => {
                sleep_until(*until).await;
                None
            }
            Writer::Idle(_) | Writer::Gone => std::future::pending().await,
        }
    }

    /// Goes on after [`next`](Self::next). Gives the effects that may be carried out now.
    pub(crate) fn go_on(&mut self, written: Option<Written>, memory: &HostMemory) -> Vec<HostEffect> {
        let Some(Written { file, records, result }) = written else {
            if let Writer::Waiting(file, _) = std::mem::replace(&mut self.writer, Writer::Gone) {
                self.writer = Writer::Idle(file);
                self.begin(memory);
            }
            return Vec::new();
        };
        if let Err(failure) = result {
            self.failed(file, records, &failure);
            return Vec::new();
        }
        if self.trouble.is_on() {
            info!("what is obeyed can be written again");
            self.trouble.over();
        }
        let mut free: Vec<HostEffect> = self.held.drain(..).collect();
        self.writer = Writer::Idle(file);
        if self.unwritten.is_empty() {
            free.extend(self.behind.drain(..));
        } else {
            self.begin(memory);
        }
        free
    }

    fn failed(&mut self, file: RecordFile, records: Vec<HostRecord>, failure: &RecordsError) {
        let text = chain(failure);
        if let Some(times) = self.trouble.met(&text, std::time::Instant::now()) {
            error!(times, "this host obeys no command until what it obeys can be written, trying on: {text}");
        }
        let later = std::mem::replace(&mut self.unwritten, records);
        self.unwritten.extend(later);
        let later = std::mem::replace(&mut self.behind, std::mem::take(&mut self.held));
        self.behind.extend(later);
        self.writer = Writer::Waiting(file, Instant::now() + WRITE_AGAIN);
    }

    /// Begins to write all that is unwritten.
    fn begin(&mut self, memory: &HostMemory) {
        let Writer::Idle(mut file) = std::mem::replace(&mut self.writer, Writer::Gone) else { return };
        self.held.append(&mut self.behind);
        let records = std::mem::take(&mut self.unwritten);
        // The brain's memory holds all that is unwritten, too.
        let anew = file.is_wasteful(memory.record_count()).then(|| memory.clone());
        self.writer = Writer::Writing(spawn_blocking(move || {
            let result = match anew {
                Some(memory) => file.rewrite(&memory),
                None => file.append(&records),
            };
            Written { file, records, result }
        }));
    }

    /// Lets a write that runs end. What waits for it is not carried out: that is as if the agent had ended before.
    pub(crate) async fn end(mut self, limit: Duration) {
        if let Writer::Writing(_) = self.writer {
            let _ = timeout(limit, self.next()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_brain::{host::LinkId, message::FromAgent};
    use lifeboat_model::Epoch;

    use super::*;

    fn say(message: FromAgent) -> HostEffect {
        HostEffect::Send { link: LinkId(1), message }
    }

    fn patient(number: u64) -> HostEffect {
        HostEffect::Connect { link: LinkId(number), controller: 0 }
    }

    fn output(epoch: Option<u64>, effects: Vec<HostEffect>) -> HostOutput {
        let writes = epoch.map(|epoch| HostRecord::Epoch { epoch: Epoch(epoch) }).into_iter().collect();
        HostOutput { writes, effects }
    }

    #[tokio::test]
    async fn effects_wait_in_order_for_their_records_but_heartbeats_do_not() {
        let dir = tempfile::tempdir().expect("dir");
        let (file, _) = RecordFile::open(dir.path()).expect("opened");
        let (mut journal, memory) = (Journal::new(file), HostMemory::default());
        assert_eq!(journal.take_in(output(None, vec![patient(1)]), &memory), [patient(1)]);

        assert_eq!(journal.take_in(output(Some(1), vec![patient(2)]), &memory), []);
        let beat = say(FromAgent::Heartbeat { sequence: 1, pledge: Default::default() });
        assert_eq!(journal.take_in(output(None, vec![patient(3), beat.clone()]), &memory), [beat]);
        assert_eq!(journal.take_in(output(Some(2), vec![patient(4)]), &memory), []);
        assert_eq!(journal.waiting(), 3);
        let written = journal.next().await;
        assert_eq!(journal.go_on(written, &memory), [patient(2)]);
        let written = journal.next().await;
        assert_eq!(journal.go_on(written, &memory), [patient(3), patient(4)]);
        let (_, records) = RecordFile::open(dir.path()).expect("opened");
        assert_eq!(HostMemory::of(records).epoch(), Epoch(2));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_done_while_the_disk_cannot_be_written_and_all_of_it_afterwards() {
        let dir = tempfile::tempdir().expect("dir");
        let (file, _) = RecordFile::open(dir.path()).expect("opened");
        let (mut journal, memory) = (Journal::new(file.into_full()), HostMemory::default());
        assert_eq!(journal.take_in(output(Some(1), vec![patient(1)]), &memory), []);
        for _ in 0..3 {
            let written = journal.next().await;
            assert_eq!(journal.go_on(written, &memory), []);
        }
        assert_eq!(journal.take_in(output(Some(2), vec![patient(2)]), &memory), []);
        let (file, _) = RecordFile::open(dir.path()).expect("opened");
        journal.replace_file(file);
        let mut done = Vec::new();
        while done.len() < 2 {
            let written = journal.next().await;
            done.extend(journal.go_on(written, &memory));
        }
        assert_eq!(done, [patient(1), patient(2)]);
        let (_, records) = RecordFile::open(dir.path()).expect("opened");
        assert_eq!(records, [1, 2].map(|epoch| HostRecord::Epoch { epoch: Epoch(epoch) }));
    }

    impl Journal {
        fn replace_file(&mut self, file: RecordFile) {
            let until = Instant::now() + WRITE_AGAIN;
            assert!(matches!(std::mem::replace(&mut self.writer, Writer::Waiting(file, until)), Writer::Waiting(..)));
        }
    }
}
