//! What an operator sets for an agent, as a TOML file.

use std::{
    fmt, fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use lifeboat_drivers::{
    check::plugin_directories, hardware::HardwareConfig, heartbeat_block::BlockSlot, hypervisor::qemu::QemuSettings,
};
use lifeboat_model::HostName;
use serde::Deserialize;

use crate::{guard::WatchdogConfig, leaving::LeavingConfig};

/// The longest configuration that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// How one host's agent works.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// The host, as the controller's fleet names it.
    pub host: HostName,
    /// Where the controllers listen: `address:port`, several for one pod.
    pub controllers: Vec<ControllerAddress>,
    /// Absolute directory for what must outlive a power cycle: credentials and what was obeyed. Only its owner may see
    /// it.
    #[serde(default = "default_state_dir")]
    pub state_dir: PathBuf,
    /// Absolute directory for what a power cycle must wipe, on tmpfs as `/run` is.
    #[serde(default = "default_run_dir")]
    pub run_dir: PathBuf,
    /// File with the one-time token to join with; looked at only while there are no credentials in `state_dir`.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// TCP port on which other agents may look whether this one lives, when the controller no longer hears it; 0: none.
    #[serde(default = "default_probe_port")]
    pub probe_port: u16,
    /// Addresses of this host on other networks, where the controller looks too, on the same port.
    #[serde(default)]
    pub networks: Vec<IpAddr>,
    /// A heartbeat block on storage that several hosts and the controller see; none: none.
    #[serde(default)]
    pub heartbeat_block: Option<BlockSlot>,
    /// File whose text differs after each power cycle.
    #[serde(default = "default_boot_id_file")]
    pub boot_id_file: PathBuf,
    /// How VMs are looked at from here.
    #[serde(default)]
    pub checks: CheckSettings,
    /// What is done when the host shuts down.
    #[serde(default)]
    pub leaving: LeavingConfig,
    /// How the hardware is looked at.
    #[serde(default)]
    pub hardware: HardwareConfig,
    /// How QEMU is run. Its directories are, unless set, `qemu` in the two above.
    #[serde(default)]
    pub qemu: QemuSettings,
    /// The machine's watchdog device, fed by the guard while a lease runs; none: none.
    #[serde(default)]
    pub watchdog: Option<WatchdogConfig>,
    /// The program whose `guard` command is the guard; none: there is no guard. Not read from the file.
    #[serde(skip)]
    pub guard_program: Option<PathBuf>,
}

/// How VMs are looked at from a host.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckSettings {
    /// Absolute directories in which monitoring plugins are looked for; no other program is ever run for a check.
    pub plugin_directories: Vec<PathBuf>,
    /// Looks that are made at once; others wait.
    pub at_once: usize,
}

impl Default for CheckSettings {
    fn default() -> Self {
        Self { plugin_directories: plugin_directories(), at_once: 8 }
    }
}

fn default_state_dir() -> PathBuf {
    PathBuf::from("/var/lib/lifeboat-agent")
}

fn default_run_dir() -> PathBuf {
    PathBuf::from("/run/lifeboat-agent")
}

fn default_boot_id_file() -> PathBuf {
    PathBuf::from("/proc/sys/kernel/random/boot_id")
}

const fn default_probe_port() -> u16 {
    7444
}

/// Where a controller listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct ControllerAddress {
    /// A DNS name or an address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// A text that says no address and port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no `address:port`, such as `10.0.0.5:7400`, `ctl.example.org:7400` or `[fd00::5]:7400`")]
pub struct NotAnAddress(String);

impl FromStr for ControllerAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let wrong = || NotAnAddress(text.chars().take(80).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = port.parse().map_err(|_| wrong())?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(bare) if bare.contains(':') => bare,
            None if !host.contains(['[', ']', ':']) => host,
            _ => return Err(wrong()),
        };
        if host.is_empty() || port == 0 || host.contains(char::is_whitespace) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl TryFrom<String> for ControllerAddress {
    type Error = NotAnAddress;

    fn try_from(text: String) -> Result<Self, NotAnAddress> {
        text.parse()
    }
}

impl fmt::Display for ControllerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the agent's configuration {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is longer than any configuration.
    #[error("{} is longer than {MAX_BYTES} bytes: it is no agent's configuration", .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file is not what is expected.
    #[error("{} is not a valid agent configuration; mend what follows and start again", .path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// No controller is named.
    #[error("{} names no controller: set `controllers = [\"address:port\"]`", .path.display())]
    NoControllers {
        /// The file.
        path: PathBuf,
    },
    /// A path is relative.
    #[error("{}: `{setting}` is `{}`, which depends on where the agent is started: name an absolute path", .path.display(), .value.display())]
    RelativePath {
        /// The file.
        path: PathBuf,
        /// Which setting.
        setting: &'static str,
        /// What it says.
        value: PathBuf,
    },
}

