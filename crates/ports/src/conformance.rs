//! What every implementation of a port must do, as tests that take one and drive it. One module a port.

pub mod fence;
