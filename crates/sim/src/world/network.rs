//! Networks and the links over them.
//!
//! A link is what TCP gives: in order, each message once, until it breaks. What cannot be sent is tried again; when that
//! lasts too long the sender's side breaks, and the other side learns of it only when something reaches it. Beyond that, a
//! network may be mischievous: repeat messages and change their order, which no TCP does, but which no promise may
//! depend on.

use std::collections::{BTreeSet, VecDeque};

use lifeboat_brain::{
    fleet::{Input, LinkId as FleetLink},
    host::{HostInput, LinkId},
    message::{FromAgent, Pledge, ToAgent},
};
use lifeboat_model::{Seconds, Time};

use super::{Event, World, machine::HostIx};
use crate::random::Random;

mod ports;

pub use ports::{Network, Ports};

/// After so long without an acknowledgement a side gives its link up.
const GIVE_UP: Seconds = Seconds::new(12);
/// The first pause before a lost message is sent again.
const SEND_AGAIN: Seconds = Seconds::from_millis(200);

/// What the management network does to messages, in a million each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mischief {
    /// Lost, each time that they are sent; they are sent again, as TCP does.
    pub lose: u32,
    /// Delayed.
    pub delay: u32,
    /// By so much at most.
    pub delay_by: Seconds,
    /// Delivered twice.
    pub repeat: u32,
    /// Delivered before or after its turn.
    pub reorder: u32,
}

#[derive(Debug)]
pub(super) struct State {
    pub mischief: Mischief,
    /// Ways between a host and a controller that are cut.
    cut: BTreeSet<(HostIx, usize)>,
    random: Random,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self { mischief: Mischief::default(), cut: BTreeSet::new(), random: Random::of(seed, "network") }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    ToAgent,
    ToController,
}

/// A message on its way. Heartbeats are most of them, and are small.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Heard {
        sequence: u64,
        lease_ms: u64,
    },
    Heartbeat {
        sequence: u64,
        pledge: Pledge,
    },
    ToAgent(Box<ToAgent>),
    FromAgent(Box<FromAgent>),
    /// The other side has closed.
    Closed,
}

impl From<ToAgent> for Message {
    fn from(message: ToAgent) -> Self {
        match message {
            ToAgent::Heard { sequence, lease_ms } => Self::Heard { sequence, lease_ms },
            other => Self::ToAgent(Box::new(other)),
        }
    }
}

impl From<FromAgent> for Message {
    fn from(message: FromAgent) -> Self {
        match message {
            FromAgent::Heartbeat { sequence, pledge } => Self::Heartbeat { sequence, pledge },
            other => Self::FromAgent(Box::new(other)),
        }
    }
}

#[derive(Debug, Default)]
struct Way {
    last: Time,
    stuck: VecDeque<Message>,
    since: Option<Time>,
    tries: u32,
    /// How often something was stuck.
    turn: u32,
}

/// A link between an agent and a controller.
#[derive(Debug)]
pub(super) struct Link {
    pub host: HostIx,
    pub controller: usize,
    agent_life: u32,
    own: LinkId,
    controller_life: u32,
    agent_open: bool,
    controller_open: bool,
    ways: [Way; 2],
}

impl Link {
    fn way(&mut self, to: Direction) -> &mut Way {
        &mut self.ways[to as usize]
    }
}

fn number(link: u32) -> FleetLink {
    FleetLink(u64::from(link) + 1)
}

impl World {
    /// What the management network does to messages from now on.
    pub(crate) fn set_mischief(&mut self, mischief: Mischief) {
        self.network.mischief = mischief;
    }

    /// Whether one host reaches another over the management network, there and back.
    pub(super) fn hosts_reach(&self, one: HostIx, other: HostIx) -> bool {
        let (one, other) = (self.machines[one.at()].ports, self.machines[other.at()].ports);
        !one.is_cut(Network::Management) && !other.is_cut(Network::Management)
    }

