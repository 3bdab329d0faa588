//! Tests of the host's side of the brain.

mod properties;
mod rules;
mod world;
