//! A real controller and two hosts without a hypervisor: the one that has the VM with all the volumes falls silent, an
//! operator says that it is off, and the volumes go to the other.

use std::time::{Duration, Instant};

use lifeboat_brain::message::{Command, Order};
use lifeboat_client::{Client, api::HostRow};
use lifeboat_model::{
    HostName,
    spec::Declaration,
    trace::{TraceEvent, What},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Failure, Moved, Storage};
use crate::support::{
    agent::{Host, Session},
    controller::Controller,
};

/// Short, so that rounds are; long enough for a busy machine.
const LIVENESS: &str = "[liveness]\nheartbeat_s = 0.25\nsuspect_after_s = 0.6\nlost_after_s = 1.2\ngrace_s = 1\n";
const LIMIT: Duration = Duration::from_secs(60);

pub struct Recovery {
    controller: Controller,
    hosts: [Host; 2],
    sessions: [Option<Session>; 2],
    commands: mpsc::Receiver<Command>,
    told: mpsc::Sender<Command>,
    boots: u64,
    _storage: Storage,
}

impl Recovery {
    /// The VM runs on the first host.
    pub async fn new(storage: Storage) -> Result<Self, Failure> {
        let controller = Controller::new(LIVENESS).await?;
        let client = controller.client();
        client.apply(&declaration(&storage)?).await?;
        let (told, commands) = mpsc::channel(64);
        let join = |name: &'static str| {
            let (client, port) = (&client, controller.port);
            async move { Host::join(&HostName::new(name)?, client, port).await }
        };
        let hosts = [join("h1").await?, join("h2").await?];
        let mut this = Self { hosts, sessions: [None, None], commands, told, boots: 0, _storage: storage, controller };
        this.connect(0).await?;
        this.started().await?;
        this.connect(1).await?;
        Ok(this)
    }

    async fn connect(&mut self, host: usize) -> Result<(), Failure> {
        self.boots += 1;
        self.sessions[host] = Some(self.hosts[host].connect(self.boots, self.told.clone()).await?);
        self.until(host, "up").await
    }

    /// Waits until the VM is told to start; gives when it was told to be configured.
    async fn started(&mut self) -> Result<Instant, Failure> {
        let mut configured = None;
        loop {
            let command = tokio::time::timeout(LIMIT, self.commands.recv()).await;
            let command = command.map_err(|_| "the VM is not started")?.ok_or("no agent is there")?;
            match command.order {
                Order::Configure { .. } => configured = Some(Instant::now()),
                Order::Start => return Ok(configured.ok_or("the VM is started before it is configured")?),
                Order::Stop { .. } => {}
            }
        }
    }

    async fn until(&self, host: usize, condition: &str) -> Result<(), Failure> {
        let (client, begin) = (self.controller.client(), Instant::now());
        loop {
            let rows: Vec<HostRow> = client.hosts().await?;
            let row = rows.iter().find(|row| row.name == self.hosts[host].name).ok_or("a host is unknown")?;
            if serde_json::to_value(row)?["condition"] == condition {
                return Ok(());
            }
            if begin.elapsed() > LIMIT {
                return Err(format!("{} is not {condition}", row.name).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The other host is lost, and all volumes come to this one.
    pub async fn round(&mut self, to: usize) -> Result<Moved, Failure> {
        let from = 1 - to;
        self.sessions[from] = None;
        self.until(from, "failed").await?;
        let client = self.controller.client();
        let begin = Instant::now();
        client.confirm_off(&self.hosts[from].name).await?;
        let all = self.started().await?.duration_since(begin);
        let volumes = volumes_took(&client).await?;
        self.connect(from).await?;
        Ok(Moved { volumes, all })
    }
}

/// From the last proof of a host's being off to the last volume mapped.
async fn volumes_took(client: &Client) -> Result<Duration, Failure> {
    let mut trace = client.trace(false).await?;
    let (mut fenced, mut mapped) = (None, None);
    while let Some(TraceEvent { t, what, .. }) = trace.next().await? {
        match what {
            What::Fenced { .. } => fenced = Some(t),
            What::VolumeMapped => mapped = Some(t),
            _ => {}
        }
    }
    let span = mapped.zip(fenced).map(|(mapped, fenced)| mapped - fenced);
    Ok(Duration::try_from_secs_f64(span.ok_or("the trace has no recovery")?)?)
}

/// Two hosts, and a VM with all the volumes; everything may be done at once.
fn declaration(storage: &Storage) -> Result<Declaration, Failure> {
    let names: Vec<_> = storage.volumes.iter().map(|volume| &volume.name).collect();
    let hosts: Vec<Value> = ["h1", "h2"]
        .map(|name| json!({ "name": name, "capacity": { "cpu_milli": 1000, "memory_mib": 1024 } }))
        .to_vec();
    let [h1, h2] = &storage.daemons;
    let count = names.len();
    Ok(serde_json::from_value(json!({
        "limits": { "starts_per_host": 4, "maps_per_host": count, "fence_s": 1 },
        "class": [{ "name": "gold", "rto_s": 60 }],
        "host": hosts,
        "array": [{
            "name": "a1", "max_ops": count, "remap_s": 0.01,
            "backend": {
                "kind": "nbd", "directory": storage.directory,
                "hosts": { "h1": &h1.target, "h2": &h2.target },
            },
        }],
        "volume": &storage.volumes,
        "vm": [{
            "name": "vm-1", "host": "h1", "class": "gold", "volumes": names,
            "demand": { "cpu_milli": 1000, "memory_mib": 1024 },
        }],
    }))?)
}
