//! The routes, through the router and a running engine over a store in memory.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    response::Response,
};
use lifeboat_brain::fleet::{Brain, Settings};
use lifeboat_client::api::{
    ApplyOutcome, DrillView, ErrorBody, ErrorCode, HostOrdered, OperatorIssued, StatusView, TokenIssued, VmPhase, VmRow,
};
use lifeboat_drivers::store::memory::MemoryStore;
use lifeboat_model::{
    Epoch,
    declaration::{Kind, Object},
    fleet::Fleet,
    plan::Plan,
    spec::Declaration,
};
use lifeboat_ports::{Store, Transaction, Write};
use lifeboat_transport::{ca::Authority, token::JoinToken};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tower::ServiceExt as _;

use super::bench::{declaration, fleet};
use crate::{
    api::{MAX_DECLARATION_BYTES, Service, router},
    checks::Checks,
    clock::Clock,
    config::{Admission, AdmissionMode, HealthConfig},
    effects::Effects,
    engine::{EPOCH_KEY, Engine},
    handle::{EventLog, Handle, INBOX},
    links::Links,
    volumes::Arrays,
};

/// A controller without doors.
pub struct Controller {
    pub router: Router,
    pub service: Service,
    pub log: Arc<EventLog>,
    _dir: tempfile::TempDir,
    engine: tokio::task::JoinHandle<()>,
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.engine.abort();
    }
}

impl Controller {
    pub async fn start() -> Self {
        Self::with(Admission::default()).await
    }

    pub async fn with(admission: Admission) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let authority = Arc::new(Authority::open_or_create(&dir.path().join("ca")).expect("an authority"));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let epoch = Write { key: EPOCH_KEY.to_owned(), value: Some(b"1".to_vec()) };
        let lead = Transaction { conditions: Vec::new(), writes: vec![epoch] };
        store.commit(&lead).await.expect("the epoch is kept");
        let clock = Clock::start();
        let log = EventLog::new([]);
        let (inbox, messages) = mpsc::channel(INBOX);
        let (stalled, is_stalled) = watch::channel(None);
        let handle = Handle::new(inbox, is_stalled, Arc::clone(&log));
        let effects = Effects {
            handle: handle.clone(),
            clock,
            links: Links::default(),
            arrays: Arrays::default(),
            checks: Checks::new(&HealthConfig::default()),
            blocks: crate::heartbeat_block::Blocks::default(),
            fences: crate::fencing::Attempts::default(),
            log: Arc::clone(&log),
        };
        let engine = Engine {
            brain: Brain::restore(Settings::default(), Epoch(1), clock.now(), []).expect("a new brain"),
            clock,
            store: Arc::clone(&store),
            inbox: messages,
            stalled,
            effects,
            answers: BTreeMap::new(),
            next_request: 0,
        };
        let engine = tokio::spawn(async move { engine.run().await.expect("it leads") });
        let receivers = crate::notify::Receivers::default();
        let service = Service { handle, store, authority, clock, receivers, admission };
        Self { router: router(service.clone()), service, log, _dir: dir, engine }
    }

    /// One with a small fleet.
    pub async fn with_fleet() -> Self {
        let controller = Self::start().await;
        controller.apply(&declaration(&fleet(2, 4))).await.expect("it is taken");
        controller
    }

    /// Has others told of what happens.
    pub fn set_receivers(&mut self, receivers: crate::notify::Receivers) {
        self.service.receivers = receivers;
        self.router = router(self.service.clone());
    }

    pub async fn send(&self, method: &str, path: &str, body: Body) -> Response {
        let request = Request::builder().method(method).uri(path).body(body).expect("a request");
        self.router.clone().oneshot(request).await.expect("the router answers all")
    }

    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: impl Serialize,
    ) -> Result<T, (StatusCode, ErrorBody)> {
        let body = Body::from(serde_json::to_vec(&body).expect("JSON"));
        let answer = self.send(method, path, body).await;
        let status = answer.status();
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 24).await.expect("a body");
        if status.is_success() {
            return Ok(serde_json::from_slice(&bytes).expect("the answer's type"));
        }
        Err((status, serde_json::from_slice(&bytes).expect("every failure has an error body")))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, (StatusCode, ErrorBody)> {
        self.ask("GET", path, ()).await
    }

    async fn apply(&self, declaration: &Declaration) -> Result<ApplyOutcome, (StatusCode, ErrorBody)> {
        self.ask("POST", "/v1/apply", declaration).await
    }
}

