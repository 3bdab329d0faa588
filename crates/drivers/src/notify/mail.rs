//! Mail by an SMTP server: plain text, one message to all recipients.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use data_encoding::{BASE64, HEXLOWER};
use jiff::Timestamp;
use lifeboat_model::{Seconds, Time, notice::Notice};
use lifeboat_ports::{Delivery, Notifier, NotifyError};
use lifeboat_transport::{
    connect,
    secret::SecretFile,
    tls::{BmcTrust, ClientConfig, mail_config, system_authorities},
};
use rustls_pki_types::ServerName;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::{
    Fault, check_timeout, default_timeout, excerpt,
    smtp::{Envelope, Session, Stream},
};

/// The most recipients.
const MAX_TO: usize = 50;

/// How a mail server is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailTls {
    /// In the clear at first, then TLS; never without.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// In the clear.
    None,
}

/// A mail receiver's settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailSpec {
    /// `name:port` of the server.
    pub server: String,
    /// Whether it is spoken to over TLS.
    #[serde(default)]
    pub tls: MailTls,
    /// Authorities whose certificates are trusted, PEM; none: the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The one certificate that is trusted, by its SHA-256 fingerprint.
    #[serde(default)]
    pub pin_sha256: Option<String>,
    /// User, with `password_file`.
    #[serde(default)]
    pub user: Option<String>,
    /// File with the user's password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The sender's address.
    pub from: String,
    /// The recipients' addresses.
    pub to: Vec<String>,
    /// The most time for one delivery.
    #[serde(default = "default_timeout")]
    pub timeout_s: Seconds,
}

/// Whether a text is a plain address: nothing in it can end a line or an angle bracket.
fn is_address(text: &str) -> bool {
    let good = |c: char| {
        c.is_ascii_graphic() && !matches!(c, '<' | '>' | '(' | ')' | '[' | ']' | ',' | ';' | ':' | '"' | '\\')
    };
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    !local.is_empty() && !domain.is_empty() && !local.contains('@') && text.len() <= 254 && text.chars().all(good)
}

impl MailSpec {
    pub(super) fn validate(&self) -> Result<(), String> {
        check_timeout(self.timeout_s)?;
        self.address().ok_or_else(|| format!("server is `{}`; it must be name:port", excerpt(&self.server)))?;
        if self.to.is_empty() || self.to.len() > MAX_TO {
            return Err(format!("`to` must name 1 to {MAX_TO} recipients"));
        }
        if let Some(bad) = [&self.from].into_iter().chain(&self.to).find(|address| !is_address(address)) {
            return Err(format!("`{}` is no plain mail address", excerpt(bad)));
        }
        if self.user.is_some() != self.password_file.is_some() {
            return Err("user and password_file go together".to_owned());
        }
        if self.user.is_some() && self.tls == MailTls::None {
            return Err("a password would go in the clear: set tls to \"starttls\" or \"tls\"".to_owned());
        }
        if self.ca_file.is_some() && self.pin_sha256.is_some() {
            return Err("keep one of ca_file and pin_sha256".to_owned());
        }
        Ok(())
    }

    fn address(&self) -> Option<(&str, u16)> {
        let (host, port) = self.server.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        let port = port.parse().ok().filter(|port| *port != 0)?;
        (!host.is_empty() && host.chars().all(plain)).then_some((host, port))
    }
}

#[derive(Debug)]
pub(super) struct Mail {
    pub(super) receiver: String,
    pub(super) from: String,
    pub(super) spec: MailSpec,
}

#[async_trait]
impl Notifier for Mail {
    async fn deliver(&self, notice: &Notice) -> Result<Delivery, NotifyError> {
        let limit = self.spec.timeout_s;
        let late = || Fault::passing(format!("{} had not taken the mail after {limit}", self.spec.server));
        let sent = timeout(limit.into(), self.send(notice)).await.unwrap_or_else(|_| Err(late()));
        sent.map_err(|fault| fault.of(&self.receiver))
    }
}

