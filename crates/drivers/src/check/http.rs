//! A web server answers a GET.
//!
//! One request, no redirect followed, at most 64 KiB of the answer read. An `https` server's certificate is verified
//! always: against `ca_file`, or else against what the system trusts.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use lifeboat_model::health::{CheckReport, CheckStatus, Performance};
use lifeboat_ports::Check;
use lifeboat_transport::{
    http::{Client, HttpError, Method, Target, header::HeaderMap},
    tls::{BmcTrust, bmc_config},
};
use rustls_pki_types::ServerName;
use tokio::time::Instant;

/// The most that is read of an answer, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Where systems keep what they trust.
const SYSTEM_TRUST: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Looks whether a web server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// `http://address[:port]/path` or `https://…`.
    pub url: String,
    /// The status that it must answer with; none: any from 200 to 399.
    pub status: Option<u16>,
    /// A text that must be in the answer.
    pub text: Option<String>,
    /// The PEM certificate authority for `https`; none: the system's.
    pub ca_file: Option<PathBuf>,
    /// How long it may take.
    pub limit: Duration,
}

/// A URL's parts.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    tls: bool,
    host: &'a str,
    port: u16,
    path: &'a str,
}

#[async_trait]
impl Check for HttpCheck {
    async fn look(&self) -> CheckReport {
        let unknown = |problem: String| CheckReport::new(CheckStatus::Unknown, &format!("{}: {problem}", self.url));
        let Some(parts) = parts(&self.url) else {
            return unknown("it is not of the form http://address[:port]/path".to_owned());
        };
        let target = match self.target(&parts) {
            Ok(target) => target,
            Err(problem) => return unknown(problem),
        };
        // The answer is bounded by what it would be a fault to need: a longer one fails unless its text is not looked for.
        let client = Client::new(target).time_limit(self.limit).max_body_bytes(MAX_BODY_BYTES);
        let began = Instant::now();
        let path = if parts.path.is_empty() { "/" } else { parts.path };
        let answer = client.request(Method::GET, path, HeaderMap::new(), Vec::new()).await;
        let took = began.elapsed();
        let critical = |text: String| CheckReport::new(CheckStatus::Critical, &text);
        let answer = match answer {
            Ok(answer) => answer,
            Err(HttpError::Invalid { .. }) => {
                return unknown("the path has characters that it may not have".to_owned());
            }
            Err(error @ HttpError::TooLong { .. }) => return unknown(chain(&error)),
            Err(error) => return critical(chain(&error)),
        };
        let code = answer.status.as_u16();
        let expected = self.status.map_or((200..400).contains(&code), |wanted| wanted == code);
        if !expected {
            let wanted = self.status.map_or("200 to 399".to_owned(), |wanted| wanted.to_string());
            return critical(format!("{} answers with {}, not with {wanted}", self.url, answer.status));
        }
        if let Some(text) = self.text.as_ref().filter(|text| !contains(&answer.body, text.as_bytes())) {
            return critical(format!("{} answers with {code}, without the text `{text}`", self.url));
        }
        let mut report = CheckReport::new(CheckStatus::Ok, &format!("{} answers with {}", self.url, answer.status));
        report.performance = vec![
            measured("time", format!("{:.6}", took.as_secs_f64()), "s"),
            measured("size", answer.body.len().to_string(), "B"),
        ];
        report.bounded()
    }
}

fn measured(label: &str, value: String, unit: &str) -> Performance {
    let (label, unit) = (label.to_owned(), unit.to_owned());
    Performance { label, value, unit, warning: String::new(), critical: String::new() }
}

impl HttpCheck {
    fn target(&self, parts: &Parts<'_>) -> Result<Target, String> {
        let (host, port) = (parts.host.to_owned(), parts.port);
        if !parts.tls {
            return Ok(Target::Tcp { host, port });
        }
        let system = || SYSTEM_TRUST.iter().map(PathBuf::from).find(|file| file.exists());
        let file = self.ca_file.clone().or_else(system);
        let file = file.ok_or("this machine has no list of authorities that it trusts; set `ca_file`")?;
        let trust = BmcTrust::from_settings(Some(Path::new(&file)), None).map_err(|error| chain(&error))?;
        let config = bmc_config(&trust).map_err(|error| chain(&error))?;
        let server_name = ServerName::try_from(host.clone()).map_err(|_| format!("`{host}` is no name of a server"))?;
        Ok(Target::Tls { host, port, config, server_name })
    }
}

