//! Operators' files into a [`Declaration`](crate::spec::Declaration), and what may be wrong with one.

mod object;
mod problem;

pub use object::{Kind, Object};
pub use problem::{MAX_PROBLEMS, Place, Problem};