impl Mail {
    async fn send(&self, notice: &Notice) -> Result<Delivery, Fault> {
        let wrong = || Fault::lasting(format!("`{}` is no address of a server", excerpt(&self.spec.server)));
        let (host, port) = self.spec.address().ok_or_else(wrong)?;
        let limit = self.spec.timeout_s.into();
        let failed = |error: connect::ConnectError| {
            let fault = Fault::passing(error.to_string());
            match std::error::Error::source(&error) {
                Some(cause) => fault.because(cause.to_string()),
                None => fault,
            }
        };
        match self.spec.tls {
            MailTls::Tls => {
                let (config, name) = self.trust(host)?;
                let stream = connect::tls(host, port, &config, &name, limit).await.map_err(failed)?;
                self.converse(Session::begin(stream, &self.client()).await?, notice).await
            }
            MailTls::None => {
                let stream = connect::tcp(host, port, limit).await.map_err(failed)?;
                self.converse(Session::begin(stream, &self.client()).await?, notice).await
            }
            MailTls::Starttls => {
                let (config, name) = self.trust(host)?;
                let stream = connect::tcp(host, port, limit).await.map_err(failed)?;
                let stream = Session::begin(stream, &self.client()).await?.starttls().await?;
                let stream = connect::tls_over(stream, (host, port), &config, &name, limit).await.map_err(failed)?;
                self.converse(Session::resume(stream, &self.client()).await?, notice).await
            }
        }
    }

    /// Whom to trust, and by which name.
    fn trust(&self, host: &str) -> Result<(Arc<ClientConfig>, ServerName<'static>), Fault> {
        let trust = match (&self.spec.ca_file, &self.spec.pin_sha256) {
            (None, None) => system_authorities(),
            (file, pin) => BmcTrust::from_settings(file.as_deref(), pin.as_deref()),
        };
        let trust = trust.map_err(|error| Fault::lasting("it is not known whom to trust").because(error))?;
        let config = mail_config(&trust).map_err(|error| Fault::lasting("TLS cannot be set up").because(error))?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| Fault::lasting(format!("`{host}` is no name of a server")).because(error))?;
        Ok((config, name))
    }

    /// What we call ourselves: a name that can be one, or an address that says nothing.
    fn client(&self) -> String {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        if !self.from.is_empty() && self.from.chars().all(good) { self.from.clone() } else { "[127.0.0.1]".to_owned() }
    }

    async fn converse<S: Stream>(&self, mut session: Session<S>, notice: &Notice) -> Result<Delivery, Fault> {
        if let (Some(user), Some(file)) = (&self.spec.user, &self.spec.password_file) {
            let password = SecretFile::read(Path::new(file))
                .map_err(|error| Fault::lasting("its password is not usable").because(error))?;
            session.authenticate(user, &password).await?;
        }
        let content = self.content(notice, Timestamp::now());
        let mail = Envelope { from: &self.spec.from, to: &self.spec.to, content: &content };
        let refused = session.send(&mail).await?;
        Ok(Delivery { remark: (!refused.is_empty()).then(|| refused.join("; ")) })
    }

    /// The mail, in lines that end in CRLF.
    fn content(&self, notice: &Notice, now: Timestamp) -> String {
        let body = text(notice, &self.from);
        let date = now.strftime("%a, %d %b %Y %H:%M:%S +0000");
        let digest = HEXLOWER.encode(&Sha256::digest(format!("{}\n{body}", notice.subject).as_bytes())[..12]);
        let first = notice.events.first().map_or(0, |event| event.sequence);
        let domain = self.spec.from.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
        let subject = encoded(&format!("[lifeboat] {}: {}", notice.severity.word(), notice.subject));
        let headers = [
            format!("From: Lifeboat <{}>", self.spec.from),
            format!("To: {}", self.spec.to.join(",\r\n ")),
            format!("Subject: {subject}"),
            format!("Date: {date}"),
            // The same for each try, so that a mail that comes twice is seen to be one.
            format!("Message-ID: <{first}.{digest}@{domain}>"),
            "MIME-Version: 1.0".to_owned(),
            "Content-Type: text/plain; charset=utf-8".to_owned(),
            "Content-Transfer-Encoding: base64".to_owned(),
            "Auto-Submitted: auto-generated".to_owned(),
        ];
        let mut mail = headers.join("\r\n");
        mail.push_str("\r\n\r\n");
        let coded = BASE64.encode(body.as_bytes());
        for line in coded.as_bytes().chunks(76) {
            mail.push_str(&String::from_utf8_lossy(line));
            mail.push_str("\r\n");
        }
        mail
    }
}