#[tokio::test]
async fn applying_twice_changes_nothing_the_second_time() {
    let controller = Controller::start().await;
    let new = declaration(&fleet(2, 4));
    let first = controller.apply(&new).await.expect("it is taken");
    assert_eq!((first.created.len(), first.unchanged), (2 + 2 + 1 + 4 + 4, 0));
    assert!(first.created.contains(&Object::new(Kind::Vm, "v1")) && first.limits_changed);
    let second = controller.apply(&new).await.expect("it is taken");
    assert_eq!((second.created.len(), second.changed.len(), second.unchanged), (0, 0, 13));
    assert!(!second.limits_changed);
    let kept: Declaration = controller.get("/v1/declaration").await.expect("what is kept");
    assert_eq!((kept.vms.len(), kept.limits), (4, new.limits));
}

#[tokio::test]
async fn classes_in_another_order_have_changed() {
    let controller = Controller::with_fleet().await;
    let mut new = declaration(&fleet(2, 4));
    new.classes.reverse();
    let outcome = controller.apply(&new).await.expect("it is taken");
    assert_eq!((outcome.changed.len(), outcome.unchanged), (2, 11), "{outcome:?}");
}

#[tokio::test]
async fn a_declaration_with_problems_is_refused_with_all_of_them_and_changes_nothing() {
    let controller = Controller::with_fleet().await;
    let mut bad = declaration(&fleet(3, 6));
    bad.vms[0].class = lifeboat_model::ClassName::new("platinum").expect("a name");
    bad.vms[1].volumes = bad.vms[2].volumes.clone();
    let (status, error) = controller.apply(&bad).await.expect_err("it is wrong");
    assert_eq!((status, error.code), (StatusCode::BAD_REQUEST, ErrorCode::BadInput));
    let texts: Vec<&str> = error.problems.iter().map(|problem| problem.text.as_str()).collect();
    assert!(texts.iter().any(|text| text.contains("platinum")), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("v3-d0")), "{texts:?}");
    let fleet: Fleet = controller.get("/v1/fleet").await.expect("the fleet");
    assert_eq!((fleet.hosts.len(), fleet.vms.len()), (2, 4));
}

#[tokio::test]
async fn a_body_that_is_too_long_or_not_understood_is_refused() {
    let controller = Controller::start().await;
    let answer = controller.send("POST", "/v1/apply", Body::from(vec![b' '; MAX_DECLARATION_BYTES + 1])).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let with_unknown = json!({ "failed": ["h1"], "colour": "blue" });
    let (_, error) = controller.ask::<Plan>("POST", "/v1/plan", with_unknown).await.expect_err("it is unknown");
    assert!(error.code == ErrorCode::BadInput && error.message.contains("colour"), "{error:?}");
}

#[tokio::test]
async fn a_plan_for_an_unknown_host_names_it() {
    let controller = Controller::with_fleet().await;
    let asked = json!({ "failed": ["h1", "hst1"] });
    let (status, error) = controller.ask::<Plan>("POST", "/v1/plan", asked).await.expect_err("it is unknown");
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(error.message.contains("hst1"), "{error:?}");
    let plan: Plan = controller.ask("POST", "/v1/plan", json!({ "failed": ["h1"] })).await.expect("a plan");
    assert_eq!(plan.failed.len(), 1);
}

