//! The script: one command a line, with its time before it or none.

use std::str::FromStr;

use lifeboat_brain::{fleet::VmAction, message::Going};
use lifeboat_model::{
    ArrayName, FenceName, HostName, RuleName, Seconds, VmName, VolumeName,
    fleet::Labels,
    hardware::{HardwareReading, HardwareSource},
    spec::Declaration,
};

use super::course;
use crate::{
    fault::Fault,
    world::{ArrayFault, Bmc, Mischief, Network, StoreFault},
};

/// A year.
const LONGEST: Seconds = Seconds::new(366 * 24 * 3600);

/// When a command is obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So long after the fleet was up.
    At(Seconds),
    /// So long after the command before.
    After(Seconds),
}

/// A line of the script.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its line in the file.
    pub line: usize,
    /// When it is obeyed.
    pub when: When,
    /// What it says.
    pub command: Command,
    /// Its words.
    pub text: String,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Something goes wrong, or right again.
    Faults(Vec<Fault>),
    /// A host says that it shuts down, and is powered off when it may go; with true it is powered on again.
    Shutdown(HostName, bool),
    /// Something is ordered of a VM.
    Vm(VmName, VmAction),
    /// A VM that the file declares becomes known.
    VmAdd(VmName),
    /// A VM is stopped and forgotten.
    VmRemove(VmName),
    /// A VM moves.
    VmMigrate(VmName, HostName),
    /// A host is in maintenance, or no longer.
    Maintenance(HostName, bool),
    /// A host is emptied.
    Drain(HostName),
    /// VMs go home to a host.
    Failback(HostName),
    /// What a host's sources say of its hardware.
    Hardware(HostName, Vec<HardwareReading>),
    /// A host says that it is about to go, or stays after all.
    Announce(HostName, Going),
    /// An operator says that a host is off.
    ConfirmOff(HostName),
    /// A rule that the file declares becomes known.
    RuleAdd(RuleName),
    /// A rule is forgotten.
    RuleRemove(RuleName),
    /// Nothing, for a while.
    Delay(Seconds),
    /// Until nothing happens any more, within a limit.
    UntilStable(Option<Seconds>),
}

/// What the names of a script may mean.
pub(super) struct Names<'a> {
    pub declaration: &'a Declaration,
    pub controllers: usize,
}

type Words<'a, 'b> = &'b [&'a str];

impl Names<'_> {
    pub(super) fn host(&self, word: &str) -> Result<HostName, String> {
        let found = self.declaration.hosts.iter().find(|host| host.name.as_str() == word);
        found.map(|host| host.name.clone()).ok_or_else(|| format!("there is no host `{word}` in this fleet"))
    }

    /// A host, `*` for all, or all with a label: `rack=r1`; `site=s1` for a site.
    fn hosts(&self, word: &str) -> Result<Vec<HostName>, String> {
        let of = |test: &dyn Fn(&Labels, &str) -> bool| -> Vec<HostName> {
            let hosts = self.declaration.hosts.iter();
            hosts.filter(|host| test(&host.labels, &host.site)).map(|host| host.name.clone()).collect()
        };
        let found = match word.split_once('=') {
            _ if word == "*" => of(&|_, _| true),
            Some(("site", site)) => of(&|_, its| its == site),
            Some((key, value)) => of(&|labels, _| labels.get(key).is_some_and(|its| its == value)),
            None => return Ok(vec![self.host(word)?]),
        };
        if found.is_empty() { Err(format!("no host of this fleet has `{word}`")) } else { Ok(found) }
    }

    pub(super) fn vm(&self, word: &str) -> Result<VmName, String> {
        let found = self.declaration.vms.iter().find(|vm| vm.name.as_str() == word);
        found.map(|vm| vm.name.clone()).ok_or_else(|| format!("there is no VM `{word}` in this fleet"))
    }

    /// Whether a host, a VM or an array has this name.
    pub(super) fn is_part(&self, word: &str) -> bool {
        self.host(word).is_ok() || self.vm(word).is_ok() || self.array(word).is_ok()
    }

    fn array(&self, word: &str) -> Result<ArrayName, String> {
        let found = self.declaration.arrays.iter().find(|array| array.name.as_str() == word);
        found.map(|array| array.name.clone()).ok_or_else(|| format!("there is no array `{word}` in this fleet"))
    }

    fn volume(&self, word: &str) -> Result<VolumeName, String> {
        let found = self.declaration.volumes.iter().find(|volume| volume.name.as_str() == word);
        found.map(|volume| volume.name.clone()).ok_or_else(|| format!("there is no volume `{word}` in this fleet"))
    }

    fn fence(&self, host: &HostName, word: &str) -> Result<FenceName, String> {
        let spec = self.declaration.hosts.iter().find(|spec| spec.name == *host);
        let found = spec.into_iter().flat_map(|spec| &spec.fences).find(|fence| fence.name().as_str() == word);
        found.map(|fence| fence.name().clone()).ok_or_else(|| format!("{host} has no fence device `{word}`"))
    }

    fn rule(&self, word: &str) -> Result<RuleName, String> {
        let found = self.declaration.rules.iter().find(|rule| rule.name.as_str() == word);
        found.map(|rule| rule.name.clone()).ok_or_else(|| format!("there is no rule `{word}` in this fleet"))
    }

    fn controller(&self, word: Option<&&str>) -> Result<usize, String> {
        let number = match word {
            None => 0,
            Some(word) => number::<usize>(word, "a controller's number, counted from 0")?,
        };
        if number < self.controllers {
            Ok(number)
        } else {
            Err(format!("there is no controller {number}: the scenario has {}, counted from 0", self.controllers))
        }
    }
}

