//! The virtual world in which Lifeboat's own decisions run: any year of failures in a minute, from a seed, exactly again.
//!
//! # Theory of operation
//!
//! [`world`] is a queue of what is going to happen, in virtual time. Hosts, agents, hypervisors, networks, arrays, BMCs,
//! controllers and their store are modelled; the decisions are not: every controller runs
//! [`lifeboat_brain::fleet::Brain`] and every agent [`lifeboat_brain::host::HostBrain`], with writes that become durable
//! before effects go out, and both may die between any two instants.
//!
//! [`promises`] holds the world, not what anybody believes of it, to the invariants after every event.
//!
//! What is done to a world is a [`fault::Fault`] or an operator's order. [`scenario`] reads them from a file, [`swarm`]
//! draws them from a seed, [`paper`] repeats published experiments.
//!
//! There is no clock, no thread and no entropy in a world: the same seed gives the same trace, byte for byte.

pub mod clock;
pub mod fault;
pub mod generate;
pub mod panics;
pub mod paper;
pub mod promises;
pub mod queue;
pub mod random;
pub mod scenario;
pub mod swarm;
pub mod times;
pub mod world;

pub use fault::Fault;
pub use promises::{Promise, Violation};
pub use world::{World, WorldSettings};
