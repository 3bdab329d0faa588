//! Words that depend on a number.

use std::fmt::Display;

/// `1 VM waits`, `3 VMs wait`: a number before what agrees with it.
#[must_use]
pub fn counted<N: Display + PartialEq + From<u8>>(number: N, one: &str, many: &str) -> String {
    if number == N::from(1) { format!("1 {one}") } else { format!("{number} {many}") }
}

/// `1 VM`, `3 VMs`.
#[must_use]
pub fn count<N: Display + PartialEq + From<u8>>(number: N, one: &str) -> String {
    counted(number, one, &format!("{one}s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_told_as_one_and_none_as_many() {
        assert_eq!(
            (count(1, "VM").as_str(), count(0, "VM").as_str(), count(12, "VM").as_str()),
            ("1 VM", "0 VMs", "12 VMs")
        );
        assert_eq!(counted(1, "VM waits", "VMs wait"), "1 VM waits");
        assert_eq!(counted(2, "VM waits", "VMs wait"), "2 VMs wait");
    }
}
