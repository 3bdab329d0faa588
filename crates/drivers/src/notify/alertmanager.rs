//! Prometheus' Alertmanager, by its API v2: what lasts has no end and is said again, what is over has one, and what merely
//! happened ends by itself.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use lifeboat_model::{
    Time,
    notice::{Alert, Notice},
};
use lifeboat_ports::{Delivery, Notifier, NotifyError};
use serde::{Deserialize, Serialize};

use super::HttpSpec;

/// Below the URL of an Alertmanager, which may itself be below a path.
const PATH: &str = "/api/v2/alerts";

/// An Alertmanager's settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct AlertmanagerSpec {
    /// Where to: the Alertmanager's external URL.
    pub http: HttpSpec,
}

/// An alert as the API takes it (`postableAlert`).
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Postable {
    labels: BTreeMap<&'static str, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
}

/// RFC 3339.
fn stamp(at: Time) -> String {
    let micros = i64::try_from(at.micros()).unwrap_or(i64::MAX);
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX).to_string()
}

fn postable(alert: &Alert, from: &str) -> Postable {
    // Labels say which alert it is: they are the same at its beginning and its end.
    let kind = match alert.trouble.split(' ').next().unwrap_or_default() {
        "recovery" => "LifeboatRecovery",
        "event" => "LifeboatEvent",
        _ => "LifeboatTrouble",
    };
    let mut labels = BTreeMap::from([
        ("alertname", kind.to_owned()),
        ("controller", from.to_owned()),
        ("severity", alert.severity.word().to_owned()),
    ]);
    if kind != "LifeboatEvent" {
        labels.insert("trouble", alert.trouble.clone());
    }
    labels.extend(alert.host.as_ref().map(|host| ("host", host.to_string())));
    labels.extend(alert.vm.as_ref().map(|vm| ("vm", vm.to_string())));
    let annotations = BTreeMap::from([("summary", alert.text.clone())]);
    Postable { labels, annotations, starts_at: stamp(alert.since_us), ends_at: alert.ended_us.map(stamp) }
}

#[derive(Debug)]
pub(super) struct Alertmanager {
    pub(super) receiver: String,
    pub(super) from: String,
    pub(super) spec: AlertmanagerSpec,
}

#[async_trait]
impl Notifier for Alertmanager {
    async fn deliver(&self, notice: &Notice) -> Result<Delivery, NotifyError> {
        let alerts: Vec<Postable> = notice.alerts.iter().map(|alert| postable(alert, &self.from)).collect();
        let body = serde_json::to_vec(&alerts).expect("alerts have text keys and text values only");
        let posted = self.spec.http.post(PATH, body).await;
        posted.map(|()| Delivery::default()).map_err(|fault| fault.of(&self.receiver))
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_model::notice::Severity;

    use super::*;

    #[test]
    fn an_alert_has_the_same_labels_at_its_beginning_and_its_end() {
        let begins = Alert {
            trouble: "recovery r-7".to_owned(),
            severity: Severity::Critical,
            text: "h2 has failed".to_owned(),
            host: Some(lifeboat_model::HostName::new("h2").expect("a name")),
            vm: None,
            since_us: Time::from_micros(1_764_072_271_500_000),
            ended_us: None,
        };
        let ends = Alert {
            text: "it is over".to_owned(),
            ended_us: Some(Time::from_micros(1_764_072_300_000_000)),
            ..begins.clone()
        };
        let (begins, ends) = (postable(&begins, "c1"), postable(&ends, "c1"));
        assert_eq!(begins.labels, ends.labels);
        assert_eq!((begins.starts_at.as_str(), begins.ends_at), ("2025-11-25T12:04:31.5Z", None));
        assert_eq!(ends.ends_at.as_deref(), Some("2025-11-25T12:05:00Z"));
        assert_eq!(ends.labels["alertname"], "LifeboatRecovery");
    }
}
