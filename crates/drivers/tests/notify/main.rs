//! Notifiers, each at a receiver of its kind on loopback, or at a real program or file.

mod command;
mod http;
mod log;
mod mail;
mod smtp_server;

use lifeboat_drivers::notify::NotifierSpec;
use serde_json::{Value, json};

/// Settings as a settings file gives them.
fn spec(kind: &str, settings: Value) -> NotifierSpec {
    let spec: NotifierSpec = serde_json::from_value(json!({ kind: settings })).expect("settings");
    spec.validate().expect("good settings");
    spec
}
