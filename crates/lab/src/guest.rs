//! The guests of the lab: a kernel of Debian's, a RAM disk with busybox, and one program of our own.

pub mod image;
pub(crate) mod kernel;
pub mod program;
pub mod record;

mod archive;
mod kvm;

pub use image::{Accelerator, GuestImage};