    /// How long a message takes between two hosts, if it is lost and sent again too.
    pub(super) fn way_between_hosts(&mut self) -> Seconds {
        let span = self.latency();
        let lose = self.network.mischief.lose;
        if self.network.random.chance(lose) { span + SEND_AGAIN } else { span }
    }

    /// Cuts or mends the way between one host and one controller, and no other.
    pub(crate) fn set_way(&mut self, host: HostIx, controller: usize, works: bool) {
        if works {
            self.network.cut.remove(&(host, controller));
        } else {
            self.network.cut.insert((host, controller));
        }
        let name = self.machines[host.at()].name.clone();
        self.note(|| format!("the way from {name} to controller {controller}: {}", if works { "on" } else { "off" }));
        self.changes();
    }

    fn path(&self, host: HostIx, controller: usize, to: Direction) -> bool {
        if self.network.cut.contains(&(host, controller)) {
            return false;
        }
        let (host, controller) = (self.machines[host.at()].ports, self.controllers[controller].ports);
        match to {
            Direction::ToAgent => controller.sends(Network::Management) && host.hears(Network::Management),
            Direction::ToController => host.sends(Network::Management) && controller.hears(Network::Management),
        }
    }

    /// Whether a host and a controller reach each other, there and back.
    pub(super) fn reach(&self, host: HostIx, controller: usize) -> bool {
        self.path(host, controller, Direction::ToAgent) && self.path(host, controller, Direction::ToController)
    }

    pub(super) fn connect(&mut self, host: HostIx, own: LinkId, controller: usize) {
        let Some(agent) = &mut self.machines[host.at()].agent else { return };
        let Some(controller_now) = self.controllers.get(controller) else { return };
        let link = u32::try_from(self.links.len()).unwrap_or(u32::MAX);
        agent.links.push((own, link));
        self.links.push(Link {
            host,
            controller,
            agent_life: agent.life,
            own,
            controller_life: controller_now.life(),
            agent_open: true,
            controller_open: false,
            ways: [Way::default(), Way::default()],
        });
        let span = self.latency() * 3;
        self.after(span, Event::Connects { link });
    }

    pub(super) fn latency(&mut self) -> Seconds {
        let span = self.settings.times.all.latency;
        span.draw(&mut self.network.random)
    }

    pub(super) fn connects(&mut self, link: u32) {
        let at = link as usize;
        let (host, controller) = (self.links[at].host, self.links[at].controller);
        let both = [Direction::ToAgent, Direction::ToController];
        // Who gets no answer to a connection waits for its own time limit.
        if !self.links[at].agent_open || !both.iter().all(|to| self.path(host, controller, *to)) {
            return;
        }
        let (listens, life) = (self.controllers[controller].listens(), self.controllers[controller].life());
        let entry = &mut self.links[at];
        if listens {
            entry.controller_open = true;
            entry.controller_life = life;
        }
        let (agent_life, own) = (entry.agent_life, entry.own);
        if listens {
            self.tell_agent_of_link(host, agent_life, HostInput::LinkOpened { link: own });
        } else {
            self.close_for_agent(link);
        }
    }

    /// As `tell_agent`, but put aside while the host hangs.
    fn tell_agent_of_link(&mut self, host: HostIx, life: u32, input: HostInput) {
        self.operation_ends(host, life, Seconds::ZERO, input);
    }

    /// The agent's side learns that its link is gone.
    fn close_for_agent(&mut self, link: u32) {
        let entry = &mut self.links[link as usize];
        if !entry.agent_open {
            return;
        }
        entry.agent_open = false;
        let (host, life, own) = (entry.host, entry.agent_life, entry.own);
        if let Some(agent) = self.agent(host, life) {
            agent.links.retain(|(_, other)| *other != link);
        }
        self.tell_agent_of_link(host, life, HostInput::LinkClosed { link: own });
    }

    /// The agent, or its kernel after its death, closes its side.
    pub(super) fn close_agent_side(&mut self, link: u32) {
        let entry = &mut self.links[link as usize];
        entry.agent_open = false;
        if entry.controller_open {
            self.send(link, Direction::ToController, Message::Closed);
        }
    }

