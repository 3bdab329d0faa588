//! Feels the hypervisor's pulse: whether it says what runs, every few seconds, in a task of its own.

use std::{future::Future, sync::Arc, time::Duration};

use lifeboat_ports::Hypervisor;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{error::chain, operations::LIST_LIMIT};

/// Between two questions.
const EVERY: Duration = Duration::from_secs(10);

/// Begins; what comes out of the channel is why it does not answer, or none when it does again. The first answer, if it is
/// one, is no news.
pub(crate) fn begin(hypervisor: Arc<dyn Hypervisor>, tasks: &mut JoinSet<()>) -> mpsc::Receiver<Option<String>> {
    let (sender, changes) = mpsc::channel(1);
    let list = move || {
        let hypervisor = Arc::clone(&hypervisor);
        async move { hypervisor.list().await.map(drop).map_err(|error| chain(&error)) }
    };
    tasks.spawn(feel(list, sender));
    changes
}

async fn feel<F>(list: impl Fn() -> F, sender: mpsc::Sender<Option<String>>)
where
    F: Future<Output = Result<(), String>>,
{
    let mut answered = true;
    loop {
        sleep(EVERY).await;
        let problem = match timeout(LIST_LIMIT, list()).await {
            Ok(answer) => answer.err(),
            Err(_) => Some(format!("no answer within {} s", LIST_LIMIT.as_secs())),
        };
        if problem.is_none() != answered {
            answered = problem.is_none();
            if sender.send(problem).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_changes_are_told_and_one_that_never_answers_is_given_up() {
        let (set, state) = watch::channel(Ok::<(), String>(()));
        let (sender, mut changes) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        let list = move || {
            let now = state.borrow().clone();
            async move {
                match now {
                    Err(text) if text == "hang" => std::future::pending().await,
                    now => now,
                }
            }
        };
        tasks.spawn(feel(list, sender));
        assert!(timeout(EVERY * 10, changes.recv()).await.is_err(), "it answers: no news");
        drop(set.send_replace(Err("hang".to_owned())));
        assert_eq!(changes.recv().await, Some(Some("no answer within 10 s".to_owned())));
        drop(set.send_replace(Err("it is on fire".to_owned())));
        assert!(timeout(EVERY * 10, changes.recv()).await.is_err(), "it still does not answer: no news");
        drop(set.send_replace(Ok(())));
        assert_eq!(changes.recv().await, Some(None));
    }
}