impl AgentConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`ConfigError`] when the file cannot be read or does not say what it must.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Read { path: path.to_owned(), source };
        if fs::metadata(path).map_err(failed)?.len() > MAX_BYTES {
            return Err(ConfigError::TooLong { path: path.to_owned() });
        }
        Self::parse(path, &fs::read_to_string(path).map_err(failed)?)
    }

    /// Takes in a configuration's text; `path` is where it is from.
    ///
    /// # Errors
    /// [`ConfigError`] when it does not say what it must.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let parsed = toml::from_str::<Self>(text);
        let failed = |source| ConfigError::Parse { path: path.to_owned(), source: Box::new(source) };
        let mut config = parsed.map_err(failed)?;
        config.place_qemu(&toml::from_str(text).map_err(failed)?);
        if config.controllers.is_empty() {
            return Err(ConfigError::NoControllers { path: path.to_owned() });
        }
        let paths = [("state_dir", &config.state_dir), ("run_dir", &config.run_dir)];
        let plugins = config.checks.plugin_directories.iter().map(|value| ("checks.plugin_directories", value));
        let relative = paths.into_iter().chain(plugins).find(|(_, value)| !value.is_absolute());
        if let Some((setting, value)) = relative {
            return Err(ConfigError::RelativePath { path: path.to_owned(), setting, value: value.clone() });
        }
        Ok(config)
    }

    /// Gives QEMU's directories their place where the text does not set them.
    fn place_qemu(&mut self, text: &toml::Table) {
        let is_set = |key| text.get("qemu").is_some_and(|qemu| qemu.get(key).is_some());
        if !is_set("state_dir") {
            self.qemu.state_dir = self.state_dir.join("qemu");
        }
        if !is_set("run_dir") {
            self.qemu.run_dir = self.run_dir.join("qemu");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<AgentConfig, ConfigError> {
        AgentConfig::parse(Path::new("agent.toml"), text)
    }

    fn complaint(text: &str) -> String {
        let error = parse(text).expect_err("refused");
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}\n{}", source.unwrap_or_default())
    }

    #[test]
    fn host_and_controllers_are_enough() {
        let config = parse("host = 'h1'\ncontrollers = ['10.0.0.5:7400', '[fd00::5]:7400']").expect("a configuration");
        assert_eq!(config.controllers[1], ControllerAddress { host: "fd00::5".to_owned(), port: 7400 });
        assert_eq!(config.controllers[1].to_string(), "[fd00::5]:7400");
        assert_eq!(config.state_dir, Path::new("/var/lib/lifeboat-agent"));
        assert_eq!(config.token_file, None);
    }

    #[test]
    fn qemus_directories_are_beside_the_agents_unless_set() {
        let text = "host = 'h1'\ncontrollers = ['a:1']\nstate_dir = '/s'\nrun_dir = '/r'\n[qemu]\nrun_dir = '/q'";
        let qemu = parse(text).expect("a configuration").qemu;
        assert_eq!((qemu.state_dir.as_path(), qemu.run_dir.as_path()), (Path::new("/s/qemu"), Path::new("/q")));
        assert!(complaint(&format!("{text}\nbinry = 'x'")).contains("binry"));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        let unknown = complaint("host = 'h1'\ncontrollers = ['a:1']\nhots = 'h2'");
        assert!(unknown.contains("agent.toml") && unknown.contains("line 3") && unknown.contains("hots"), "{unknown}");
        for (text, part) in [
            ("", "host"),
            ("host = '../x'\ncontrollers = ['a:1']", "is not a name"),
            ("host = 'h1'\ncontrollers = []", "names no controller"),
            ("host = 'h1'\ncontrollers = ['a:1']\nstate_dir = 'x'", "absolute"),
            ("host = 'h1'\ncontrollers = ['a:1'", "line"),
        ] {
            assert!(complaint(text).contains(part), "{text}: {}", complaint(text));
        }
        for address in ["", "a", "a:", ":1", "a:0", "a:65536", "fd00::5:1", "[a]:1", "[::1]", "a b:1"] {
            assert!(address.parse::<ControllerAddress>().is_err(), "{address} was taken");
        }
    }
}
