//! A small client of QMP, the JSON protocol in which QEMU and `qemu-storage-daemon` are managed over a unix socket.
//!
//! # Theory of operation
//! [`Qmp::connect`] takes the greeting, leaves the negotiation mode, and then serves one connection with two tasks: one
//! writes whole lines (so that a call that is given up half-way never tears one), one reads lines and hands each answer
//! to the call that waits for its id and each event to all [`Events`] that exist. Calls may run side by side.
//!
//! Nothing is unbounded: a line is at most [`MAX_LINE_BYTES`] long, a call ends at its time limit, and a reader of events
//! that falls more than [`EVENTS_KEPT`] behind is told how many it lost ([`Notice::Lost`]) and must reread state. The
//! first thing on the wire that is not QMP ends the connection; every call then waiting, and every later one, fails with
//! the reason.

mod client;
pub mod message;

pub use client::{EVENTS_KEPT, Events, MAX_LINE_BYTES, Notice, Qmp, QmpError};
pub use message::Event;
