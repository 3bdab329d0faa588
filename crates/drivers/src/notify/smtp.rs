//! The client's side of SMTP (RFC 5321), as much as a mail needs: greeting, STARTTLS, AUTH, one message.
//!
//! Theory of operation: one connection a message. Whatever the server says is read line by line, each of bounded length
//! and number, and its code decides: 2xx and 3xx go on, 4xx may pass, 5xx will not. Anything else that is said is an
//! error that may pass. Nothing that was said before TLS counts after it; a password goes over TLS only.

use std::fmt;

use data_encoding::BASE64;
use lifeboat_transport::secret::Secret;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};

use super::{Fault, excerpt};

/// The longest line that a server may say; RFC 5321 allows 512 bytes.
const MAX_LINE: u64 = 4096;
/// The most lines of one answer.
const MAX_LINES: usize = 128;

/// Any connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// What a server said.
#[derive(Debug)]
struct Reply {
    code: u16,
    lines: Vec<String>,
}

impl Reply {
    fn text(&self) -> String {
        excerpt(&self.lines.join(" "))
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text())
    }
}

/// A conversation with a server.
pub(super) struct Session<S> {
    stream: BufReader<S>,
    /// What it said to EHLO.
    offers: Vec<String>,
    /// Who we say that we are.
    client: String,
}

/// A mail with its envelope.
pub(super) struct Envelope<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a [String],
    /// Lines that end in CRLF.
    pub(super) content: &'a str,
}

impl<S: Stream> Session<S> {
    /// Waits for the greeting and says EHLO.
    pub(super) async fn begin(stream: S, client: &str) -> Result<Self, Fault> {
        let mut session = Self { stream: BufReader::new(stream), offers: Vec::new(), client: client.to_owned() };
        let greeting = session.reply("its greeting").await?;
        accept(&greeting, 220, "greets")?;
        session.hello().await?;
        Ok(session)
    }

    /// Asks for TLS; the stream, on which the handshake is to follow.
    pub(super) async fn starttls(mut self) -> Result<S, Fault> {
        if !self.offers("STARTTLS") {
            return Err(Fault::lasting(
                "the server offers no STARTTLS; set tls = \"tls\" for a port that begins with TLS, or \"none\" where nobody else is on the network",
            ));
        }
        let reply = self.say("STARTTLS").await?;
        accept(&reply, 220, "answers to STARTTLS")?;
        if !self.stream.buffer().is_empty() {
            // Somebody between us and the server put it there.
            return Err(Fault::passing("the server said more than it may before TLS"));
        }
        Ok(self.stream.into_inner())
    }

    /// Takes the conversation up again over TLS.
    pub(super) async fn resume(stream: S, client: &str) -> Result<Self, Fault> {
        let mut session = Self { stream: BufReader::new(stream), offers: Vec::new(), client: client.to_owned() };
        session.hello().await?;
        Ok(session)
    }

    async fn hello(&mut self) -> Result<(), Fault> {
        let reply = self.say(&format!("EHLO {}", self.client)).await?;
        if reply.code == 250 {
            self.offers = reply.lines.into_iter().skip(1).map(|line| line.to_ascii_uppercase()).collect();
            return Ok(());
        }
        let reply = self.say(&format!("HELO {}", self.client)).await?;
        accept(&reply, 250, "answers to HELO")
    }

    fn offers(&self, what: &str) -> bool {
        self.offers.iter().any(|line| line.split_whitespace().next() == Some(what))
    }

    /// Says who we are.
    pub(super) async fn authenticate(&mut self, user: &str, password: &Secret) -> Result<(), Fault> {
        let ways = self.offers.iter().find_map(|line| line.strip_prefix("AUTH ")).unwrap_or_default();
        let way = |name: &str| ways.split_whitespace().any(|way| way == name);
        let reply = if way("PLAIN") {
            let secret = Secret::new(BASE64.encode(format!("\0{user}\0{}", password.reveal()).as_bytes()));
            self.say_secret("AUTH PLAIN ", &secret).await?
        } else if way("LOGIN") {
            let reply = self.say("AUTH LOGIN").await?;
            accept(&reply, 334, "answers to AUTH LOGIN")?;
            let reply = self.say(&BASE64.encode(user.as_bytes())).await?;
            accept(&reply, 334, "answers to the user's name")?;
            self.say_secret("", &Secret::new(BASE64.encode(password.reveal().as_bytes()))).await?
        } else {
            return Err(Fault::lasting(
                "the server takes neither AUTH PLAIN nor AUTH LOGIN; take the user out of the settings, or use another port",
            ));
        };
        accept(&reply, 235, &format!("does not let user {} in:", excerpt(user)))
    }

