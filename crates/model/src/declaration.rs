//! Operators' files into a [`Declaration`], and everything that is wrong with one.
//!
//! Theory of operation, in three steps that share one list of [`Problem`]s:
//!
//! 1. [`read`] turns files (TOML, or `lifeboat/fleet/v1` JSON) into one declaration and an index of [`Places`]: the line
//!    of each object and of each of its fields. What cannot be read is a problem; the rest is read on.
//! 2. [`check`] holds a declaration against what is known already (what the controller keeps): references, doubles,
//!    numbers. With an index of places each problem names its line; without one (in the controller) it names the object.
//! 3. [`merge`] puts the new over the known and says what is new, what is different, and what is the same.
//!
//! Nothing is changed while there is a problem. [`warnings`] tells what is taken all the same but should be looked at,
//! [`users`] who still needs an object that is to be deleted.

mod check;
mod fault;
mod from_fleet;
mod merge;
mod nearest;
mod object;
mod places;
mod problem;
mod read;
mod to_fleet;
mod tree;
mod users;
mod warnings;

#[cfg(test)]
mod tests;

pub use check::check;
pub use from_fleet::from_fleet;
pub use merge::{Merged, merge};
pub use nearest::nearest;
pub use object::{Kind, Object};
pub use places::Places;
pub use problem::{MAX_PROBLEMS, Place, Problem};
pub use read::{Reading, Source, read};
pub use to_fleet::to_fleet;
pub use users::{remove, users};
pub use warnings::warnings;

use crate::spec::Declaration;

/// Reads files and checks them against what is known: all that `lifeboat apply` does before it asks the controller.
///
/// # Errors
/// Everything that is wrong, by file and line, at most [`MAX_PROBLEMS`].
pub fn read_and_check(sources: &[Source<'_>], known: &Declaration) -> Result<Declaration, Vec<Problem>> {
    let Reading { declaration, places, mut problems } = read(sources);
    problems.extend(check(&declaration, known, &places));
    if problems.is_empty() {
        return Ok(declaration);
    }
    problems.sort_by(|a, b| (a.place.as_ref(), &a.text).cmp(&(b.place.as_ref(), &b.text)));
    problems.dedup();
    problems.truncate(MAX_PROBLEMS);
    Err(problems)
}
