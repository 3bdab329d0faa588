//! A host that is about to go: by its own word, or since the system shuts down.

use lifeboat_agent::SOCKET;
use lifeboat_brain::message::{FromAgent, Going, ToAgent};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};

use crate::{controller::Controller, host::Host, soon};

async fn controller_and_host() -> (Controller, Host) {
    let controller = Controller::new().await;
    let host = Host::joined(&[controller.address()], &controller.authority, "h1");
    (controller, host)
}

/// A client of the agent's socket, which has said a word.
async fn say(host: &Host, word: &str) -> BufReader<UnixStream> {
    let mut stream = UnixStream::connect(host.config.run_dir.join(SOCKET)).await.expect("the agent listens");
    stream.write_all(format!("{word}\n").as_bytes()).await.expect("said");
    BufReader::new(stream)
}

async fn line(client: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    soon("a line", client.read_line(&mut line)).await.expect("read");
    line
}

fn leaving(going: Going) -> Option<FromAgent> {
    Some(FromAgent::Leaving { going })
}

#[tokio::test]
async fn an_announcement_reaches_each_leader_and_its_consent_whoever_waits() {
    let (controller, host) = controller_and_host().await;
    let agent = host.start_agent();
    let (mut session, _) = controller.welcome(1, &[]).await;
    let mut client = say(&host, "reboot").await;
    assert_eq!(line(&mut client).await, "noted\n");
    assert_eq!(session.next().await, leaving(Going::Reboot));
    drop(session);
    let (mut session, _) = controller.welcome(2, &[]).await;
    assert_eq!(session.next().await, leaving(Going::Reboot), "the next leader is told too");
    session.say(ToAgent::MayGo).await;
    assert_eq!(line(&mut client).await, "go\n");
    let mut client = say(&host, "stays").await;
    assert_eq!(line(&mut client).await, "noted\n");
    assert_eq!(session.next().await, leaving(Going::Stays));
    agent.end().await;
}

#[tokio::test]
async fn nonsense_on_the_socket_is_answered_and_disturbs_nothing() {
    let (controller, host) = controller_and_host().await;
    let agent = host.start_agent();
    let (mut session, _) = controller.welcome(1, &[]).await;
    for word in ["explode", "", "reboot now please and a great deal more than any word that is known here has"] {
        assert_eq!(line(&mut say(&host, word).await).await, "what?\n", "{word}");
    }
    session.say(ToAgent::Probe { nonce: 1 }).await;
    assert_eq!(session.next().await, Some(FromAgent::Probed { nonce: 1 }), "nothing was announced");
    agent.end().await;
}

#[tokio::test]
async fn an_agent_that_ends_with_the_system_says_so_and_waits_until_it_may() {
    let (controller, mut host) = controller_and_host().await;
    host.config.leaving.jobs_command = ["echo", "7 reboot.target start waiting"].map(str::to_owned).to_vec();
    let agent = host.start_agent();
    let (mut session, _) = controller.welcome(1, &[]).await;
    session.start(1, "a", 1).await;
    let ending = tokio::spawn(agent.end());
    assert_eq!(session.next().await, leaving(Going::Reboot));
    // It goes on obeying meanwhile: its VMs are to leave.
    let stop = lifeboat_brain::message::Order::Stop { graceful: true };
    assert_eq!(session.order(1, "a", 1, stop).await, lifeboat_brain::message::Outcome::Done);
    session.say(ToAgent::MayGo).await;
    soon("its end", ending).await.expect("it ends");
    assert_eq!(host.machine.running(), [""; 0]);
}

#[tokio::test]
async fn an_agent_that_is_not_let_go_ends_when_its_time_is_over_and_its_vms_run_on() {
    let (controller, mut host) = controller_and_host().await;
    host.config.leaving.jobs_command = ["echo", "7 poweroff.target start waiting"].map(str::to_owned).to_vec();
    host.config.leaving.wait_s = 1;
    let agent = host.start_agent();
    let (mut session, _) = controller.welcome(1, &[]).await;
    session.start(1, "a", 1).await;
    agent.end().await;
    assert_eq!(session.next().await, leaving(Going::Shutdown));
    assert_eq!(host.machine.running(), ["a/1"]);
}
