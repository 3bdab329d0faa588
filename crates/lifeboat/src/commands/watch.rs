//! Following what changes: asked again twice a second, shown in place on a terminal and line by line elsewhere.
//!
//! A controller that goes away in the middle (it may itself be on a host that failed) is asked on for a minute.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lifeboat_client::{
    Client, ClientError,
    api::{RecoveryView, StatusView},
};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    context::Context,
    failure::Outcome,
    render::{progress, recovery, status},
};

const EVERY: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again; bears with a controller that is away for a while.
struct Asking {
    ticks: tokio::time::Interval,
    lost: Option<Instant>,
}

impl Asking {
    fn new() -> Self {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, lost: None }
    }

    /// The answer at the next tick; none while the controller is away. `before` says whether it was ever there.
    async fn next<T>(&mut self, ask: impl Future<Output = Result<T, ClientError>>, before: bool) -> Outcome<Option<T>> {
        self.ticks.tick().await;
        match ask.await {
            Ok(answer) => {
                self.lost = None;
                Ok(Some(answer))
            }
            Err(error) if before && error.is_unreachable() => {
                let since = *self.lost.get_or_insert_with(Instant::now);
                if since.elapsed() < PATIENCE { Ok(None) } else { Err(error.into()) }
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Text that is drawn over what was drawn before.
struct Screen(ProgressBar);

impl Screen {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
        let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(bar.with_style(style))
    }

    fn draw(&self, text: &str) {
        self.0.set_message(text.trim_end().to_owned());
        self.0.force_draw();
    }

    /// Takes it away, for what follows.
    fn clear(self) {
        self.0.finish_and_clear();
    }
}

/// Shows a recovery until it has ended; its last view.
pub async fn recovery(context: &Context, client: &Client, id: u64) -> Outcome<RecoveryView> {
    let mut asking = Asking::new();
    let screen = (context.terminal && !context.json()).then(Screen::new);
    let mut last: Option<RecoveryView> = None;
    loop {
        let Some(view) = asking.next(client.recovery(id), last.is_some()).await? else { continue };
        let ended = view.row.state.has_ended();
        match &screen {
            Some(screen) => screen.draw(&recovery::block(&view.row, view.now_us, &context.look)),
            None if context.json() => {}
            None => {
                for line in progress::changes(last.as_ref(), &view, &context.look) {
                    context.print(&format!("{line}\n"))?;
                }
            }
        }
        if ended {
            if let Some(screen) = screen {
                screen.clear();
            } else if !context.json() {
                context.print("\n")?;
            }
            return Ok(view);
        }
        last = Some(view);
    }
}

/// The recoveries that run now, oldest first; with `wait`, as soon as there is one.
pub async fn running(client: &Client, wait: bool) -> Outcome<Vec<u64>> {
    let mut asking = Asking::new();
    let mut before = false;
    loop {
        let Some(view) = asking.next(client.status(), before).await? else { continue };
        before = true;
        let running: Vec<u64> = view.recoveries.iter().map(|row| row.id).collect();
        if !wait || !running.is_empty() {
            return Ok(running);
        }
    }
}

/// Shows the status until the recoveries that run have ended; the last view. Without any it goes on until it is stopped.
pub async fn status(context: &Context, client: &Client) -> Outcome<StatusView> {
    let mut asking = Asking::new();
    let screen = (context.terminal && !context.json()).then(Screen::new);
    let mut said = None;
    let mut recovered = false;
    loop {
        let Some(view) = asking.next(client.status(), said.is_some()).await? else { continue };
        recovered |= !view.recoveries.is_empty();
        match &screen {
            Some(screen) => screen.draw(&status::screen(&view, &context.look)),
            None => {
                let now = (view.overall, view.recoveries.len());
                if said.replace(now) != Some(now) && !context.json() {
                    context.print(&status::headline(&view, &context.look))?;
                }
            }
        }
        said.get_or_insert((view.overall, view.recoveries.len()));
        if recovered && view.recoveries.is_empty() {
            if let Some(screen) = screen {
                screen.clear();
            }
            return Ok(view);
        }
    }
}