    /// The controller, or its kernel after its death, closes its side.
    pub(super) fn close_controller_side(&mut self, link: FleetLink) {
        let Some(link) = link.0.checked_sub(1).and_then(|link| u32::try_from(link).ok()) else { return };
        let Some(entry) = self.links.get_mut(link as usize) else { return };
        entry.controller_open = false;
        if entry.agent_open {
            self.send(link, Direction::ToAgent, Message::Closed);
        }
    }

    /// All links of a controller's life end with it.
    pub(super) fn close_all_of(&mut self, controller: usize, life: u32) {
        let open = |link: &Link| link.controller == controller && link.controller_life == life && link.controller_open;
        let links: Vec<usize> =
            self.links.iter().enumerate().filter(|(_, link)| open(link)).map(|(at, _)| at).collect();
        for at in links {
            self.close_controller_side(number(u32::try_from(at).unwrap_or(u32::MAX)));
        }
    }

    pub(super) fn agent_says(&mut self, link: u32, message: Message) {
        if self.links[link as usize].agent_open {
            self.send(link, Direction::ToController, message);
        }
    }

    /// A controller says something on a link of its own life; if it is gone, so is the message.
    pub(super) fn controller_says(&mut self, controller: usize, life: u32, link: FleetLink, message: Message) {
        let Some(link) = link.0.checked_sub(1).and_then(|link| u32::try_from(link).ok()) else { return };
        let Some(entry) = self.links.get(link as usize) else { return };
        if entry.controller_open && entry.controller == controller && entry.controller_life == life {
            self.send(link, Direction::ToAgent, message);
        }
    }

    fn send(&mut self, link: u32, to: Direction, message: Message) {
        let at = link as usize;
        let (host, controller) = (self.links[at].host, self.links[at].controller);
        let works = self.path(host, controller, to) && !self.lost();
        if self.links[at].way(to).since.is_none() {
            if works {
                self.put_on_the_wire(link, to, message);
            } else {
                self.stick(link, to, message);
            }
            return;
        }
        self.links[at].way(to).stuck.push_back(message);
        // What comes after a lost one tells the sender of the loss, and that is sent again at once.
        if works && !self.lost() {
            self.let_go_on(link, to);
        }
    }

    fn lost(&mut self) -> bool {
        let lose = self.network.mischief.lose;
        self.network.random.chance(lose)
    }

    /// A message waits until its sender tries again.
    fn stick(&mut self, link: u32, to: Direction, message: Message) {
        let now = self.now;
        let way = self.links[link as usize].way(to);
        way.stuck.push_back(message);
        way.turn += 1;
        (way.since, way.tries) = (Some(now), 0);
        let turn = way.turn;
        self.after(SEND_AGAIN, Event::SendAgain { link, to, turn });
    }

    /// What was stuck gets through.
    fn let_go_on(&mut self, link: u32, to: Direction) {
        let way = self.links[link as usize].way(to);
        way.since = None;
        for message in std::mem::take(&mut way.stuck) {
            self.put_on_the_wire(link, to, message);
        }
    }

    fn put_on_the_wire(&mut self, link: u32, to: Direction, message: Message) {
        let mut span = self.latency();
        let mischief = self.network.mischief;
        let random = &mut self.network.random;
        if random.chance(mischief.delay) {
            span += random.between(Seconds::ZERO, mischief.delay_by);
        }
        let (repeats, jumps) = (random.chance(mischief.repeat), random.chance(mischief.reorder));
        let again = random.between(Seconds::ZERO, Seconds::new(3));
        let now = self.now;
        let way = self.links[link as usize].way(to);
        let mut at = now + span;
        if jumps {
            at = at + again;
        } else {
            at = at.max(way.last);
            way.last = at;
        }
        if repeats {
            self.queue.push(at + again, Event::Arrives { link, to, message: message.clone() });
        }
        self.queue.push(at, Event::Arrives { link, to, message });
    }

