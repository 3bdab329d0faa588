//! A controller's settings: a TOML file. `docs/settings.md` lists every value.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use lifeboat_brain::fleet::{
    DrillTimes, Fencing, Flapping, HardwareSettings, HealthSettings, LeavingSettings, Liveness, Retries, Settings,
};
use lifeboat_drivers::check::plugin_directories;
use serde::Deserialize;

mod notify;

pub use notify::NotifyConfig;

/// What is done with an apply that would break what may fail now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdmissionMode {
    /// It is not looked at.
    Off,
    /// It is taken, with a warning.
    #[default]
    Warn,
    /// It is refused.
    Refuse,
}

/// Whether an apply may take the last spare room.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admission {
    /// What is done.
    pub mode: AdmissionMode,
    /// How many hosts may fail at once with every VM coming back: 1 or 2.
    pub spare: u32,
}

impl Default for Admission {
    fn default() -> Self {
        Self { mode: AdmissionMode::default(), spare: 1 }
    }
}

/// A controller's settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControllerConfig {
    /// Directory for the store and the certificate authority; made on first start, readable by its owner only.
    #[serde(default = "state_dir")]
    pub state_dir: PathBuf,
    /// Unix socket for operators on this machine.
    #[serde(default = "socket")]
    pub socket: PathBuf,
    /// Permissions of the socket, in octal: who may write to it may order everything.
    #[serde(default = "socket_mode")]
    pub socket_mode: String,
    /// Address for agents, and for operators on other machines.
    #[serde(default = "listen")]
    pub listen: SocketAddr,
    /// When a host counts as lost.
    #[serde(default)]
    pub liveness: Liveness,
    /// What is tried again.
    #[serde(default)]
    pub retries: Retries,
    /// Hosts that fail again and again, and what follows when they are back.
    #[serde(default)]
    pub flapping: Flapping,
    /// Hosts that say that they shut down or reboot.
    #[serde(default)]
    pub leaving: LeavingSettings,
    /// When hardware counts as going bad.
    #[serde(default)]
    pub hardware: HardwareSettings,
    /// Whom to tell what.
    #[serde(default)]
    pub notify: Vec<NotifyConfig>,
    /// How failed hosts are made unable to run their VMs.
    #[serde(default)]
    pub fencing: Fencing,
    /// When everything is drilled.
    #[serde(default)]
    pub drill: DrillTimes,
    /// Whether an apply may take the last spare room.
    #[serde(default)]
    pub admission: Admission,
    /// How VMs are looked at.
    #[serde(default)]
    pub health: HealthConfig,
}

/// How VMs are looked at from the controller.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthConfig {
    /// So many VMs at least must fail their checks at once for who looks to be taken to be in trouble itself,
    pub trouble_vms: u32,
    /// and so many percent of those that are looked at.
    pub trouble_percent: u8,
    /// Absolute directories in which monitoring plugins are looked for; no other program is ever run for a check.
    pub plugin_directories: Vec<PathBuf>,
    /// Looks that are made at once; others wait.
    pub at_once: usize,
}

impl Default for HealthConfig {
    fn default() -> Self {
        let HealthSettings { trouble_vms, trouble_percent } = HealthSettings::default();
        Self { trouble_vms, trouble_percent, plugin_directories: plugin_directories(), at_once: 32 }
    }
}

fn state_dir() -> PathBuf {
    PathBuf::from("/var/lib/lifeboat")
}

fn socket() -> PathBuf {
    PathBuf::from("/run/lifeboat/controller.sock")
}

fn socket_mode() -> String {
    "0660".to_owned()
}

fn listen() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 7443))
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the controller's settings {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML of this shape. The message names the line.
    #[error("{}: {problem}", .path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
    /// A value is out of range, or values do not go together.
    #[error("{}: {problem}", .path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Which, and what it must be.
        problem: String,
    },
}

impl ControllerConfig {
    /// Reads a settings file.
    ///
    /// # Errors
    /// [`ConfigError`], which names the file and what is wrong in it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let config: Self = toml::from_str(&text)
            .map_err(|error| ConfigError::Toml { path: path.to_owned(), problem: error.to_string() })?;
        config.check().map_err(|problem| ConfigError::Value { path: path.to_owned(), problem })?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        self.settings().validate()?;
        if self.notify.len() > notify::MAX_RECEIVERS {
            return Err(format!("there are more than {} receivers", notify::MAX_RECEIVERS));
        }
        let mut names: Vec<&str> = self.notify.iter().map(|receiver| receiver.settings.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("two receivers are called {}", twice[0]));
        }
        if !(1..=2).contains(&self.admission.spare) {
            return Err(format!("admission.spare is {}; it must be 1 or 2", self.admission.spare));
        }
        if let Some(relative) = self.health.plugin_directories.iter().find(|directory| !directory.is_absolute()) {
            return Err(format!("health.plugin_directories has {}: it must be an absolute path", relative.display()));
        }
        if !(1..=1000).contains(&self.health.at_once) {
            return Err("health.at_once must be from 1 to 1000".to_owned());
        }
        self.mode().map(drop)
    }

    /// The permissions of the socket.
    ///
    /// # Errors
    /// A sentence, when they are not octal permissions or let everybody in.
    pub fn mode(&self) -> Result<u32, String> {
        let digits = self.socket_mode.trim_start_matches("0o");
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if mode <= 0o777 && mode & 0o007 == 0 => Ok(mode),
            Ok(_) => Err(format!(
                "socket_mode is {}: it may not let others in, who could then order everything",
                self.socket_mode
            )),
            Err(_) => Err(format!("socket_mode is {}: it must be octal permissions such as 0660", self.socket_mode)),
        }
    }

    /// What of it the brain wants to know.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let HealthConfig { trouble_vms, trouble_percent, .. } = self.health;
        let health = HealthSettings { trouble_vms, trouble_percent };
        Settings {
            liveness: self.liveness.clone(),
            retries: self.retries.clone(),
            fencing: self.fencing.clone(),
            drill: self.drill.clone(),
            health,
            flapping: self.flapping.clone(),
            leaving: self.leaving.clone(),
            hardware: self.hardware.clone(),
        }
    }
}

impl Default for ControllerConfig {
    fn default() -> Self {
        Self {
            state_dir: state_dir(),
            socket: socket(),
            socket_mode: socket_mode(),
            listen: listen(),
            liveness: Liveness::default(),
            retries: Retries::default(),
            flapping: Flapping::default(),
            leaving: LeavingSettings::default(),
            hardware: HardwareSettings::default(),
            notify: Vec::new(),
            fencing: Fencing::default(),
            drill: DrillTimes::default(),
            admission: Admission::default(),
            health: HealthConfig::default(),
        }
    }
}
