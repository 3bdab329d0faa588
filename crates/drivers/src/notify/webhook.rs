//! A message as JSON by HTTP: `lifeboat/notice/v1`.

use async_trait::async_trait;
use lifeboat_model::notice::Notice;
use lifeboat_ports::{Delivery, Notifier, NotifyError};
use serde::{Deserialize, Serialize};

use super::HttpSpec;

/// The version of the document.
pub(super) const FORMAT: &str = "lifeboat/notice/v1";

/// A webhook's settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct WebhookSpec {
    /// Where to.
    pub http: HttpSpec,
}

/// The document.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    format: &'static str,
    from: &'a str,
    #[serde(flatten)]
    notice: &'a Notice,
}

/// The document's bytes.
pub(super) fn document(from: &str, notice: &Notice) -> Vec<u8> {
    let document = Document { format: FORMAT, from, notice };
    serde_json::to_vec(&document).expect("a notice has text keys and finite numbers only")
}

#[derive(Debug)]
pub(super) struct Webhook {
    pub(super) receiver: String,
    pub(super) from: String,
    pub(super) spec: WebhookSpec,
}

#[async_trait]
impl Notifier for Webhook {
    async fn deliver(&self, notice: &Notice) -> Result<Delivery, NotifyError> {
        let posted = self.spec.http.post("", document(&self.from, notice)).await;
        posted.map(|()| Delivery::default()).map_err(|fault| fault.of(&self.receiver))
    }
}
