//! `[[notify]]`: whom to tell what, and how.

use lifeboat_brain::notify::{ReceiverSettings, Style};
use lifeboat_drivers::notify::NotifierSpec;
use serde::Deserialize;

/// The most receivers.
pub(super) const MAX_RECEIVERS: usize = 50;

/// What of a receiver is about what it is told; everything else says how it is reached.
const ABOUT: [&str; 8] = ["name", "severity", "wait_s", "pause_s", "per_hour", "burst", "attempts", "repeat_s"];

/// A receiver.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct NotifyConfig {
    /// What it is told.
    pub settings: ReceiverSettings,
    /// How it is reached.
    pub spec: NotifierSpec,
}

impl TryFrom<toml::Table> for NotifyConfig {
    type Error = String;

    fn try_from(table: toml::Table) -> Result<Self, String> {
        let name = match table.get("name") {
            Some(toml::Value::String(name)) => name.clone(),
            _ => return Err("a receiver must have a `name`".to_owned()),
        };
        let said = |error: toml::de::Error| format!("receiver {name}: {}", error.message());
        let (mut about, mut how): (toml::Table, toml::Table) =
            table.into_iter().partition(|(key, _)| ABOUT.contains(&key.as_str()));
        let kind = match how.remove("kind") {
            Some(toml::Value::String(kind)) => kind,
            _ => {
                return Err(format!("receiver {name} must have a `kind`: webhook, alertmanager, mail, command or log"));
            }
        };
        let spec = toml::Table::from_iter([(kind, toml::Value::Table(how))]);
        let spec = NotifierSpec::deserialize(toml::Value::Table(spec)).map_err(said)?;
        if matches!(spec, NotifierSpec::Log(_)) {
            // A file is for all that happened, and disturbs nobody.
            about.entry("severity").or_insert_with(|| "info".into());
            about.entry("per_hour").or_insert(3600.into());
            about.entry("burst").or_insert(1000.into());
            about.entry("wait_s").or_insert(1.into());
            about.entry("pause_s").or_insert(1.into());
        }
        let mut settings = ReceiverSettings::deserialize(toml::Value::Table(about)).map_err(said)?;
        if matches!(spec, NotifierSpec::Alertmanager(_)) {
            settings.style = Style::Alerts;
        }
        settings.validate()?;
        spec.validate().map_err(|problem| format!("receiver {name}: {problem}"))?;
        Ok(Self { settings, spec })
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_model::{Seconds, notice::Severity};

    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        notify: Vec<NotifyConfig>,
    }

    fn read(text: &str) -> Result<Vec<NotifyConfig>, String> {
        toml::from_str::<File>(text).map(|file| file.notify).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_of_receiver_is_read() {
        let text = r#"
            [[notify]]
            name = "chat"
            kind = "webhook"
            url = "https://chat.example/hook"
            severity = "critical"
            [[notify]]
            name = "alerts"
            kind = "alertmanager"
            url = "http://alertmanager.example:9093"
            repeat_s = 30
            [[notify]]
            name = "ops"
            kind = "mail"
            server = "mail.example:587"
            user = "lifeboat"
            password_file = "/etc/lifeboat/mail"
            from = "lifeboat@example.org"
            to = ["ops@example.org"]
            per_hour = 10
            [[notify]]
            name = "pager"
            kind = "command"
            program = "/usr/local/bin/page"
            [[notify]]
            name = "file"
            kind = "log"
            path = "/var/log/lifeboat/events.jsonl"
        "#;
        let all = read(text).expect("all are good");
        assert_eq!(
            all.iter().map(|it| it.spec.kind()).collect::<Vec<_>>(),
            ["webhook", "alertmanager", "mail", "command", "log"]
        );
        assert_eq!((all[0].settings.severity, all[4].settings.severity), (Severity::Critical, Severity::Info));
        assert_eq!((all[1].settings.style, all[1].settings.repeat_s), (Style::Alerts, Seconds::new(30)));
        assert_eq!(all[2].settings.per_hour, 10);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_receiver() {
        for (text, names) in [
            ("name = \"x\"", "kind"),
            ("kind = \"log\"\npath = \"/x\"", "name"),
            ("name = \"x\"\nkind = \"pigeon\"", "pigeon"),
            ("name = \"x\"\nkind = \"log\"\npath = \"/x\"\ncolour = \"red\"", "colour"),
            ("name = \"x\"\nkind = \"log\"\npath = \"x\"", "path"),
            ("name = \"X y\"\nkind = \"log\"\npath = \"/x\"", "name"),
            ("name = \"x\"\nkind = \"webhook\"", "url"),
            ("name = \"x\"\nkind = \"webhook\"\nurl = \"ftp://x\"", "url"),
            ("name = \"x\"\nkind = \"log\"\npath = \"/x\"\nper_hour = 0", "per_hour"),
            ("name = \"x\"\nkind = \"log\"\npath = \"/x\"\nseverity = \"loud\"", "loud"),
            ("name = \"x\"\nkind = \"command\"\nprogram = \"page\"", "program"),
        ] {
            let problem = read(&format!("[[notify]]\n{text}")).expect_err(text);
            assert!(problem.contains(names), "{problem}");
        }
    }
}
