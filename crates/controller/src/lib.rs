//! The controller: the body of the brain's fleet side.
//!
//! ```text
//!   agents ──TLS──► links ─┐                            ┌─► links (say)
//!   operators ────► api ───┼─► inbox ─► engine: brain ──┼─► fencing, volumes, checks ─► drivers
//!   results of effects ────┘              │             └─► events, trace ─► notify
//!                                         ▼
//!                                       store   (written before any effect is carried out)
//! ```
//!
//! Agents are served by a thread of its own (`listener`, `links`), their heartbeats gathered before they wake the engine
//! (`heartbeats`). One task, the [`engine`], owns the brain. Everything else sends it messages and carries out what it
//! says. Whatever decides is in the brain; what is here only reads clocks, sockets and devices.

mod api;
mod asking;
mod checks;
pub mod clock;
pub mod config;
mod drill;
mod effects;
pub mod engine;
mod fencing;
mod gather;
pub mod handle;
mod heartbeat_block;
mod heartbeats;
mod join;
mod links;
mod listener;
pub mod memory;
mod notify;
mod run;
mod volumes;

pub use config::ControllerConfig;
pub use run::{RunError, run};