fn number<T: FromStr>(word: &str, what: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("`{word}` is not {what}"))
}

fn seconds(word: &str) -> Result<Seconds, String> {
    let number = word.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    match number.map(Seconds::from_f64) {
        Some(Some(span)) if span <= LONGEST => Ok(span),
        Some(_) => Err(format!("`{word}` seconds are longer than a year, and no scenario lasts so long")),
        None => Err(format!("`{word}` is not a number of seconds")),
    }
}

fn on_off(word: &str) -> Result<bool, String> {
    match word {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("`{word}` is neither `on` nor `off`")),
    }
}

fn network(word: &str) -> Result<Network, String> {
    let found = Network::ALL.into_iter().find(|network| network.name() == word);
    found.ok_or_else(|| format!("there is no network `{word}`; there are management, storage, bmc and store"))
}

/// Reads the lines of a script; problems with their lines.
pub(super) fn read(text: &str, first_line: usize, names: &Names<'_>) -> (Vec<Step>, Vec<(usize, String)>) {
    let (mut steps, mut problems) = (Vec::new(), Vec::new());
    // The time of the line before; none: it depends on how long the fleet takes to come to rest.
    let mut clock = Some(Seconds::ZERO);
    for (at, line) in text.lines().enumerate() {
        let number = first_line + at;
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        match step(line, number, &mut clock, names) {
            Ok(step) => steps.push(step),
            Err(problem) => problems.push((number, problem)),
        }
    }
    problems.extend(course::contradictions(&steps));
    (steps, problems)
}

fn step(line: &str, number: usize, clock: &mut Option<Seconds>, names: &Names<'_>) -> Result<Step, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (when, words) = when(&words, clock)?;
    let command = command(words, names)?;
    match &command {
        Command::UntilStable(_) => *clock = None,
        Command::Delay(span) => *clock = clock.map(|clock| clock + *span),
        _ => {}
    }
    Ok(Step { line: number, when, command, text: words.join(" ") })
}

fn when<'a, 'b>(words: Words<'a, 'b>, clock: &mut Option<Seconds>) -> Result<(When, Words<'a, 'b>), String> {
    let Some(first) = words.first().filter(|word| word.starts_with(|c: char| c.is_ascii_digit() || c == '+')) else {
        return Ok((When::After(Seconds::ZERO), words));
    };
    let when = if let Some(span) = first.strip_prefix('+') {
        let span = seconds(span)?;
        *clock = clock.map(|clock| clock + span);
        When::After(span)
    } else {
        let at = seconds(first)?;
        match *clock {
            None => {
                return Err(format!(
                    "after `until stable` nobody knows what time it is: write `+{first}` for a time after the line before"
                ));
            }
            Some(before) if at < before => {
                return Err(format!(
                    "this goes back in time: it is to happen at {first} s, after a line at {} s",
                    before.as_f64()
                ));
            }
            Some(_) => *clock = Some(at),
        }
        When::At(at)
    };
    if words.len() == 1 {
        return Err("there is a time and no command".to_owned());
    }
    Ok((when, &words[1..]))
}

