//! What every notifier must do, shown on a receiver that can be seen from the other side.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use lifeboat_model::{
    Time,
    notice::{Alert, Notice, NoticeEvent, Severity},
};

use crate::{Notifier, NotifyError, Retry};

/// How a receiver behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It takes what comes.
    Takes,
    /// It takes connections and says nothing, or runs for ever.
    Hangs,
    /// It refuses what comes, for now.
    Refuses,
}

/// A receiver, seen from behind the notifier.
#[async_trait]
pub trait NotifyBench: Send + Sync {
    /// The notifier, with a time limit of about a second.
    fn notifier(&self) -> Arc<dyn Notifier>;

    /// Makes it behave so; whether it can.
    async fn set(&self, mood: Mood) -> bool;

    /// Everything that it has taken, decoded, each message as one text.
    async fn taken(&self) -> Vec<String>;
}

/// A notifier with a limit of a second that has not ended by then hangs itself.
const FOR_EVER: Duration = Duration::from_secs(60);

/// Drives a notifier through all that the contract of [`Notifier`] promises.
///
/// # Panics
/// When a promise is broken; the message says which.
pub async fn conforms(bench: &dyn NotifyBench) {
    what_is_taken_is_what_was_given(bench).await;
    messages_at_once_all_arrive(bench).await;
    a_receiver_that_hangs_is_an_error_that_may_pass(bench).await;
    a_receiver_that_refuses_for_now_is_an_error_that_may_pass(bench).await;
}

/// A message of an event, which is an alert that lasts too.
#[must_use]
pub fn notice(number: u64, text: &str) -> Notice {
    let since_us = Time::from_micros(1_764_072_271_000_000);
    let event = NoticeEvent {
        sequence: number,
        time_us: since_us,
        severity: Severity::Critical,
        text: text.to_owned(),
        host: None,
        vm: None,
        recovery: Some(7),
        trouble: Some("recovery r-7".to_owned()),
    };
    let alert = Alert {
        trouble: "recovery r-7".to_owned(),
        severity: Severity::Critical,
        text: text.to_owned(),
        host: None,
        vm: None,
        since_us,
        ended_us: None,
    };
    Notice {
        severity: Severity::Critical,
        subject: text.lines().next().unwrap_or_default().to_owned(),
        events: vec![event],
        left_out: 0,
        alerts: vec![alert],
    }
}

async fn deliver(bench: &dyn NotifyBench, notice: &Notice) -> Result<crate::Delivery, NotifyError> {
    let notifier = bench.notifier();
    let delivered = tokio_free_timeout(notifier.deliver(notice));
    delivered.await.expect("a notifier keeps to its time limit")
}

/// A time limit without a runtime of its own: the thread that counts is not waited for.
async fn tokio_free_timeout<T>(work: impl Future<Output = T>) -> Option<T> {
    use futures::{FutureExt as _, channel::oneshot, future::Either};
    let (late, is_late) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        std::thread::sleep(FOR_EVER);
        let _ = late.send(());
    });
    let work = std::pin::pin!(work.fuse());
    match futures::future::select(work, is_late).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

/// Whatever is in a text arrives unchanged.
///
/// # Panics
/// When it does not.
pub async fn what_is_taken_is_what_was_given(bench: &dyn NotifyBench) {
    let texts = [
        "h2 has failed: nothing heard from it for 3 s".to_owned(),
        ".a line that begins with a dot".to_owned(),
        "größer 🚑 \u{202e}\"quoted\" <b> & \\ %s $(id) `id`".to_owned(),
        "x".repeat(2000),
    ];
    for (number, text) in (1..).zip(&texts) {
        deliver(bench, &notice(number, text)).await.expect("it takes what comes");
    }
    let taken = bench.taken().await;
    for text in &texts {
        let times = taken.iter().filter(|taken| taken.contains(text.as_str())).count();
        assert_eq!(times, 1, "`{text}` is in one message, unchanged: {taken:?}");
    }
}

/// Calls may be made at once.
///
/// # Panics
/// When one of several is lost or fails.
pub async fn messages_at_once_all_arrive(bench: &dyn NotifyBench) {
    let notices: Vec<Notice> = (100..105).map(|number| notice(number, &format!("at once {number}"))).collect();
    let all = futures::future::join_all(notices.iter().map(|notice| deliver(bench, notice))).await;
    all.into_iter().for_each(|result| drop(result.expect("each of several at once is taken")));
    let taken = bench.taken().await;
    for number in 100..105 {
        let text = format!("at once {number}");
        assert!(taken.iter().any(|taken| taken.contains(&text)), "`{text}` has arrived: {taken:?}");
    }
}

/// No answer is an error within the time limit, and what comes later arrives again.
///
/// # Panics
/// When it is not.
pub async fn a_receiver_that_hangs_is_an_error_that_may_pass(bench: &dyn NotifyBench) {
    fails_and_goes_on(bench, Mood::Hangs, "after the hang").await;
}

/// A refusal that may pass is an error that says so.
///
/// # Panics
/// When it does not.
pub async fn a_receiver_that_refuses_for_now_is_an_error_that_may_pass(bench: &dyn NotifyBench) {
    fails_and_goes_on(bench, Mood::Refuses, "after the refusal").await;
}

async fn fails_and_goes_on(bench: &dyn NotifyBench, mood: Mood, after: &str) {
    if !bench.set(mood).await {
        return;
    }
    let error = deliver(bench, &notice(200, "is lost")).await.expect_err("it does not take it");
    bench.set(Mood::Takes).await;
    assert_eq!(error.retry, Retry::MayHelp, "it may take the next one: {error}");
    deliver(bench, &notice(201, after)).await.expect("it takes what comes again");
    assert!(bench.taken().await.iter().any(|taken| taken.contains(after)), "it has arrived");
}
