//! The brain: every decision that Lifeboat makes, without I/O.
//!
//! Two state machines share this crate, because they must agree: the fleet's side ([`fleet`]), whose body is the
//! controller, and the host's side ([`host`]), whose body is the agent. [`message`] is what they say to each other. Both
//! work alike: a body hands them the time and an input, they change their state and hand back an output: records to
//! be stored first, then effects to be carried out. They read no clock, draw no random numbers and never wait; the same
//! inputs give the same outputs, byte for byte. The simulator is a second body for both.

pub mod fleet;
pub mod host;
pub mod message;
pub mod notify;
