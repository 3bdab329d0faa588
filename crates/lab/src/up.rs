//! Bringing a lab up.
//!
//! Theory of operation: the lab is registered before its first namespace is made, and everything follows from its name and
//! directory ([`crate::layout`]), so that [`Lab::down`] can take away whatever there is at any moment, also after a crash.
//! An `up` that fails takes away itself what it has made.

use std::{
    fs::{self, File, OpenOptions},
    net::{SocketAddr, TcpStream},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use lifeboat_model::VmName;

use crate::{
    Lab, LabError, LabOptions, bmc, fleet,
    guest::{Accelerator, GuestImage},
    layout::{self, Layout, MAX_HOSTS, MAX_VMS},
    network,
    process::{EntryPoint, last_lines, missing, wait_for},
    settings::Settings,
    storage, watch,
};

const PROGRAMS: &[&str] = &[
    "ip",
    "qemu-system-x86_64",
    "qemu-storage-daemon",
    "ipmi_sim",
    "fence_ipmilan",
    "ipmitool",
    "busybox",
    "dpkg-deb",
];

/// The longest directory: names of Unix sockets have at most 107 bytes.
const MAX_DIR_BYTES: usize = 60;
const MAX_VOLUMES: usize = 8;

/// What [`Lab::up`] is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A step has begun; the text is for a person: `starting 3 hosts`.
    Step(String),
    /// A VM answers for the first time.
    VmAnswers {
        /// The VM.
        vm: VmName,
        /// How many answer now.
        answering: usize,
        /// How many there are.
        of: usize,
    },
}

impl Lab {
    /// Brings a lab up.
    ///
    /// # Errors
    /// [`LabError`] when something is missing or in the way, or a step fails; whatever was made is taken away again.
    pub fn up(options: &LabOptions, progress: impl Fn(Progress)) -> Result<Self, LabError> {
        check(options)?;
        let lock = lock(&options.name)?;
        let raised = register(options).and_then(|lab| {
            lab.raise(options, &progress).inspect_err(|_| {
                progress(Progress::Step("taking away what was made".to_owned()));
                // The first error is the one to tell; what could not be taken away, `down` tries again.
                let _ = crate::down::take_down(&lab.layout);
            })
        });
        if raised.is_err() {
            lock.remove()?;
        }
        raised
    }

    fn raise(&self, options: &LabOptions, progress: &impl Fn(Progress)) -> Result<Self, LabError> {
        let step = |text: &str| progress(Progress::Step(text.to_owned()));
        let image = GuestImage::in_cache(&options.cache, &step)?;
        let accelerator = image.accelerator(&options.cache, &step)?;
        let mut lab = self.clone();
        lab.settings.image = Some(image.clone());
        lab.settings.accelerator = accelerator;
        lab.remember()?;
        step(&format!("making the fabric and {} hosts", lab.hosts().len()));
        lab.make_places()?;
        step("starting storage and BMCs");
        lab.start_fabric()?;
        if !options.control_plane {
            for host in lab.hosts() {
                lab.power_on(host)?;
            }
            return Ok(lab);
        }
        step("starting the controller");
        lab.write_configurations(&image)?;
        lab.start_controller()?;
        step("telling the controller of the fleet");
        lab.cli(&["apply", &lab.fleet_file().to_string_lossy()])?;
        step(&format!("starting {} hosts", lab.hosts().len()));
        for host in lab.hosts() {
            lab.give_token(host)?;
            lab.power_on(host)?;
        }
        if let Some(limit) = options.wait_vms {
            step(&format!("waiting for {} VMs to answer", lab.vms().len()));
            lab.wait_vms(limit, progress)?;
        }
        Ok(lab)
    }

    pub(crate) fn remember(&self) -> Result<(), LabError> {
        let text = serde_json::to_string_pretty(&self.settings).expect("settings are plain values");
        crate::host::power::write(&self.layout.marker(), &text)
    }

    /// Directories, cgroups, networks, keys and images: everything that is not a process.
    fn make_places(&self) -> Result<(), LabError> {
        let layout = &self.layout;
        for part in ["fabric", "controller", "watch"] {
            layout.cgroup_of(part)?.create()?;
        }
        network::make_fabric(layout)?;
        for (index, host) in self.hosts().iter().enumerate() {
            make_dir(&layout.host_dir(host))?;
            crate::host::power::write(&layout.host_dir(host).join("power"), "off\n")?;
            network::make_host(layout, host, index)?;
            storage::make_key(layout, host)?;
        }
        make_dir(&layout.volumes())?;
        for vm in self.vms() {
            for volume in fleet::volumes_of(vm, self.settings.volumes_per_vm) {
                storage::make_image(layout, &volume)?;
            }
        }
        Ok(())
    }