fn command(words: Words<'_, '_>, names: &Names<'_>) -> Result<Command, String> {
    let one = |fault| Ok(Command::Faults(vec![fault]));
    match words {
        ["power", hosts, state] => {
            let on = on_off(state)?;
            Ok(Command::Faults(names.hosts(hosts)?.into_iter().map(|host| Fault::Power(host, on)).collect()))
        }
        ["shutdown", host] => Ok(Command::Shutdown(names.host(host)?, false)),
        ["reboot", host] => Ok(Command::Shutdown(names.host(host)?, true)),
        ["network", ..] | ["storage", _, _] => ports(words, names),
        ["way", host, controller, state] => {
            let controller = controller.strip_prefix("controller-").ok_or("write `way HOST controller-N on|off`")?;
            one(Fault::Way(names.host(host)?, names.controller(Some(&controller))?, on_off(state)?))
        }
        ["hang", host] => one(Fault::Hang(names.host(host)?, None)),
        ["hang", host, "off"] => one(Fault::GoOn(names.host(host)?)),
        ["hang", host, span] => one(Fault::Hang(names.host(host)?, Some(seconds(span)?))),
        ["fence", host, device, state] => {
            let host = names.host(host)?;
            let device = names.fence(&host, device)?;
            one(Fault::FenceDevice(host, device, on_off(state)?))
        }
        ["guard", host, state] => one(Fault::Guard(names.host(host)?, on_off(state)?)),
        ["bmc", hosts, state] => {
            let bmc = match *state {
                "on" => Bmc::Works,
                "off" => Bmc::Dead,
                "slow" => Bmc::Slow,
                "lies" => Bmc::Lies,
                _ => return Err(format!("a BMC is on, off, slow or lies, not `{state}`")),
            };
            Ok(Command::Faults(names.hosts(hosts)?.into_iter().map(|host| Fault::Bmc(host, bmc)).collect()))
        }
        ["crash", ..]
        | ["agent", ..]
        | ["controller", ..]
        | ["store", ..]
        | ["clock", ..]
        | ["slow", ..]
        | ["messages", ..] => machinery(words, names),
        ["array", ..] | ["volume", ..] => storage(words, names),
        ["vm", ..] | ["fail-start", ..] | ["fail-migrate", ..] | ["kill", ..] | ["guest", ..] | ["service", ..] => {
            vm(words, names)
        }
        ["maintenance", host, state] => Ok(Command::Maintenance(names.host(host)?, on_off(state)?)),
        ["failback", host] => Ok(Command::Failback(names.host(host)?)),
        ["hardware", host, rest @ ..] => Ok(Command::Hardware(names.host(host)?, hardware(rest)?)),
        ["announce", host, going] => {
            let going = match *going {
                "shutdown" => Going::Shutdown,
                "reboot" => Going::Reboot,
                "stays" => Going::Stays,
                _ => return Err(format!("a host announces shutdown, reboot or stays, not `{going}`")),
            };
            Ok(Command::Announce(names.host(host)?, going))
        }
        ["drain", host] => Ok(Command::Drain(names.host(host)?)),
        ["confirm-off", host] => Ok(Command::ConfirmOff(names.host(host)?)),
        ["rule", "add", rule] | ["rule", rule, "add"] => Ok(Command::RuleAdd(names.rule(rule)?)),
        ["rule", "remove", rule] | ["rule", rule, "remove"] => Ok(Command::RuleRemove(names.rule(rule)?)),
        ["delay", span] => Ok(Command::Delay(seconds(span)?)),
        ["until", "stable"] => Ok(Command::UntilStable(None)),
        ["until", "stable", span] => Ok(Command::UntilStable(Some(seconds(span)?))),
        _ => Err(format!("`{}` is no command; docs/scenarios.md lists them", words.join(" "))),
    }
}