/// Takes a URL apart; none when it is not one that can be looked at.
fn parts(url: &str) -> Option<Parts<'_>> {
    let (tls, rest) = match url.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, url.strip_prefix("http://")?),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, behind) = bracketed.split_once(']')?;
            (host, if behind.is_empty() { None } else { Some(behind.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let default = if tls { 443 } else { 80 };
    let port = port.map_or(Some(default), |port| port.parse().ok())?;
    let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '#');
    let good = !host.is_empty() && port != 0 && !url.contains(strange) && !path.starts_with('?');
    good.then_some(Parts { tls, host, port, path })
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}

/// An error with its causes, as one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use lifeboat_ports::conformance;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// A server that says the same to everybody, and then nothing more.
    async fn serve(answer: Vec<u8>, hold: bool) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut request = [0; 1024];
                    let _ = connection.read(&mut request).await;
                    let _ = connection.write_all(&answer).await;
                    if hold {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        format!("http://{address}/health?x=1")
    }

    fn check(url: &str) -> HttpCheck {
        let limit = Duration::from_secs(30);
        HttpCheck { url: url.to_owned(), status: None, text: None, ca_file: None, limit }
    }

    fn answer(head: &str, body: &str) -> Vec<u8> {
        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    #[tokio::test]
    async fn it_keeps_the_contract_of_a_check() {
        let (up, down) =
            (serve(answer("200 OK", "all is well"), false).await, serve(answer("500 Oh", ""), false).await);
        conformance::check::run(&check(&up), &check(&down)).await;
        let report = check(&up).look().await;
        let labels: Vec<&str> = report.performance.iter().map(|value| value.label.as_str()).collect();
        assert_eq!(labels, ["time", "size"]);
    }

    #[tokio::test]
    async fn the_status_and_the_text_are_looked_at() {
        let url = serve(answer("404 Not Found", "nothing here"), false).await;
        let report = check(&url).look().await;
        assert_eq!(report.output, format!("{url} answers with 404 Not Found, not with 200 to 399"));
        let wanted = HttpCheck { status: Some(404), text: Some("nothing".to_owned()), ..check(&url) };
        assert_eq!(wanted.look().await.status, CheckStatus::Ok);
        let other = HttpCheck { text: Some("well".to_owned()), ..wanted };
        assert_eq!(other.look().await.output, format!("{url} answers with 404, without the text `well`"));
    }

    #[tokio::test]
    async fn nonsense_silence_and_floods_are_bounded() {
        let report = check(&serve(b"SSH-2.0-OpenSSH\r\n".to_vec(), false).await).look().await;
        assert_eq!(report.status, CheckStatus::Critical, "{report:?}");
        let silent = HttpCheck { limit: Duration::from_millis(200), ..check(&serve(Vec::new(), true).await) };
        assert_eq!(silent.look().await.status, CheckStatus::Critical);
        let long = serve(answer("200 OK", &"x".repeat(MAX_BODY_BYTES + 1)), false).await;
        let report = check(&long).look().await;
        assert_eq!(report.status, CheckStatus::Unknown, "{report:?}");
    }

    #[tokio::test]
    async fn an_https_server_whose_certificate_is_not_known_is_not_trusted() {
        // What answers is no TLS server at all: nothing is believed of it.
        let url = serve(answer("200 OK", "well"), false).await.replace("http://", "https://");
        let directory = tempfile::TempDir::new().unwrap();
        let empty = directory.path().join("empty.pem");
        std::fs::write(&empty, "no certificate").unwrap();
        let report = HttpCheck { ca_file: Some(empty), ..check(&url) }.look().await;
        assert!(report.status == CheckStatus::Unknown && report.output.contains("no certificate"), "{report:?}");
    }

    #[test]
    fn urls_are_taken_apart() {
        let of = |url| parts(url).map(|parts| (parts.tls, parts.host.to_owned(), parts.port, parts.path.to_owned()));
        let some = |tls, host: &str, port, path: &str| Some((tls, host.to_owned(), port, path.to_owned()));
        assert_eq!(of("http://a"), some(false, "a", 80, ""));
        assert_eq!(of("https://a.b/x?y=z"), some(true, "a.b", 443, "/x?y=z"));
        assert_eq!(of("http://[fd00::1]:8080/x"), some(false, "fd00::1", 8080, "/x"));
        for wrong in
            ["", "a", "ftp://a", "http://", "http://a:b", "http://u@a/", "http://a/ b", "http://a:0", "http://a?b"]
        {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
