//! A mail server as small as the tests need: it keeps what it takes, and misbehaves on request.

use std::sync::{Arc, Mutex};

use data_encoding::BASE64_MIME_PERMISSIVE;
use lifeboat_transport::{ca::Authority, tls::https_config};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufStream},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

/// A mail as it was taken.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    pub user: Option<String>,
    pub tls: bool,
    /// With the dots taken off again.
    pub content: String,
}

impl Mail {
    pub fn header(&self, name: &str) -> String {
        let head = self.content.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n ", " ");
        let value = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned));
        value.unwrap_or_default()
    }

    pub fn text(&self) -> String {
        let (_, body) = self.content.split_once("\r\n\r\n").expect("a head and a body");
        let bytes = BASE64_MIME_PERMISSIVE.decode(body.as_bytes()).expect("base64");
        String::from_utf8(bytes).expect("UTF-8")
    }
}

/// What it says instead of what it should.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// To commands that begin so it answers so; an empty answer is none at all.
    pub instead: Vec<(&'static str, String)>,
    pub starttls: bool,
    pub implicit_tls: bool,
    pub auth: &'static str,
}

#[derive(Default)]
struct State {
    manners: Mutex<Manners>,
    mails: Mutex<Vec<Mail>>,
}

pub struct SmtpServer {
    state: Arc<State>,
    pub dir: tempfile::TempDir,
    pub port: u16,
    task: JoinHandle<()>,
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SmtpServer {
    pub async fn start(manners: Manners) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let authority = Authority::open_or_create(&dir.path().join("ca")).expect("an authority");
        std::fs::write(dir.path().join("ca.pem"), authority.certificate_pem()).expect("written");
        let password = dir.path().join("password");
        std::fs::write(&password, "hunter2\n").expect("written");
        std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("private");
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let config = https_config(authority.issue_server(&[name]).expect("a certificate")).expect("a configuration");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(State { manners: Mutex::new(manners), mails: Mutex::default() });
        let serving = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accepted");
                let (config, state) = (Arc::clone(&config), Arc::clone(&serving));
                tokio::spawn(async move {
                    let manners = state.manners.lock().expect("not poisoned").clone();
                    if manners.implicit_tls {
                        let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
                        Talk { state: &state, manners, tls: true }.serve(stream, true).await;
                        return;
                    }
                    let talk = Talk { state: &state, manners: manners.clone(), tls: false };
                    if let Some(stream) = talk.serve(stream, true).await {
                        upgrade(stream, config, &state, manners).await;
                    }
                });
            }
        });
        Self { state, dir, port, task }
    }

    pub fn set(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.state.manners.lock().expect("not poisoned"));
    }

    pub fn mails(&self) -> Vec<Mail> {
        self.state.mails.lock().expect("not poisoned").clone()
    }
}

async fn upgrade(stream: tokio::net::TcpStream, config: Arc<ServerConfig>, state: &State, manners: Manners) {
    let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
    Talk { state, manners, tls: true }.serve(stream, false).await;
}

struct Talk<'a> {
    state: &'a State,
    manners: Manners,
    tls: bool,
}

impl Talk<'_> {
    /// Serves a connection; the stream when TLS is to begin on it.
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, greets: bool) -> Option<S> {
        let mut stream = BufStream::new(stream);
        let mut mail = Mail { tls: self.tls, ..Mail::default() };
        if greets {
            let greeting = self.instead("greeting").unwrap_or_else(|| "220 test ESMTP".to_owned());
            self.answer(&mut stream, &greeting).await?;
        }
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let line = line.trim_end();
            if let Some(answer) = self.instead(line) {
                self.answer(&mut stream, &answer).await?;
                continue;
            }
            let answer = match line.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" => self.capabilities(),
                "STARTTLS" => {
                    self.answer(&mut stream, "220 go ahead").await?;
                    return Some(stream.into_inner());
                }
                "AUTH" => self.auth(&mut stream, line, &mut mail).await?,
                "MAIL" => {
                    mail.from = within(line);
                    "250 ok".to_owned()
                }
                "RCPT" => {
                    mail.to.push(within(line));
                    "250 ok".to_owned()
                }
                "DATA" => {
                    self.answer(&mut stream, "354 go ahead").await?;
                    mail.content = content(&mut stream).await?;
                    let answer = self.instead("content").unwrap_or_else(|| "250 queued".to_owned());
                    if answer.starts_with('2') {
                        self.state.mails.lock().expect("not poisoned").push(mail.clone());
                    }
                    answer
                }
                "QUIT" => {
                    self.answer(&mut stream, "221 bye").await?;
                    return None;
                }
                _ => "502 what?".to_owned(),
            };
            self.answer(&mut stream, &answer).await?;
        }
    }

    fn instead(&self, line: &str) -> Option<String> {
        self.manners.instead.iter().find(|(begins, _)| line.starts_with(begins)).map(|(_, answer)| answer.clone())
    }

    fn capabilities(&self) -> String {
        let mut lines = vec!["test".to_owned(), "8BITMIME".to_owned()];
        if self.manners.starttls && !self.tls {
            lines.push("STARTTLS".to_owned());
        }
        if !self.manners.auth.is_empty() && self.tls {
            lines.push(format!("AUTH {}", self.manners.auth));
        }
        let last = lines.pop().expect("one");
        lines.iter().map(|line| format!("250-{line}\r\n")).collect::<String>() + &format!("250 {last}")
    }

    async fn auth<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufStream<S>,
        line: &str,
        mail: &mut Mail,
    ) -> Option<String> {
        assert!(self.tls, "a password came in the clear");
        let decode = |text: &str| {
            String::from_utf8(BASE64_MIME_PERMISSIVE.decode(text.as_bytes()).expect("base64")).expect("UTF-8")
        };
        let (user, password) = if let Some(both) = line.strip_prefix("AUTH PLAIN ") {
            let both = decode(both);
            let parts: Vec<&str> = both.split('\0').collect();
            (parts[1].to_owned(), parts[2].to_owned())
        } else {
            let mut said = Vec::new();
            for question in ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"] {
                self.answer(stream, question).await?;
                let mut line = String::new();
                stream.read_line(&mut line).await.ok()?;
                said.push(decode(line.trim_end()));
            }
            (said[0].clone(), said[1].clone())
        };
        if password != "hunter2" {
            return Some("535 no".to_owned());
        }
        mail.user = Some(user);
        Some("235 welcome".to_owned())
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: &mut BufStream<S>, text: &str) -> Option<()> {
        if text.is_empty() {
            std::future::pending::<()>().await;
        }
        stream.write_all(format!("{text}\r\n").as_bytes()).await.ok()?;
        stream.flush().await.ok()
    }
}

fn within(line: &str) -> String {
    line.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}

async fn content<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufStream<S>) -> Option<String> {
    let mut content = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        assert!(line.ends_with("\r\n") && line.len() <= 1000, "a line of a mail: {line:?}");
        if line == ".\r\n" {
            return Some(content);
        }
        content.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