/// `diagnostic fault`, `disks fault`, `memory CORRECTED UNCORRECTED`, or `ok`: what an agent reads from now on.
fn hardware(words: Words<'_, '_>) -> Result<Vec<HardwareReading>, String> {
    let of = |source| HardwareReading::of(source, "read by the simulator");
    let mut readings: Vec<HardwareReading> = HardwareSource::ALL.into_iter().map(of).collect();
    match words {
        ["ok"] => {}
        ["diagnostic", "fault"] => readings[0].faults.push("an integer computation differs on processor 3".to_owned()),
        ["disks", "fault"] => readings[3].faults.push("disk sda says that it fails".to_owned()),
        ["memory", corrected, uncorrected] => {
            readings[1].corrected = number(corrected, "a number of errors")?;
            readings[1].uncorrected = number(uncorrected, "a number of errors")?;
        }
        _ => {
            return Err(
                "write `hardware HOST ok`, `diagnostic fault`, `disks fault` or `memory CORRECTED UNCORRECTED`"
                    .to_owned(),
            );
        }
    }
    Ok(readings)
}

fn ports(words: Words<'_, '_>, names: &Names<'_>) -> Result<Command, String> {
    let (hosts, state, rest) = match words {
        ["storage", hosts, state] => (hosts, state, &["storage"][..]),
        ["network", hosts, state, rest @ ..] => (hosts, state, rest),
        _ => return Err("write `network HOST on|off [NETWORK] [in|out]`".to_owned()),
    };
    let on = Some(on_off(state)?);
    let (name, way) = match rest {
        [] => ("management", None),
        [way @ ("in" | "out")] => ("management", Some(*way)),
        [name] => (*name, None),
        [name, way @ ("in" | "out")] => (*name, Some(*way)),
        _ => return Err("write `network HOST on|off [NETWORK] [in|out]`".to_owned()),
    };
    let network = network(name)?;
    let out = on.filter(|_| way != Some("in"));
    let into = on.filter(|_| way != Some("out"));
    if let Some(controller) = hosts.strip_prefix("controller-") {
        let controller = names.controller(Some(&controller))?;
        return Ok(Command::Faults(vec![Fault::ControllerPort(controller, network, out, into)]));
    }
    let fault = |host| Fault::Port(host, network, out, into);
    Ok(Command::Faults(names.hosts(hosts)?.into_iter().map(fault).collect()))
}

fn machinery(words: Words<'_, '_>, names: &Names<'_>) -> Result<Command, String> {
    let fault = match words {
        ["crash", "controller", rest @ ..] if rest.len() < 2 => Fault::ControllerDies(names.controller(rest.first())?),
        ["crash", "agent", host] => Fault::AgentDies(names.host(host)?),
        ["agent", host, state] => Fault::Agent(names.host(host)?, on_off(state)?),
        ["controller", number, "hang", span] => Fault::ControllerHangs(names.controller(Some(number))?, seconds(span)?),
        ["controller", number, "blind", state] => {
            Fault::ControllerBlind(names.controller(Some(number))?, on_off(state)?)
        }
        ["controller", number, "dies-in", outputs] => {
            let outputs = self::number(outputs, "a number of outputs")?;
            Fault::ControllerDiesIn(names.controller(Some(number))?, outputs)
        }
        ["store", "on"] => Fault::Store(StoreFault::None),
        ["store", "off"] => Fault::Store(StoreFault::Fails),
        ["store", "slow", span] => Fault::Store(StoreFault::Slow(seconds(span)?)),
        ["store", "flaky", percent] => Fault::Store(StoreFault::Flaky(self::percent(percent)?)),
        ["clock", host, "jump", span] => Fault::ClockJump(names.host(host)?, seconds(span)?),
        ["clock", host, "drift", percent] => {
            let drift: i64 = number(percent, "a whole number of percent")?;
            let rate = u64::try_from(1_000_000 + drift.clamp(-99, 1000) * 10_000).unwrap_or(1_000_000);
            Fault::ClockRate(names.host(host)?, rate)
        }
        ["slow", host, times] => Fault::Slow(names.host(host)?, number(times, "a whole number")?),
        ["messages", "ok"] => Fault::Messages(Mischief::default()),
        ["messages", what @ ("lose" | "delay" | "repeat" | "reorder"), percent] => {
            let rate = self::percent(percent)?;
            let mut mischief = Mischief { delay_by: Seconds::new(2), ..Mischief::default() };
            match *what {
                "lose" => mischief.lose = rate,
                "delay" => mischief.delay = rate,
                "repeat" => mischief.repeat = rate,
                _ => mischief.reorder = rate,
            }
            Fault::Messages(mischief)
        }
        _ => return Err(format!("`{}` is no command; docs/scenarios.md lists them", words.join(" "))),
    };
    Ok(Command::Faults(vec![fault]))
}

