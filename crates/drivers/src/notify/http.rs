//! What webhooks and Alertmanager have in common: a POST of JSON.

use std::path::{Path, PathBuf};

use lifeboat_model::Seconds;
use lifeboat_ports::Retry;
use lifeboat_transport::{
    http::{
        Client, HttpError, Method, StatusCode, Target, basic_auth,
        header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT},
    },
    secret::SecretFile,
    tls::{BmcTrust, bmc_config, system_authorities},
};
use rustls_pki_types::ServerName;
use serde::Deserialize;

use super::{Fault, check_timeout, default_timeout, excerpt};

/// The longest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Where to, whom to trust there, and how to say who we are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSpec {
    /// `https://name[:port]/path`, or `http://` where nobody else is on the network.
    pub url: String,
    /// Authorities whose certificates are trusted, PEM; none: the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The one certificate that is trusted, by its SHA-256 fingerprint.
    #[serde(default)]
    pub pin_sha256: Option<String>,
    /// File with a bearer token.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// User, with `password_file`.
    #[serde(default)]
    pub user: Option<String>,
    /// File with the user's password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The most time for one delivery.
    #[serde(default = "default_timeout")]
    pub timeout_s: Seconds,
}

/// The parts of a URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

fn parse(url: &str) -> Option<Url> {
    let (tls, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return None,
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let default = if tls { 443 } else { 80 };
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6.split_once(']')?;
            (host, if rest.is_empty() { default } else { rest.strip_prefix(':')?.parse().ok()? })
        }
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (authority, default),
        },
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let good_path = path.chars().all(|c| c.is_ascii_graphic() && c != '#');
    if host.is_empty() || port == 0 || !host.chars().all(plain) || !good_path {
        return None;
    }
    let path = if path.is_empty() { "/" } else { path };
    Some(Url { tls, host: host.to_owned(), port, path: path.to_owned() })
}

impl HttpSpec {
    /// The URL without its query, which may hold a secret.
    #[must_use]
    pub fn shown(&self) -> String {
        excerpt(self.url.split('?').next().unwrap_or_default())
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        check_timeout(self.timeout_s)?;
        let url = parse(&self.url)
            .ok_or_else(|| format!("url is `{}`; it must be https://name[:port]/path, or http://", self.shown()))?;
        let secret = self.token_file.is_some() || self.password_file.is_some();
        match (self.user.is_some(), self.password_file.is_some(), self.token_file.is_some()) {
            (true, false, _) | (false, true, _) => return Err("user and password_file go together".to_owned()),
            (true, true, true) => return Err("keep one of token_file and user".to_owned()),
            _ => {}
        }
        if secret && !url.tls {
            return Err(format!("{} would carry a secret in the clear: use https", self.shown()));
        }
        if self.ca_file.is_some() && self.pin_sha256.is_some() {
            return Err("keep one of ca_file and pin_sha256".to_owned());
        }
        Ok(())
    }

    fn target(&self, url: &Url) -> Result<Target, Fault> {
        if !url.tls {
            return Ok(Target::Tcp { host: url.host.clone(), port: url.port });
        }
        let trust = match (&self.ca_file, &self.pin_sha256) {
            (None, None) => system_authorities(),
            (file, pin) => BmcTrust::from_settings(file.as_deref(), pin.as_deref()),
        };
        let trust = trust.map_err(|error| Fault::lasting("it is not known whom to trust").because(error))?;
        let config = bmc_config(&trust).map_err(|error| Fault::lasting("TLS cannot be set up").because(error))?;
        let server_name = ServerName::try_from(url.host.clone())
            .map_err(|error| Fault::lasting(format!("`{}` is no name of a server", url.host)).because(error))?;
        Ok(Target::Tls { host: url.host.clone(), port: url.port, config, server_name })
    }

    fn headers(&self) -> Result<HeaderMap, Fault> {
        let secret = |file: &Path| {
            SecretFile::read(file).map_err(|error| Fault::lasting("its secret is not usable").because(error))
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("lifeboat/", env!("CARGO_PKG_VERSION"))));
        if let (Some(user), Some(file)) = (&self.user, &self.password_file) {
            headers.insert(AUTHORIZATION, basic_auth(user, &secret(file)?));
        }
        if let Some(file) = &self.token_file {
            let value = HeaderValue::from_str(&format!("Bearer {}", secret(file)?.reveal()));
            let mut value = value.map_err(|_| Fault::lasting("its token has characters that no header may have"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }

    /// Posts JSON to the URL's path with something after it.
    pub(super) async fn post(&self, after: &str, body: Vec<u8>) -> Result<(), Fault> {
        let url = parse(&self.url).ok_or_else(|| Fault::lasting(format!("`{}` is no URL", self.shown())))?;
        let client = Client::new(self.target(&url)?).time_limit(self.timeout_s.into());
        let path = if after.is_empty() { url.path } else { format!("{}{after}", url.path.trim_end_matches('/')) };
        let sent = client.max_body_bytes(MAX_ANSWER_BYTES).request(Method::POST, &path, self.headers()?, body).await;
        let answer = sent.map_err(|error| {
            let futile = matches!(error, HttpError::Invalid { .. });
            let fault = Fault::passing(error.to_string());
            let fault = match std::error::Error::source(&error) {
                Some(cause) => fault.because(cause.to_string()),
                None => fault,
            };
            if futile { Fault { retry: Retry::IsFutile, ..fault } } else { fault }
        })?;
        if answer.status.is_success() {
            return Ok(());
        }
        let said = excerpt(&String::from_utf8_lossy(&answer.body));
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        let problem = format!("{} answers {}{said}", self.shown(), answer.status);
        let passes = answer.status.is_server_error()
            || matches!(answer.status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        Err(if passes { Fault::passing(problem) } else { Fault::lasting(problem) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_scheme_a_host_and_a_path() {
        let url =
            |tls, host: &str, port, path: &str| Some(Url { tls, host: host.to_owned(), port, path: path.to_owned() });
        assert_eq!(parse("https://a.example/hook?x=1"), url(true, "a.example", 443, "/hook?x=1"));
        assert_eq!(parse("http://10.0.0.1:9093"), url(false, "10.0.0.1", 9093, "/"));
        assert_eq!(parse("https://[fd00::1]:8443/a"), url(true, "fd00::1", 8443, "/a"));
        assert_eq!(parse("https://[::1]/"), url(true, "::1", 443, "/"));
        for bad in
            ["", "a.example", "ftp://a", "https://", "https://a:0/", "https://a:x/", "https://u@h/", "https://a/b c"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn secrets_go_over_tls_only_and_are_not_shown() {
        let spec = |url: &str, more: &str| -> HttpSpec {
            serde_json::from_str(&format!(r#"{{"url": "{url}"{more}}}"#)).expect("a spec")
        };
        assert_eq!(spec("https://a/x?key=hidden", "").shown(), "https://a/x");
        spec("http://a/", "").validate().expect("nothing is secret");
        for (url, more) in [
            ("http://a/", r#", "token_file": "/t""#),
            ("https://a/", r#", "user": "u""#),
            ("https://a/", r#", "user": "u", "password_file": "/p", "token_file": "/t""#),
            ("https://a/", r#", "ca_file": "/c", "pin_sha256": "aa""#),
            ("https://a/", r#", "timeout_s": 0"#),
            ("https://a/", r#", "timeout_s": 301"#),
            ("a", ""),
        ] {
            spec(url, more).validate().expect_err(more);
        }
    }
}
