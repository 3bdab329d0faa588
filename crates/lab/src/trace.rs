//! One trace of a lab: the world's facts from the watcher, everything else from the controller.

use std::fs;

use lifeboat_model::{
    Time,
    trace::{Source, TraceEvent, What},
};

use crate::{Lab, LabError};

/// How far apart the watcher's and the controller's word of one VM's end may be.
const SAME_END_S: f64 = 5.0;

impl Lab {
    /// What the watcher has written: hosts going up and down, VMs' processes beginning and ending, crashes of the controller.
    ///
    /// # Errors
    /// [`LabError`] when the file cannot be read or has something else in it.
    pub fn world(&self) -> Result<Vec<TraceEvent>, LabError> {
        let path = self.layout.world_trace();
        let text = fs::read_to_string(&path).map_err(LabError::system(format!("read {}", path.display())))?;
        // A last line without its end is just being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        read(whole, &path.display().to_string())
    }

    /// One trace of the lab in `lifeboat/trace/v1`: the world's facts, with the controller's trace (as `lifeboat trace`
    /// prints it) for what only the controller knows.
    ///
    /// # Errors
    /// [`LabError`] when either trace cannot be read.
    pub fn trace(&self, controller: &str) -> Result<Vec<TraceEvent>, LabError> {
        Ok(merge(self.world()?, read(controller, "the controller's trace")?))
    }
}

/// A trace as newline-delimited JSON.
#[must_use]
pub fn to_text(events: &[TraceEvent]) -> String {
    let line = |event| serde_json::to_string(event).expect("an event is plain values") + "\n";
    events.iter().map(line).collect()
}

fn read(text: &str, origin: &str) -> Result<Vec<TraceEvent>, LabError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            serde_json::from_str(line).map_err(|error| LabError::Program {
                operation: format!("read line {} of {origin}", at + 1),
                detail: error.to_string(),
            })
        })
        .collect()
}

/// Puts the two together in order of time.
fn merge(world: Vec<TraceEvent>, controller: Vec<TraceEvent>) -> Vec<TraceEvent> {
    let meant: Vec<TraceEvent> = controller.iter().filter(|event| event.what == What::VmStopped).cloned().collect();
    let fact = |event: &TraceEvent| {
        matches!(
            event.what,
            What::TraceStarted { .. }
                | What::VmStarted
                | What::VmStopped
                | What::VmKilled
                | What::HostDown
                | What::HostUp
                | What::ControllerCrashed
        )
    };
    let told = controller.into_iter().filter(|event| !fact(event));
    let seen = world.into_iter().filter(|event| !matches!(event.what, What::TraceStarted { .. })).map(|mut event| {
        let same =
            |stop: &TraceEvent| stop.vm == event.vm && stop.host == event.host && (stop.t - event.t).abs() < SAME_END_S;
        if event.what == What::VmKilled && meant.iter().any(same) {
            event.what = What::VmStopped;
        }
        event
    });
    let mut all: Vec<TraceEvent> = seen.chain(told).collect();
    all.sort_by(|one, other| one.t.total_cmp(&other.t));
    let mut first = TraceEvent::new(Time::default(), What::TraceStarted { source: Source::Lab });
    first.t = all.first().map_or(0.0, |event| event.t);
    all.insert(0, first);
    all
}

#[cfg(test)]
mod tests {
    use lifeboat_model::{HostName, VmName};

    use super::*;

    fn at(seconds: u64, what: What) -> TraceEvent {
        let host = HostName::new("h1").expect("name");
        TraceEvent::new(Time::from_micros(seconds * 1_000_000), what)
            .host(&host)
            .vm(&VmName::new("vm-1").expect("name"))
    }

    #[test]
    fn the_world_has_the_word_on_what_runs_and_the_controller_on_the_rest() {
        let world = vec![
            at(0, What::TraceStarted { source: Source::Lab }),
            at(1, What::VmStarted),
            at(20, What::VmKilled),
            at(40, What::VmKilled),
        ];
        let controller = vec![
            at(0, What::TraceStarted { source: Source::Controller }),
            at(2, What::VmStarted),
            at(3, What::VmReady),
            at(21, What::VmStopped),
        ];
        let merged: Vec<(u64, What)> = merge(world, controller).into_iter().map(|e| (e.t as u64, e.what)).collect();
        let expected = [
            (1, What::TraceStarted { source: Source::Lab }),
            (1, What::VmStarted),
            (3, What::VmReady),
            (20, What::VmStopped),
            (40, What::VmKilled),
        ];
        assert_eq!(merged, expected);
    }
}