/// A share in percent, as so many in a million.
fn percent(word: &str) -> Result<u32, String> {
    let percent: u32 = number(word.trim_end_matches('%'), "a whole number of percent")?;
    if percent > 100 { Err(format!("`{word}` is more than all")) } else { Ok(percent * 10_000) }
}

fn storage(words: Words<'_, '_>, names: &Names<'_>) -> Result<Command, String> {
    let fault = match words {
        ["array", array, "on"] => Fault::Array(names.array(array)?, ArrayFault::None),
        ["array", array, "off"] => Fault::Array(names.array(array)?, ArrayFault::Refuses),
        ["array", array, "slow", times] => {
            Fault::Array(names.array(array)?, ArrayFault::Slow(number(times, "a whole number")?))
        }
        ["array", array, "flaky", percent] => {
            Fault::Array(names.array(array)?, ArrayFault::Flaky(self::percent(percent)?))
        }
        ["array", array, "forget"] => Fault::ArrayForgets(names.array(array)?),
        ["volume", volume, "lost"] => Fault::VolumeLost(names.volume(volume)?, true),
        ["volume", volume, "found"] => Fault::VolumeLost(names.volume(volume)?, false),
        _ => return Err(format!("`{}` is no command; docs/scenarios.md lists them", words.join(" "))),
    };
    Ok(Command::Faults(vec![fault]))
}

fn vm(words: Words<'_, '_>, names: &Names<'_>) -> Result<Command, String> {
    let act = |vm: &str, action| Ok(Command::Vm(names.vm(vm)?, action));
    match words {
        ["vm", vm, "start"] => act(vm, VmAction::Start),
        ["vm", vm, "stop"] => act(vm, VmAction::Stop),
        ["vm", vm, "restart"] => act(vm, VmAction::Restart),
        ["vm", vm, "enable"] => act(vm, VmAction::Enable),
        ["vm", vm, "disable"] => act(vm, VmAction::Disable),
        ["vm", vm, "add"] => Ok(Command::VmAdd(names.vm(vm)?)),
        ["vm", vm, "remove"] => Ok(Command::VmRemove(names.vm(vm)?)),
        ["vm", vm, "migrate", host] => Ok(Command::VmMigrate(names.vm(vm)?, names.host(host)?)),
        // A migration is a stop and a start, so that one that fails is a start that fails.
        ["fail-start" | "fail-migrate", vm, times] => {
            Ok(Command::Faults(vec![Fault::FailStarts(names.vm(vm)?, number(times, "a whole number")?)]))
        }
        ["kill", vm] => Ok(Command::Faults(vec![Fault::VmDies(names.vm(vm)?)])),
        ["guest", vm, "hang"] => Ok(Command::Faults(vec![Fault::GuestHangs(names.vm(vm)?)])),
        ["guest", vm, "panic"] => Ok(Command::Faults(vec![Fault::GuestPanics(names.vm(vm)?)])),
        ["service", vm, state] => Ok(Command::Faults(vec![Fault::ServiceFails(names.vm(vm)?, !on_off(state)?)])),
        ["guest", vm, "shutdown"] => Ok(Command::Faults(vec![Fault::GuestShutsDown(names.vm(vm)?)])),
        ["guest", _, what] => Err(format!("a guest does hang, panic or shutdown, not `{what}`")),
        _ => Err(format!("`{}` is no command; docs/scenarios.md lists them", words.join(" "))),
    }
}
