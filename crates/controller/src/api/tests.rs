//! What operators are shown, and what they are told when something is refused.

mod bench;
mod follow;
mod notify;
mod routes;
mod views;
