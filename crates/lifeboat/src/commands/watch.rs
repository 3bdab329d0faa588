//! Following what changes: asked again twice a second, shown in place on a terminal and line by line elsewhere.
//!
//! A controller that goes away in the middle (it may itself be on a host that failed) is asked on for a minute.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
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

/// Lines of text that are drawn over each other.
struct Screen {
    screen: MultiProgress,
    lines: Vec<ProgressBar>,
}

impl Screen {
    fn new() -> Self {
        Self { screen: MultiProgress::with_draw_target(ProgressDrawTarget::stdout()), lines: Vec::new() }
    }

    fn draw(&mut self, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        while self.lines.len() < lines.len() {
            let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            self.lines.push(self.screen.add(ProgressBar::new_spinner().with_style(style)));
        }
        for line in self.lines.drain(lines.len()..) {
            self.screen.remove(&line);
        }
        for (bar, line) in self.lines.iter().zip(lines) {
            bar.set_message(line.to_owned());
            bar.tick();
        }
    }

    /// Leaves what was drawn last where it is.
    fn keep(self) {
        for line in &self.lines {
            line.abandon();
        }
    }

    /// Takes it away, for what follows.
    fn clear(self) -> Outcome {
        // A terminal that has gone shows nothing anyhow.
        let _ = self.screen.clear();
        Ok(())
    }
}

/// Shows a recovery until it has ended; its last view.
pub async fn recovery(context: &Context, client: &Client, id: u64) -> Outcome<RecoveryView> {
    let mut asking = Asking::new();
    let mut screen = (context.terminal && !context.json()).then(Screen::new);
    let mut last: Option<RecoveryView> = None;
    loop {
        let Some(view) = asking.next(client.recovery(id), last.is_some()).await? else { continue };
        let ended = view.row.state.has_ended();
        match &mut screen {
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
                screen.clear()?;
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
    let mut screen = (context.terminal && !context.json()).then(Screen::new);
    let mut said = None;
    let mut recovered = false;
    loop {
        let Some(view) = asking.next(client.status(), said.is_some()).await? else { continue };
        recovered |= !view.recoveries.is_empty();
        match &mut screen {
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
                screen.keep();
            }
            return Ok(view);
        }
    }
}