    /// Hands a mail over; who was refused beside those who were not.
    pub(super) async fn send(&mut self, mail: &Envelope<'_>) -> Result<Vec<String>, Fault> {
        let reply = self.say(&format!("MAIL FROM:<{}>", mail.from)).await?;
        accept(&reply, 250, &format!("does not take mail from {}:", mail.from))?;
        let mut refused: Vec<(Fault, String)> = Vec::new();
        for to in mail.to {
            let reply = self.say(&format!("RCPT TO:<{to}>")).await?;
            if let Err(fault) = accept(&reply, 25, &format!("does not take mail for {to}:")) {
                refused.push((fault, format!("{to} was refused: {reply}")));
            }
        }
        if refused.len() == mail.to.len() {
            // One that may be taken later makes it worth while.
            refused.sort_by_key(|(fault, _)| fault.retry == lifeboat_ports::Retry::IsFutile);
            let first = refused.into_iter().next().map(|(fault, _)| fault);
            return Err(first.unwrap_or_else(|| Fault::lasting("there is no recipient")));
        }
        let reply = self.say("DATA").await?;
        accept(&reply, 354, "answers to DATA")?;
        let mut body = String::with_capacity(mail.content.len() + 64);
        for line in mail.content.split_inclusive("\r\n") {
            if line.starts_with('.') {
                body.push('.');
            }
            body.push_str(line);
        }
        body.push_str(if body.ends_with("\r\n") { ".\r\n" } else { "\r\n.\r\n" });
        self.write(body.as_bytes()).await?;
        let reply = self.reply("whether it has taken the mail").await?;
        accept(&reply, 250, "does not take the mail:")?;
        // It is the server's now, whatever it says to this.
        let _ = self.write(b"QUIT\r\n").await;
        Ok(refused.into_iter().map(|(_, text)| text).collect())
    }

    async fn say(&mut self, line: &str) -> Result<Reply, Fault> {
        self.write(format!("{line}\r\n").as_bytes()).await?;
        let word = line.split([' ', ':']).next().unwrap_or_default();
        self.reply(&format!("its answer to {word}")).await
    }

    async fn say_secret(&mut self, before: &str, secret: &Secret) -> Result<Reply, Fault> {
        let line = Secret::new(format!("{before}{}\r\n", secret.reveal()));
        self.write(line.reveal().as_bytes()).await?;
        self.reply("whether it lets us in").await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let stream = self.stream.get_mut();
        let written = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        written.await.map_err(|error| Fault::passing("the connection to the mail server broke").because(error))
    }

    async fn reply(&mut self, what: &str) -> Result<Reply, Fault> {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            let read = (&mut self.stream).take(MAX_LINE).read_until(b'\n', &mut line).await;
            read.map_err(|error| Fault::passing(format!("the mail server broke off before {what}")).because(error))?;
            if !line.ends_with(b"\n") {
                let how = if line.len() as u64 >= MAX_LINE {
                    "said too long a line instead of"
                } else {
                    "closed the connection before"
                };
                return Err(Fault::passing(format!("the mail server {how} {what}")));
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            let wrong =
                || Fault::passing(format!("what answers is no mail server: it said `{}` as {what}", excerpt(line)));
            let code = line.get(..3).and_then(|code| code.parse::<u16>().ok()).ok_or_else(wrong)?;
            let goes_on = match line.as_bytes().get(3) {
                Some(b'-') => true,
                Some(b' ') | None => false,
                Some(_) => return Err(wrong()),
            };
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if !goes_on {
                return Ok(Reply { code, lines });
            }
            if lines.len() >= MAX_LINES {
                return Err(Fault::passing(format!("the mail server said too much as {what}")));
            }
        }
    }
}

/// Whether an answer begins with these digits.
fn accept(reply: &Reply, wanted: u16, what: &str) -> Result<(), Fault> {
    if reply.code == wanted || reply.code / 10 == wanted {
        return Ok(());
    }
    let problem = format!("the mail server {what} {reply}");
    Err(if reply.code >= 500 { Fault::lasting(problem) } else { Fault::passing(problem) })
}