fn stamp(at: Time) -> String {
    let micros = i64::try_from(at.micros()).unwrap_or(i64::MAX);
    let at = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX);
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The mail's text.
fn text(notice: &Notice, from: &str) -> String {
    let mut text = String::new();
    for event in &notice.events {
        let severity = event.severity.word();
        text.push_str(&format!("{}  {severity}\r\n{}\r\n\r\n", stamp(event.time_us), event.text));
    }
    if notice.left_out > 0 {
        let (number, events) = (notice.left_out, if notice.left_out == 1 { "event" } else { "events" });
        text.push_str(&format!("{number} {events} more: too many to tell, or not deliverable at their time.\r\n\r\n"));
    }
    text.push_str(&format!(
        "-- \r\nLifeboat on {from}. How it is now: lifeboat status. All that happened: lifeboat events\r\n"
    ));
    text
}

/// A header's text (RFC 2047): as it is where all of it is plain ASCII, or else in words of base64.
fn encoded(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.is_ascii() && text.len() <= 200 && !text.contains("=?") {
        return text;
    }
    let mut words: Vec<String> = vec![String::new()];
    for c in text.chars() {
        let last = words.last_mut().expect("there is one");
        if last.len() + c.len_utf8() > 42 {
            words.push(c.to_string());
        } else {
            last.push(c);
        }
    }
    let word = |word: &String| format!("=?utf-8?B?{}?=", BASE64.encode(word.as_bytes()));
    words.iter().map(word).collect::<Vec<_>>().join("\r\n ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(more: &str) -> Result<MailSpec, String> {
        let text = format!(r#"{{"server": "m:587", "from": "a@b.example", "to": ["c@d.example"]{more}}}"#);
        let spec: MailSpec = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        spec.validate().map(|()| spec)
    }

    #[test]
    fn addresses_cannot_carry_anything_but_themselves() {
        for good in ["a@b", "ops+lifeboat@mail.example.org", "o'neil@x.example"] {
            assert!(is_address(good), "{good}");
        }
        for bad in ["", "a", "@b", "a@", "a@b@c", "a b@c", "<a@b>", "a@b>\r\nRCPT TO:<c@d", "größe@b", "a,b@c"] {
            assert!(!is_address(bad), "{bad}");
        }
    }

    #[test]
    fn settings_that_do_not_go_together_are_found() {
        spec("").expect("enough");
        for more in [
            r#", "user": "u""#,
            r#", "user": "u", "password_file": "/p", "tls": "none""#,
            r#", "ca_file": "/c", "pin_sha256": "a""#,
            r#", "tls": "maybe""#,
            r#", "colour": "red""#,
        ] {
            spec(more).expect_err(more);
        }
        for server in ["m", "m:0", ":25", "m:x", "a b:25"] {
            let bad = MailSpec { server: server.to_owned(), ..spec("").expect("good") };
            bad.validate().expect_err(server);
        }
    }

    #[test]
    fn a_subject_is_ascii_whatever_is_in_it_and_no_line_is_long() {
        assert_eq!(encoded("h2 has failed"), "h2 has failed");
        for text in ["größer 🚑".repeat(30), "x".repeat(300), "a\r\nBcc: x@y".to_owned(), "=?utf-8?B?eA==?=".to_owned()]
        {
            let header = encoded(&text);
            assert!(header.is_ascii() && header.lines().all(|line| line.len() < 78), "{header}");
            assert!(
                header.split("\r\n").skip(1).all(|line| line.starts_with(' ')),
                "no line begins a header: {header}"
            );
        }
    }
}
