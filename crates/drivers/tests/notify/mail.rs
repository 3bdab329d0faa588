use std::sync::Arc;

use async_trait::async_trait;
use lifeboat_ports::{
    Delivery, Notifier, NotifyError, Retry,
    conformance::notify::{Mood, NotifyBench, conforms, notice},
};
use serde_json::{Value, json};

use super::{
    smtp_server::{Manners, SmtpServer},
    spec,
};

fn notifier(server: &SmtpServer, more: Value) -> Arc<dyn Notifier> {
    let mut settings = json!({
        "server": format!("127.0.0.1:{}", server.port),
        "from": "lifeboat@example.org",
        "to": ["ops@example.org", "night@example.org"],
        "timeout_s": 3,
    });
    settings.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
    spec("mail", settings).notifier("ops", "c1.example.org")
}

fn secure(server: &SmtpServer, tls: &str) -> Arc<dyn Notifier> {
    let (ca_file, password_file) = (server.dir.path().join("ca.pem"), server.dir.path().join("password"));
    notifier(server, json!({"tls": tls, "ca_file": ca_file, "user": "lifeboat", "password_file": password_file}))
}

#[async_trait]
impl NotifyBench for SmtpServer {
    fn notifier(&self) -> Arc<dyn Notifier> {
        secure(self, "starttls")
    }

    async fn set(&self, mood: Mood) -> bool {
        self.set(|manners| {
            manners.instead = match mood {
                Mood::Takes => Vec::new(),
                Mood::Hangs => vec![("content", String::new())],
                Mood::Refuses => vec![("MAIL", "451 later".to_owned())],
            };
        });
        true
    }

    async fn taken(&self) -> Vec<String> {
        self.mails().iter().map(super::smtp_server::Mail::text).collect()
    }
}

fn starttls(auth: &'static str) -> Manners {
    Manners { starttls: true, auth, ..Manners::default() }
}

#[tokio::test]
async fn mail_conforms() {
    conforms(&SmtpServer::start(starttls("PLAIN LOGIN")).await).await;
}

#[tokio::test]
async fn a_mail_has_all_that_a_mail_must_have() {
    let server = SmtpServer::start(starttls("LOGIN")).await;
    secure(&server, "starttls").deliver(&notice(5, "größer: h2 has failed")).await.expect("taken");
    let mail = server.mails().remove(0);
    assert!(mail.tls && mail.user.as_deref() == Some("lifeboat"), "{mail:?}");
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("lifeboat@example.org", ["ops@example.org".to_owned(), "night@example.org".to_owned()].as_slice())
    );
    assert!(mail.header("Subject").starts_with("=?utf-8?B?"), "{}", mail.content);
    assert!(mail.header("Message-ID").starts_with("<5.") && mail.header("Message-ID").ends_with("@example.org>"));
    assert!(mail.header("Date").ends_with("+0000") && mail.header("Auto-Submitted") == "auto-generated");
    assert_eq!(mail.header("To"), "ops@example.org, night@example.org");
    insta::assert_snapshot!(mail.text().replace("\r\n", "\n"));
}

#[tokio::test]
async fn a_mail_that_is_tried_again_has_the_same_id() {
    let server = SmtpServer::start(starttls("PLAIN")).await;
    for _ in 0..2 {
        secure(&server, "starttls").deliver(&notice(5, "h2 has failed")).await.expect("taken");
    }
    let ids: Vec<String> = server.mails().iter().map(|mail| mail.header("Message-ID")).collect();
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn mail_goes_over_tls_from_the_first_byte_or_in_the_clear_where_that_is_wanted() {
    let server = SmtpServer::start(Manners { implicit_tls: true, auth: "PLAIN", ..Manners::default() }).await;
    secure(&server, "tls").deliver(&notice(1, "x")).await.expect("taken");
    assert!(server.mails()[0].tls);
    let server = SmtpServer::start(Manners::default()).await;
    notifier(&server, json!({"tls": "none"})).deliver(&notice(1, "x")).await.expect("taken");
    assert!(!server.mails()[0].tls);
}

async fn fails(server: &SmtpServer, notifier: Arc<dyn Notifier>, why: &str) -> NotifyError {
    let error = notifier.deliver(&notice(1, "x")).await.expect_err(why);
    assert!(server.mails().is_empty(), "{why}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    error
}

#[tokio::test]
async fn what_cannot_be_secret_is_not_sent() {
    let server = SmtpServer::start(Manners::default()).await;
    let error = fails(&server, secure(&server, "starttls"), "it offers no STARTTLS").await;
    assert_eq!(error.retry, Retry::IsFutile, "{error}");
    let server = SmtpServer::start(starttls("PLAIN")).await;
    fails(&server, notifier(&server, json!({"pin_sha256": "00".repeat(32)})), "it has another certificate").await;
    // What is said before TLS and read after it could be anybody's.
    let server = SmtpServer::start(starttls("PLAIN")).await;
    server.set(|manners| manners.instead = vec![("STARTTLS", "220 go\r\n250 AUTH PLAIN".to_owned())]);
    fails(&server, secure(&server, "starttls"), "it says more than it may").await;
}

#[tokio::test]
async fn a_server_that_refuses_or_speaks_nonsense_is_an_error_that_says_whether_to_try_again() {
    for (begins, answer, retry) in [
        ("greeting", "554 not now".to_owned(), Retry::IsFutile),
        ("greeting", "421 busy".to_owned(), Retry::MayHelp),
        ("greeting", "SSH-2.0-OpenSSH".to_owned(), Retry::MayHelp),
        ("greeting", "220-x\r\n".repeat(500) + "220 x", Retry::MayHelp),
        ("greeting", format!("220 {}", "x".repeat(100_000)), Retry::MayHelp),
        ("AUTH", "535 no".to_owned(), Retry::IsFutile),
        ("MAIL", "550 who?".to_owned(), Retry::IsFutile),
        ("RCPT", "550 nobody".to_owned(), Retry::IsFutile),
        ("RCPT", "450 later".to_owned(), Retry::MayHelp),
        ("DATA", "452 full".to_owned(), Retry::MayHelp),
        ("content", "554 spam".to_owned(), Retry::IsFutile),
    ] {
        let server = SmtpServer::start(starttls("PLAIN")).await;
        server.set(|manners| manners.instead = vec![(begins, answer.clone())]);
        let error = fails(&server, secure(&server, "starttls"), begins).await;
        assert_eq!(error.retry, retry, "{begins}: {error}");
        assert!(error.problem.len() < 500, "{error}");
    }
}

#[tokio::test]
async fn one_recipient_that_is_refused_does_not_cost_the_others_their_mail() {
    let server = SmtpServer::start(starttls("PLAIN")).await;
    server.set(|manners| manners.instead = vec![("RCPT TO:<ops@", "550 moved".to_owned())]);
    let Delivery { remark } = secure(&server, "starttls").deliver(&notice(1, "x")).await.expect("night has it");
    assert!(remark.expect("it is told").contains("ops@example.org was refused: 550 moved"));
    assert_eq!(server.mails()[0].to, ["night@example.org"]);
}

#[tokio::test]
async fn a_server_that_is_not_there_may_come_back() {
    let server = SmtpServer::start(starttls("PLAIN")).await;
    let gone = notifier(&server, json!({"tls": "none"}));
    drop(server);
    let error = gone.deliver(&notice(1, "x")).await.expect_err("nobody listens");
    assert_eq!(error.retry, Retry::MayHelp, "{error}");
}