    pub(super) fn send_again(&mut self, link: u32, to: Direction, turn: u32) {
        let now = self.now;
        let at = link as usize;
        let (host, controller) = (self.links[at].host, self.links[at].controller);
        let Some(since) = self.links[at].way(to).since else { return };
        if self.links[at].way(to).turn != turn {
            return;
        }
        if self.path(host, controller, to) && !self.lost() {
            self.let_go_on(link, to);
            return;
        }
        let way = self.links[at].way(to);
        if now.since(since) < GIVE_UP {
            way.tries += 1;
            let pause = (SEND_AGAIN * (1 << way.tries.min(4))).min(Seconds::new(2));
            self.after(pause, Event::SendAgain { link, to, turn });
            return;
        }
        way.stuck.clear();
        way.since = None;
        match to {
            Direction::ToController => self.close_for_agent(link),
            Direction::ToAgent => self.close_for_controller(link),
        }
    }

    fn close_for_controller(&mut self, link: u32) {
        let entry = &mut self.links[link as usize];
        if !entry.controller_open {
            return;
        }
        entry.controller_open = false;
        let (controller, life) = (entry.controller, entry.controller_life);
        let host = self.machines[entry.host.at()].name.clone();
        self.tell_controller(controller, life, Input::LinkClosed { host, link: number(link) });
    }

    pub(super) fn arrives(&mut self, link: u32, to: Direction, message: Message) {
        match (to, message) {
            (Direction::ToAgent, Message::Closed) => self.close_for_agent(link),
            (Direction::ToController, Message::Closed) => self.close_for_controller(link),
            (Direction::ToAgent, Message::ToAgent(message)) => self.reaches_agent(link, *message),
            (Direction::ToAgent, Message::Heard { sequence, lease_ms }) => {
                self.reaches_agent(link, ToAgent::Heard { sequence, lease_ms });
            }
            (Direction::ToController, Message::FromAgent(message)) => self.reaches_controller(link, *message),
            (Direction::ToController, Message::Heartbeat { sequence, pledge }) => {
                self.reaches_controller(link, FromAgent::Heartbeat { sequence, pledge });
            }
            (Direction::ToAgent, Message::FromAgent(_) | Message::Heartbeat { .. })
            | (Direction::ToController, Message::ToAgent(_) | Message::Heard { .. }) => {}
        }
    }

    fn reaches_agent(&mut self, link: u32, message: ToAgent) {
        let entry = &self.links[link as usize];
        let (host, own, life) = (entry.host, entry.own, entry.agent_life);
        if !self.machines[host.at()].up {
            return;
        }
        if entry.agent_open && self.agent(host, life).is_some() {
            self.feed(host, HostInput::Message { link: own, message });
        } else {
            // Nobody has that connection any more: the kernel says so.
            self.send(link, Direction::ToController, Message::Closed);
        }
    }

    fn reaches_controller(&mut self, link: u32, mut message: FromAgent) {
        let entry = &self.links[link as usize];
        let (controller, life) = (entry.controller, entry.controller_life);
        if entry.controller_open && self.controllers[controller].life() == life {
            let host = self.machines[entry.host.at()].name.clone();
            if let FromAgent::Hello(hello) = &mut message {
                hello.probe_addresses = vec![host.to_string()];
            }
            self.tell_controller(controller, life, Input::AgentSaid { host, link: number(link), message });
        } else {
            self.send(link, Direction::ToAgent, Message::Closed);
        }
    }

    /// Cuts or mends a host's port.
    pub(crate) fn set_port(&mut self, host: HostIx, network: Network, out: Option<bool>, into: Option<bool>) {
        let machine = &mut self.machines[host.at()];
        machine.ports.set(network, out, into);
        let name = machine.name.clone();
        let say = |works: Option<bool>, way: &str| works.map(|on| format!("{way} {}", if on { "on" } else { "off" }));
        self.note(|| {
            let ways: Vec<String> = [say(out, "out"), say(into, "in")].into_iter().flatten().collect();
            format!("network {} of {name}: {}", network.name(), ways.join(", "))
        });
        self.changes();
        if network == Network::Storage {
            self.look_at_storage_of(host);
        }
    }
}
