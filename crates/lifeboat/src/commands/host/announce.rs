//! `lifeboat host announce`: speaks to the agent of this host.

use std::path::Path;

use lifeboat_model::Seconds;
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    time::timeout,
};

use crate::{
    context::Context,
    failure::{Exit, Failure, Outcome},
};

/// What came of an announcement.
#[derive(Serialize)]
struct Announced<'a> {
    going: &'a str,
    may_go: bool,
}

/// Says a word to the agent and waits until the host may go.
pub async fn run(context: &Context, agent: &Path, word: &str, wait: Seconds) -> Outcome {
    let said = async {
        let stream = UnixStream::connect(agent).await?;
        let (read, mut write) = stream.into_split();
        write.write_all(format!("{word}\n").as_bytes()).await?;
        let mut lines = BufReader::new(read).lines();
        let noted = lines.next_line().await?;
        Ok::<_, std::io::Error>((lines, write, noted))
    };
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Unreachable, format!("the agent does not answer at {}: {error}", agent.display()))
            .advice("see whether lifeboat-agent runs here, and run this as its user")
    };
    let late = || Failure::new(Exit::Failed, format!("the host was not let go within {wait}; nothing was called off"));
    let (mut lines, _open, noted) = timeout(wait.into(), said).await.map_err(|_| late())?.map_err(failed)?;
    if noted.as_deref() != Some("noted") {
        return Err(Failure::new(Exit::Failed, "the agent did not understand; is it of the same version?"));
    }
    if word != "stays" {
        let answer = timeout(wait.into(), lines.next_line()).await.map_err(|_| {
            late().advice("lifeboat get hosts shows what is left; lifeboat host announce stays calls it off")
        })?;
        if answer.map_err(failed)?.as_deref() != Some("go") {
            return Err(Failure::new(Exit::Failed, "the agent has ended, or something else was announced meanwhile"));
        }
    }
    context.show(&Announced { going: word, may_go: word != "stays" }, |announced, _| match announced.going {
        "stays" => " This host stays.\n".to_owned(),
        going => format!(
            " This host may {}: nothing on it is waited for.\n",
            if going == "reboot" { "reboot" } else { "shut down" }
        ),
    })
}