#[tokio::test]
async fn what_is_in_use_is_not_deleted_and_the_answer_says_what_uses_it() {
    let controller = Controller::with_fleet().await;
    let (status, error) =
        controller.ask::<lifeboat_client::api::Deleted>("DELETE", "/v1/volumes/v1-d0", ()).await.expect_err("in use");
    assert_eq!((status, error.code), (StatusCode::CONFLICT, ErrorCode::Refused));
    assert!(error.message.contains("VM `v1`") && error.advice.is_some(), "{error:?}");
    // v1 was declared for h1 at first, and v3 still is: a host that is gone is no longer anybody's.
    for path in ["/v1/vms/v1", "/v1/volumes/v1-d0", "/v1/hosts/h1"] {
        let gone: lifeboat_client::api::Deleted = controller.ask("DELETE", path, ()).await.expect("it is free");
        assert!(path.ends_with(&gone.object.name));
    }
    let kept: Declaration = controller.get("/v1/declaration").await.expect("what is kept");
    assert!(kept.vms.iter().all(|vm| vm.host.as_ref().is_none_or(|host| host.as_str() == "h2")), "{kept:?}");
    let (status, _) =
        controller.ask::<lifeboat_client::api::Deleted>("DELETE", "/v1/vms/v1", ()).await.expect_err("it is gone");
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn orders_for_vms_are_taken_and_unknown_ones_are_not() {
    let controller = Controller::with_fleet().await;
    let row: VmRow = controller.ask("POST", "/v1/vms/v1/stop", ()).await.expect("it is taken");
    assert_eq!(row.phase, VmPhase::Stopped);
    for path in ["/v1/vms/v9/stop", "/v1/vms/v1/explode", "/v1/nowhere", "/v1/nowhere/v1"] {
        let (status, _) = controller.ask::<VmRow>("POST", path, ()).await.expect_err("it is unknown");
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
    let (status, _) = controller.ask::<VmRow>("PUT", "/v1/vms", ()).await.expect_err("a wrong method");
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_host_that_is_not_failed_is_not_taken_for_off() {
    let controller = Controller::with_fleet().await;
    for (body, expected) in [("h1", ErrorCode::Refused), ("h2", ErrorCode::BadInput)] {
        let (_, error) = controller
            .ask::<lifeboat_client::api::ConfirmedOff>("POST", "/v1/hosts/h1/confirm-off", json!({ "host": body }))
            .await
            .expect_err("it is refused");
        assert_eq!(error.code, expected);
    }
}

#[tokio::test]
async fn a_token_is_made_for_a_declared_host_only() {
    let controller = Controller::with_fleet().await;
    let issued: TokenIssued = controller.ask("POST", "/v1/tokens", json!({ "host": "h1" })).await.expect("a token");
    let token = JoinToken::parse(&issued.token).expect("a whole token");
    assert_eq!(token.authority(), controller.service.authority.fingerprint());
    assert!(issued.expires_us > controller.service.clock.now());
    let (status, error) =
        controller.ask::<TokenIssued>("POST", "/v1/tokens", json!({ "host": "h9" })).await.expect_err("not declared");
    assert!(status == StatusCode::NOT_FOUND && error.advice.is_some(), "{error:?}");
}

#[tokio::test]
async fn a_certificate_request_that_is_none_is_bad_input() {
    let controller = Controller::start().await;
    let asked = json!({ "name": "ann", "csr_pem": "no such thing" });
    let (status, _) = controller.ask::<OperatorIssued>("POST", "/v1/operators", asked).await.expect_err("no request");
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_status_of_a_new_controller_knows_nothing_and_is_calm() {
    let controller = Controller::start().await;
    let view: StatusView = controller.get("/v1/status").await.expect("a status");
    assert!(view.hosts.is_empty() && view.recoveries.is_empty() && view.warnings.is_empty(), "{view:?}");
    for path in ["/v1/hosts", "/v1/vms", "/v1/volumes", "/v1/recoveries"] {
        assert_eq!(controller.get::<Vec<serde_json::Value>>(path).await.expect("a list"), [] as [serde_json::Value; 0]);
    }
    let (status, _) = controller.get::<serde_json::Value>("/v1/recoveries/7").await.expect_err("there is none");
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_controller_whose_engine_has_ended_says_that_it_is_unavailable() {
    let controller = Controller::start().await;
    controller.engine.abort();
    while !controller.engine.is_finished() {
        tokio::task::yield_now().await;
    }
    let (status, error) = controller.get::<StatusView>("/v1/status").await.expect_err("nobody answers");
    assert!(status == StatusCode::SERVICE_UNAVAILABLE && error.advice.is_some(), "{error:?}");
}

#[tokio::test]
async fn a_host_is_kept_from_vms_with_a_note_and_for_a_time() {
    let controller = Controller::with_fleet().await;
    let on = json!({"on": true, "note": "dimm swap", "ends_after_s": 7200});
    let done: HostOrdered = controller.ask("POST", "/v1/hosts/h1/maintenance", &on).await.expect("taken");
    let it = done.host.maintenance.expect("it is in maintenance");
    assert_eq!((done.changed, it.note.as_deref(), it.draining), (true, Some("dimm swap"), false));
    assert_eq!(it.until_us.expect("it ends").since(it.since_us).millis(), 7_200_000);
    let done: HostOrdered = controller.ask("POST", "/v1/hosts/h1/drain", ()).await.expect("taken");
    assert!(done.host.maintenance.expect("it still is").draining);
    let done: HostOrdered =
        controller.ask("POST", "/v1/hosts/h1/maintenance", json!({"on": false})).await.expect("taken");
    assert!(done.changed && done.host.maintenance.is_none());
    for (path, body, status) in [
        ("/v1/hosts/h9/maintenance", json!({"on": true}), StatusCode::NOT_FOUND),
        ("/v1/hosts/h1/maintenance", json!({"on": false, "note": "x"}), StatusCode::BAD_REQUEST),
        ("/v1/hosts/h1/maintenance", json!({"on": true, "note": "a\nb"}), StatusCode::BAD_REQUEST),
        ("/v1/hosts/h1/maintenance", json!({"on": true, "ends_after_s": -1}), StatusCode::BAD_REQUEST),
        ("/v1/hosts/h1/maintenance", json!({"on": true, "until": 3}), StatusCode::BAD_REQUEST),
    ] {
        let failed = controller.ask::<HostOrdered>("POST", path, &body).await.expect_err("refused");
        assert_eq!(failed.0, status, "{path} {body}");
    }
}

#[tokio::test]
async fn rules_are_taken_refused_with_their_names_and_deleted_again() {
    let controller = Controller::with_fleet().await;
    let rules = "[[restart]]\nname = \"gold\"\nwhen = \"vm.name.like('v*')\"\nclass = \"gold\"\n\
                 [[order]]\nname = \"v4-first\"\nfirst = \"vm.name == 'v4'\"\nthen = \"true\"\n";
    let outcome = controller.apply(&declaration(rules)).await.expect("they are taken");
    assert_eq!(outcome.created, [Object::new(Kind::Restart, "gold"), Object::new(Kind::Order, "v4-first")]);
    let vms: Vec<VmRow> = controller.get("/v1/vms").await.expect("the VMs");
    assert!(vms.iter().all(|row| row.class.as_str() == "gold" && row.group.is_some()), "{vms:?}");
    let fleet: Fleet = controller.get("/v1/fleet").await.expect("the fleet");
    assert_eq!(fleet.groups[0].stages.len(), 2);
    let back = "[[order]]\nname = \"back\"\nfirst = \"vm.name == 'v1'\"\nthen = \"vm.name == 'v4'\"\n";
    let (status, error) = controller.apply(&declaration(back)).await.expect_err("a circle");
    assert_eq!((status, error.problems.len()), (StatusCode::BAD_REQUEST, 1));
    assert!(error.problems[0].text.contains("v1 before v4 (start order `back`) before v1"), "{error:?}");
    for path in ["/v1/restarts/gold", "/v1/orders/v4-first"] {
        controller.ask::<serde_json::Value>("DELETE", path, ()).await.expect("nothing needs it");
    }
    let fleet: Fleet = controller.get("/v1/fleet").await.expect("the fleet");
    assert!(fleet.groups.is_empty() && fleet.vms.iter().any(|vm| vm.class.as_str() != "gold"));
}

/// Two hosts that may each fail; a third VM of this size on either would change that.
fn tight(memory_mib: u64) -> String {
    let host =
        |name: &str| format!("[[host]]\nname = \"{name}\"\ncapacity = {{ cpu_milli = 64000, memory_mib = 4096 }}\n");
    let vm = |name: &str, memory_mib: u64| {
        format!(
            "[[vm]]\nname = \"{name}\"\nclass = \"gold\"\ndemand = {{ cpu_milli = 100, memory_mib = {memory_mib} }}\n"
        )
    };
    let class = "[[class]]\nname = \"gold\"\nrto_s = 600\n";
    [class.to_owned(), host("h1"), host("h2"), vm("a", 1024), vm("b", 1024), vm("c", memory_mib)].concat()
}

#[tokio::test]
async fn a_vm_that_takes_the_last_spare_room_is_told_or_refused_with_who_would_stay_out() {
    let fits = declaration(&tight(1024));
    let controller = Controller::start().await;
    let outcome = controller.apply(&fits).await.expect("it fits");
    assert!(!outcome.warnings.iter().any(|text| text.contains("N+1")), "{outcome:?}");
    let outcome = controller.apply(&declaration(&tight(3072))).await.expect("it is taken, with a warning");
    let warning = outcome.warnings.first().expect("a warning");
    assert!(warning.starts_with("N+1 would be broken: if h") && warning.contains("would not come back"), "{warning}");
    let again = controller.apply(&declaration(&tight(3072))).await.expect("it is as it was");
    assert!(!again.warnings.iter().any(|text| text.contains("N+1")), "{again:?}");

    let refuse = Admission { mode: AdmissionMode::Refuse, spare: 1 };
    let controller = Controller::with(refuse).await;
    controller.apply(&fits).await.expect("it fits");
    let (status, error) = controller.apply(&declaration(&tight(3072))).await.expect_err("it does not");
    assert_eq!((status, error.code), (StatusCode::CONFLICT, ErrorCode::Refused), "{error:?}");
    assert!(error.problems[0].text.contains("no host has room"), "{error:?}");
    let kept: Declaration = controller.get("/v1/declaration").await.expect("what is kept");
    assert_eq!(kept.vms, fits.vms);
    controller.apply(&declaration("[[class]]\nname = \"silver\"\nrto_s = 900\n")).await.expect("it takes no room");

    let two = Admission { mode: AdmissionMode::Warn, spare: 2 };
    let controller = Controller::with(two).await;
    let outcome = controller.apply(&fits).await.expect("it is taken");
    assert!(
        !outcome.warnings.iter().any(|text| text.contains("N+2")),
        "two of two hosts are not looked at: {outcome:?}"
    );
    let third = "[[host]]\nname = \"h3\"\ncapacity = { cpu_milli = 64000, memory_mib = 4096 }\n\
                 [[vm]]\nname = \"d\"\nclass = \"gold\"\ndemand = { cpu_milli = 100, memory_mib = 2048 }\n";
    let outcome = controller.apply(&declaration(third)).await.expect("it is taken");
    assert!(outcome.warnings.iter().any(|text| text.starts_with("N+2 would be broken: if h")), "{outcome:?}");
}

#[tokio::test]
async fn a_drill_on_demand_is_kept_shown_and_compared() {
    let controller = Controller::with_fleet().await;
    let none: DrillView = controller.get("/v1/drill").await.expect("an answer");
    assert_eq!(none, DrillView::default());
    let first: DrillView = controller.ask("POST", "/v1/drill", ()).await.expect("a drill");
    let report = first.last.expect("it is kept");
    assert_eq!((report.vms, first.earlier, first.worse.len()), (0, None, 0));
    let status: StatusView = controller.get("/v1/status").await.expect("the status");
    assert_eq!(status.drill.expect("it is shown").taken_us, report.taken_us);
}