    fn start_fabric(&self) -> Result<(), LabError> {
        let (layout, entry) = (&self.layout, &self.settings.entry);
        bmc::make_secrets(layout)?;
        bmc::redfish::start(layout, entry)?;
        for (index, host) in self.hosts().iter().enumerate() {
            bmc::ipmi::start(layout, host, index, entry)?;
            storage::start_daemon(layout, host, index, entry)?;
        }
        for (index, host) in self.hosts().iter().enumerate() {
            bmc::ipmi::wait_ready(layout, host, index)?;
        }
        let log = layout.log("redfish");
        let address = SocketAddr::from((layout::FABRIC, layout::REDFISH_PORT));
        let hint = format!("its log is {}", log.display());
        let seen = network::in_fabric(layout, || {
            wait_for("the Redfish server listening", &hint, Duration::from_secs(10), || {
                TcpStream::connect(address).ok()
            })
        })?;
        seen.map(drop).map_err(|error| match error {
            LabError::TimedOut { what, limit, .. } => LabError::TimedOut { what, limit, hint: last_lines(&log) },
            other => other,
        })?;
        watch::start(layout, entry)
    }

    fn write_configurations(&self, image: &GuestImage) -> Result<(), LabError> {
        let layout = &self.layout;
        make_dir(&layout.controller_dir())?;
        let put = |path: &Path, text: &str| crate::host::power::write(path, text);
        put(&layout.dir.join("controller.toml"), &fleet::controller_toml(self))?;
        for host in self.hosts() {
            make_dir(&layout.host_dir(host).join("state"))?;
            put(&layout.host_dir(host).join("agent.toml"), &fleet::agent_toml(self, host))?;
        }
        let text = toml::to_string(&fleet::declaration(self, image)).map_err(|error| LabError::Program {
            operation: "write the fleet's declaration".to_owned(),
            detail: error.to_string(),
        })?;
        put(&self.fleet_file(), &text)
    }

