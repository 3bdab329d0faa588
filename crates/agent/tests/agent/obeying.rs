//! What a joined agent does, across lost links and its own deaths.

use lifeboat_agent::{AgentError, LockError, RECORDS_FILE, RecordsError};
use lifeboat_brain::message::{FromAgent, Order, Outcome, ToAgent};
use lifeboat_model::{Epoch, Generation};

use crate::{
    controller::{Controller, configure},
    host::{Host, vm},
    soon,
};

async fn controller_and_host() -> (Controller, Host) {
    let controller = Controller::new().await;
    let host = Host::joined(&[controller.address()], &controller.authority, "h1");
    (controller, host)
}

#[tokio::test]
async fn commands_are_carried_out_and_answered() {
    let (controller, host) = controller_and_host().await;
    let agent = host.start_agent();
    let (mut session, hello) = controller.welcome(1, &[]).await;
    assert_eq!(hello.vms, []);
    session.start(1, "a", 3).await;
    assert_eq!(host.machine.running(), ["a/3"]);
    assert_eq!(session.order(1, "a", 3, Order::Stop { graceful: true }).await, Outcome::Done);
    assert_eq!(host.machine.running(), [""; 0]);

    session.order(1, "broken", 1, configure()).await;
    match session.order(1, "broken", 1, Order::Start).await {
        Outcome::Failed { problem, retry_may_help: true } => assert!(problem.contains("first volume"), "{problem}"),
        other => panic!("{other:?}"),
    }
    session.say(ToAgent::Probe { nonce: 7 }).await;
    assert_eq!(session.next().await, Some(FromAgent::Probed { nonce: 7 }));
    agent.end().await;
}

#[tokio::test]
async fn a_vm_that_dies_is_told_at_once() {
    let (controller, host) = controller_and_host().await;
    let agent = host.start_agent();
    let (mut session, _) = controller.welcome(1, &[]).await;
    session.start(1, "a", 1).await;
    host.machine.crash(&vm("a"));
    match session.next().await {
        Some(FromAgent::VmExited { detail, by_guest: false, .. }) => assert_eq!(detail, "signal 9"),
        other => panic!("{other:?}"),
    }
    agent.end().await;
}

#[tokio::test]
async fn vms_outlive_agents_that_end_or_are_killed() {
    let (controller, host) = controller_and_host().await;
    let agent = host.start_agent();
    let (mut session, _) = controller.welcome(1, &[]).await;
    session.start(1, "a", 1).await;
    session.start(1, "b", 2).await;
    agent.end().await;
    assert_eq!(host.machine.running(), ["a/1", "b/2"]);

    let agent = host.start_agent();
    let (mut session, hello) = controller.welcome(1, &[("a", 1), ("b", 2)]).await;
    let told: Vec<_> = hello.vms.iter().map(|running| (running.vm.as_str(), running.generation)).collect();
    assert_eq!(told, [("a", Generation(1)), ("b", Generation(2))]);
    assert_eq!(session.order(1, "a", 1, Order::Start).await, Outcome::Done, "a repeat");
    agent.kill().await;

    let agent = host.start_agent();
    let (mut session, _) = controller.welcome(1, &[("a", 1)]).await;
    match session.next().await {
        Some(FromAgent::VmExited { vm: gone, .. }) => assert_eq!(gone, vm("b"), "what is not kept is killed"),
        other => panic!("{other:?}"),
    }
    assert_eq!(host.machine.running(), ["a/1"]);
    agent.end().await;
}

#[tokio::test]
async fn a_start_under_way_when_the_agent_is_killed_is_found_by_the_next() {
    let (controller, host) = controller_and_host().await;
    let agent = host.start_agent();
    let (mut session, _) = controller.welcome(1, &[]).await;
    session.order(1, "a", 1, configure()).await;
    host.machine.starts.forget_permits(1000);
    session.command(1, "a", 1, Order::Start).await;
    soon("the start", host.machine.start_begins.notified()).await;
    agent.kill().await;

    host.machine.starts.add_permits(1000);
    let agent = host.start_agent();
    let (mut session, _) = controller.welcome(1, &[("a", 1)]).await;
    assert_eq!(session.order(1, "a", 1, Order::Start).await, Outcome::Done);
    assert_eq!(host.machine.running(), ["a/1"]);
    agent.end().await;
}

