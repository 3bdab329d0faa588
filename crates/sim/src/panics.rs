//! An assertion that does not hold in a world is that world's failure, with the place where it stands, and nobody else's.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook},
};

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on panics are not printed: who runs a world tells them, with what else there is to say.
pub fn keep_quiet() {
    set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        LAST.with(|last| *last.borrow_mut() = place);
    }));
}

/// Does something; what an assertion said that did not hold.
///
/// # Errors
/// What the assertion said, and where it stands if panics are kept quiet.
pub fn caught<T>(what: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(what)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let text = text.unwrap_or_else(|| "without a word".to_owned());
        match LAST.with(|last| last.borrow_mut().take()) {
            Some(place) => format!("{text} ({place})"),
            None => text,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_assertion_says_is_caught() {
        assert_eq!(caught(|| 1), Ok(1));
        let failed: Result<(), String> = caught(|| panic!("no {}", "way"));
        assert!(failed.unwrap_err().starts_with("no way"));
    }
}
