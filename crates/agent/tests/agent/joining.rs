//! How a host gets in, and who is not talked to.

use lifeboat_agent::AgentError;
use lifeboat_transport::{
    Identity,
    ca::Authority,
    credentials::Credentials,
    join::{JoinReply, JoinRequest},
    token::JoinToken,
};

use crate::{controller::Controller, host::Host};

fn grant(authority: &Authority, request: &JoinRequest) -> JoinReply {
    let identity = Identity::Host(request.host.clone());
    let cert_pem = authority.sign_csr(&request.csr_pem, &identity).expect("signed");
    JoinReply::Granted { cert_pem, ca_pem: authority.certificate_pem().to_owned() }
}

fn newcomer(controller: &Controller) -> (Host, JoinToken) {
    let token = JoinToken::generate(controller.authority.fingerprint()).expect("entropy");
    let mut host = Host::new(&[controller.address()]);
    host.config.token_file = Some(host.private_file("token", token.reveal().reveal()));
    (host, token)
}

#[tokio::test]
async fn a_host_joins_once_with_its_token_and_then_needs_it_no_more() {
    let controller = Controller::new().await;
    let (mut host, token) = newcomer(&controller);
    let agent = host.start_agent();
    let join = controller.answer_newcomer(|request| {
        let sent = JoinToken::parse(request.token.reveal()).expect("a token");
        assert_eq!(sent.secret_hash(), token.secret_hash());
        grant(&controller.authority, request)
    });
    join.await;
    let (_session, hello) = controller.accept().await;
    assert_eq!((hello.host.as_str(), hello.boot.0.as_str()), ("h1", "boot-1"));
    agent.end().await;

    host.config.token_file = None;
    let agent = host.start_agent();
    controller.accept().await;
    agent.end().await;
}

#[tokio::test]
async fn a_token_that_is_refused_ends_the_agent_with_the_reason_and_without_the_token() {
    let controller = Controller::new().await;
    let (host, token) = newcomer(&controller);
    let agent = host.start_agent();
    let why = "this token was used before; make a new one".to_owned();
    controller.answer_newcomer(|_| JoinReply::Refused { why }).await;
    let (_, text) = agent.gives_up().await;
    assert!(text.contains("host h1 cannot join") && text.contains("used before"), "{text}");
    assert!(!text.contains(token.reveal().reveal()), "{text}");
    assert!(Credentials::load(&host.config.state_dir).expect("loaded").is_none());
}

#[tokio::test]
async fn a_token_is_not_said_to_a_controller_of_another_authority() {
    let (controller, other) = (Controller::new().await, Controller::new().await);
    let (mut host, _) = newcomer(&other);
    host.config.controllers = vec![controller.address()];
    let agent = host.start_agent();
    controller.try_accept().await.expect_err("the newcomer turns away");
    let (error, text) = agent.gives_up().await;
    assert!(matches!(error, AgentError::Join { .. }) && text.contains("token"), "{text}");
}

#[tokio::test]
async fn a_host_without_credentials_and_token_says_what_to_do() {
    let controller = Controller::new().await;
    let mut host = Host::new(&[controller.address()]);
    let (_, text) = host.start_agent().gives_up().await;
    assert!(text.contains("has not joined yet") && text.contains("token_file"), "{text}");

    host.config.token_file = Some(host.dir().join("none"));
    let (_, text) = host.start_agent().gives_up().await;
    assert!(text.contains("token file cannot be used") && text.contains("none"), "{text}");

    host.config.token_file = Some(host.private_file("token", "lb1.nonsense"));
    let (_, text) = host.start_agent().gives_up().await;
    assert!(text.contains("holds no join token") && !text.contains("nonsense"), "{text}");
}

#[tokio::test]
async fn a_controller_of_another_authority_is_not_talked_to_and_the_next_is_tried() {
    let (foreign, own) = (Controller::new().await, Controller::new().await);
    let host = Host::joined(&[foreign.address(), own.address()], &own.authority, "h1");
    let agent = host.start_agent();
    foreign.try_accept().await.expect_err("the agent turns away");
    own.accept().await;
    agent.end().await;
}

#[tokio::test]
async fn credentials_of_another_host_are_refused() {
    let controller = Controller::new().await;
    let host = Host::joined(&[controller.address()], &controller.authority, "h2");
    let (error, text) = host.start_agent().gives_up().await;
    assert!(matches!(error, AgentError::OtherIdentity { .. }) && text.contains("host h2"), "{text}");
}
