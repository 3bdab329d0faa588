//! What people are told, from an event in the brain to a file, through the running task.

use std::{sync::Arc, time::Duration};

use lifeboat_brain::fleet::{Input, records::Severity};
use lifeboat_client::api::{NotifyTested, ReceiverRow};
use serde_json::{Value, json};

use super::routes::Controller;
use crate::{
    config::ControllerConfig,
    notify::{Notifying, Receivers},
};

fn receivers(dir: &std::path::Path) -> Receivers {
    let file = dir.join("controller.toml");
    let text = format!(
        "[[notify]]\nname = \"file\"\nkind = \"log\"\npath = \"{0}/events\"\nwait_s = 0.01\npause_s = 0.01\n\
         [[notify]]\nname = \"hangs\"\nkind = \"command\"\nprogram = \"/bin/sleep\"\narguments = [\"1000\"]\ntimeout_s = 300\n\
         wait_s = 0.01\nseverity = \"info\"\n",
        dir.display()
    );
    std::fs::write(&file, text).expect("written");
    Receivers::new(ControllerConfig::read(&file).expect("good settings").notify, "c1")
}

/// The texts in the file, when there are so many.
async fn told(dir: &std::path::Path, count: usize) -> Vec<String> {
    loop {
        let text = std::fs::read_to_string(dir.join("events")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() >= count {
            let text =
                |line: &&str| serde_json::from_str::<Value>(line).expect("JSON")["text"].as_str().map(str::to_owned);
            return lines.iter().filter_map(text).collect();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_happens_is_told_once_over_a_restart_and_a_receiver_that_hangs_disturbs_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut controller = Controller::start().await;
    let receivers = receivers(dir.path());
    controller.set_receivers(receivers.clone());
    let (handle, store, clock) =
        (controller.service.handle.clone(), Arc::clone(&controller.service.store), controller.service.clock);
    let start = || {
        let notifying =
            Notifying { receivers: receivers.clone(), handle: handle.clone(), clock, store: Arc::clone(&store) };
        tokio::spawn(notifying.run())
    };
    let note = |text: &str| Input::Noted {
        severity: Severity::Warning,
        text: text.to_owned(),
        trouble: "test".to_owned(),
        over: false,
    };
    let running = start();
    // It is told of what comes after its start; that it has started shows in how its receivers are.
    while receivers.views().iter().any(|(_, view)| view.is_none()) {
        handle.input(note("before")).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    handle.input(note("first")).await;
    // Until all is told, and that it was told is stored.
    loop {
        let newest = handle.events(0).0.last().expect("an event").clone();
        let memory = store.get("notify/file").await.expect("read").unwrap_or_else(|| b"{}".to_vec());
        let memory: Value = serde_json::from_slice(&memory).expect("JSON");
        if newest.text == "first" && memory["told"] == newest.sequence {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let texts = told(dir.path(), 1).await;
    assert_eq!(texts.last().map(String::as_str), Some("first"));
    running.abort();
    handle.input(note("while it was away")).await;
    let running = start();
    let after = told(dir.path(), texts.len() + 1).await;
    assert_eq!(after[texts.len()..], ["while it was away"], "each is told once");
    let rows: Vec<ReceiverRow> = controller.ask("GET", "/v1/receivers", json!(null)).await.expect("a list");
    assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["file", "hangs"]);
    assert!(rows[1].waiting > 0 && rows[1].delivered_us.is_none(), "{rows:?}");
    let tested: NotifyTested = controller.ask("POST", "/v1/receivers/file/test", json!(null)).await.expect("tested");
    assert_eq!(tested.problem, None);
    let missing =
        controller.ask::<NotifyTested>("POST", "/v1/receivers/nobody/test", json!(null)).await.expect_err("none");
    assert_eq!(missing.1.advice.as_deref(), Some("one of: file, hangs"));
    running.abort();
}