#[tokio::test]
async fn an_older_leader_is_refused_even_after_the_agent_was_killed() {
    let (controller, host) = controller_and_host().await;
    let agent = host.start_agent();
    let (mut session, _) = controller.welcome(5, &[]).await;
    session.start(5, "a", 9).await;
    agent.kill().await;

    let agent = host.start_agent();
    let (mut session, hello) = controller.accept().await;
    assert_eq!(hello.epoch, Epoch(5));
    session.welcome(4, &[]).await;
    assert_eq!(session.next().await, None, "the link of an older leader is closed");
    assert_eq!(host.machine.running(), ["a/9"], "and nothing that it says is done");

    let (mut session, _) = controller.welcome(5, &[("a", 9)]).await;
    let refused = Outcome::Refused { epoch: Epoch(5), generation: Generation(9) };
    assert_eq!(session.order(5, "a", 8, Order::Stop { graceful: false }).await, refused);
    assert_eq!(session.order(4, "a", 9, Order::Stop { graceful: false }).await, refused);
    assert_eq!(host.machine.running(), ["a/9"]);
    agent.end().await;
}

#[tokio::test]
async fn a_lost_link_is_made_again_and_nothing_is_forgotten() {
    let (controller, host) = controller_and_host().await;
    let agent = host.start_agent();
    let (mut session, _) = controller.welcome(1, &[]).await;
    session.start(1, "a", 1).await;
    session.start(1, "b", 1).await;
    drop(session);
    host.machine.crash(&vm("a"));
    // The end of "a" may be seen before or after the Hello: it is told in either case.
    let (mut session, hello) = controller.accept().await;
    if hello.vms.len() == 2 {
        assert!(matches!(session.next().await, Some(FromAgent::VmExited { vm: gone, .. }) if gone == vm("a")));
    } else {
        assert_eq!(hello.vms.len(), 1);
    }
    session.welcome(1, &[("b", 1)]).await;
    session.start(1, "a", 2).await;
    assert_eq!(host.machine.running(), ["a/2", "b/1"]);
    agent.end().await;
}

#[tokio::test]
async fn a_controller_that_falls_silent_is_left_for_the_next() {
    let controller = Controller::new().await;
    let host = Host::joined(&[controller.address()], &controller.authority, "h1");
    let agent = host.start_agent();
    let (_silent, _) = controller.welcome(1, &[]).await;
    controller.welcome(1, &[]).await;
    agent.end().await;
}

#[tokio::test]
async fn a_controller_that_is_away_is_waited_for() {
    let (controller, mut host) = controller_and_host().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = format!("127.0.0.1:{}", nobody.local_addr().expect("bound").port());
    drop(nobody);
    host.config.controllers.insert(0, closed.parse().expect("an address"));
    let agent = host.start_agent();
    controller.welcome(1, &[]).await;
    agent.end().await;
}

#[tokio::test]
async fn a_host_has_one_agent() {
    let (controller, host) = controller_and_host().await;
    let agent = host.start_agent();
    controller.welcome(1, &[]).await;
    let (error, text) = host.start_agent().gives_up().await;
    assert!(matches!(error, AgentError::Lock(LockError::Held { .. })), "{text}");
    agent.end().await;
}

#[tokio::test]
async fn an_agent_that_cannot_know_what_it_obeyed_does_not_begin() {
    let (_controller, host) = controller_and_host().await;
    let path = host.config.state_dir.join(RECORDS_FILE);
    std::fs::write(&path, "lifeboat obeyed 1\nnonsense\n").expect("written");
    let (error, text) = host.start_agent().gives_up().await;
    assert!(matches!(error, AgentError::Records(RecordsError::Damaged { line: 2, .. })), "{text}");
    assert!(text.contains(&path.display().to_string()) && text.contains("move the file away"), "{text}");
}