    fn wait_vms(&self, limit: Duration, progress: &impl Fn(Progress)) -> Result<(), LabError> {
        let started = Instant::now();
        let mut waiting: Vec<VmName> = self.vms().to_vec();
        let mut answering = 0;
        while !waiting.is_empty() {
            if started.elapsed() > limit {
                let names: Vec<String> = waiting.iter().map(ToString::to_string).collect();
                let what = format!("an answer of {}", names.join(", "));
                let hint = format!("look at `lifeboat events` and at the logs in {}", self.layout.logs().display());
                return Err(LabError::TimedOut { what, limit, hint });
            }
            let asked: Vec<VmName> = std::mem::take(&mut waiting);
            let addresses: Vec<_> =
                asked.iter().map(|vm| self.vm(vm).map(layout::vm_address)).collect::<Result<_, _>>()?;
            let pause = Duration::from_millis(300);
            let answers = network::in_fabric(&self.layout, || crate::sequence::ask_all(&addresses, pause))?;
            for (vm, answer) in asked.into_iter().zip(answers) {
                match answer {
                    Ok(_) => {
                        answering += 1;
                        progress(Progress::VmAnswers { vm, answering, of: self.vms().len() });
                    }
                    Err(_) => waiting.push(vm),
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

/// Looks for what would stop an `up` half-way.
fn check(options: &LabOptions) -> Result<(), LabError> {
    Layout::check_name(&options.name)?;
    let within = |option, value: usize, least: usize, most: usize| {
        let why = format!("it must be {least} to {most}");
        let bad = LabError::BadOption { option, value: value.to_string(), why };
        if (least..=most).contains(&value) { Ok(()) } else { Err(bad) }
    };
    within("hosts", options.hosts, 1, MAX_HOSTS)?;
    within("vms", options.vms, 0, MAX_VMS)?;
    within("volumes_per_vm", options.volumes_per_vm, 0, MAX_VOLUMES)?;
    if !rustix::process::geteuid().is_root() {
        return Err(LabError::NotRoot);
    }
    let missing = missing(PROGRAMS);
    if !missing.is_empty() {
        return Err(LabError::Missing(missing));
    }
    crate::host::cgroup::root().map(drop)
}

/// Held by whoever brings a lab up or takes it down.
pub(crate) struct Lock {
    _file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the file away and lets go of it.
    pub(crate) fn remove(self) -> Result<(), LabError> {
        fs::remove_file(&self.path).map_err(LabError::system(format!("remove {}", self.path.display())))
    }
}

/// How long a lock is waited for: a program that a killed `up` was just starting may hold it for a moment more.
const LOCK_WAIT: Duration = Duration::from_secs(3);

/// Takes a lab's lock, or says that somebody has it.
pub(crate) fn lock(name: &str) -> Result<Lock, LabError> {
    let path = Layout::lock(name);
    make_dir(path.parent().unwrap_or(Path::new("/")))?;
    wait_for("the lab's lock", "", LOCK_WAIT, || try_lock(&path).transpose())
        .map_err(|_| LabError::Busy { name: name.to_owned() })?
}

/// The lock, or nothing while somebody has it.
fn try_lock(path: &Path) -> Result<Option<Lock>, LabError> {
    use std::os::unix::fs::MetadataExt as _;
    let failed = || LabError::system(format!("lock {}", path.display()));
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(failed())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Ok(None),
        Err(fs::TryLockError::Error(error)) => return Err(failed()(error)),
    }
    // Whoever had it may have taken the file away meanwhile: then it is nobody's lock any more.
    let mine = file.metadata().map_err(failed())?.ino();
    let is_there = fs::metadata(path).is_ok_and(|there| there.ino() == mine);
    Ok(is_there.then(|| Lock { _file: file, path: path.to_owned() }))
}

/// Takes possession of the name and the directory.
fn register(options: &LabOptions) -> Result<Lab, LabError> {
    let name = options.name.clone();
    let registry = Layout::registry(&name);
    if registry.exists() {
        return Err(LabError::Exists { name });
    }
    let dir = options.dir.clone().unwrap_or_else(|| PathBuf::from("/var/lib/lifeboat-lab").join(&name));
    let dir = std::path::absolute(&dir).map_err(LabError::system("find out the lab's directory"))?;
    if dir.as_os_str().len() > MAX_DIR_BYTES
        || !dir.to_string_lossy().bytes().all(|b| b.is_ascii_graphic() && !b"\"',;".contains(&b))
    {
        let why = format!("it must have at most {MAX_DIR_BYTES} characters, and no blanks, quotes or commas");
        return Err(LabError::BadOption { option: "dir", value: dir.display().to_string(), why });
    }
    let binary = fs::canonicalize(&options.binary)
        .map_err(LabError::system(format!("find the lifeboat binary {}", options.binary.display())))?;
    let layout = Layout { name: name.clone(), dir };
    take_directory(&layout)?;
    let settings = Settings {
        name,
        hosts: layout::host_names(options.hosts),
        vms: layout::vm_names(options.vms),
        volumes_per_vm: options.volumes_per_vm,
        entry: EntryPoint { binary },
        control_plane: options.control_plane,
        heartbeat_s: options.heartbeat_s,
        lost_after_s: options.lost_after_s,
        isolation: options.isolation,
        image: None,
        accelerator: Accelerator::Tcg,
    };
    let lab = Lab { layout, settings };
    lab.remember()?;
    let place = serde_json::to_string(&lab.layout.dir).expect("a path of ASCII");
    crate::host::power::write(&registry, &place)?;
    make_dir(&lab.layout.run())?;
    make_dir(&lab.layout.logs())?;
    Ok(lab)
}

/// The directory must be new, empty, or left behind by a lab of the same name.
fn take_directory(layout: &Layout) -> Result<(), LabError> {
    make_dir(&layout.dir)?;
    let failed = || LabError::system(format!("read {}", layout.dir.display()));
    if fs::read_dir(&layout.dir).map_err(failed())?.next().is_none() {
        return Ok(());
    }
    match Lab::in_directory(&layout.dir) {
        Ok(left) if left.layout.name == layout.name => {
            crate::down::take_down(layout)?;
            make_dir(&layout.dir)
        }
        _ => Err(LabError::ForeignDirectory(layout.dir.clone())),
    }
}

/// Makes a directory that only root sees into.
fn make_dir(path: &Path) -> Result<(), LabError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(LabError::system(format!("make {}", path.display())))
}
