//! Names of things, as distinct types, so that a VM's name never stands where a host's belongs.
//!
//! A name is 1 to 128 characters: ASCII letters, digits, `.`, `_`, `-`; it begins with a letter or a digit. That keeps
//! it safe as a file name, a process argument, a QEMU id and a path segment of the API. Cloning is cheap.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// The most characters that a name may have.
pub const MAX_NAME_CHARS: usize = 128;

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a name may not be empty")]
    Empty,
    /// The text has more than [`MAX_NAME_CHARS`] characters.
    #[error("`{0}…` is too long for a name: {MAX_NAME_CHARS} characters at most")]
    TooLong(String),
    /// The text has a character that a name may not have, or one where it may not be.
    #[error(
        "`{text}` is not a name: {character:?} may not stand there (letters, digits, `.`, `_`, `-`; a letter or digit first)"
    )]
    Character {
        /// The text.
        text: String,
        /// The offending character.
        character: char,
    },
}

fn check(text: &str) -> Result<(), NameError> {
    let Some(first) = text.chars().next() else { return Err(NameError::Empty) };
    if text.chars().count() > MAX_NAME_CHARS {
        return Err(NameError::TooLong(text.chars().take(40).collect()));
    }
    let bad = |character| NameError::Character { text: text.to_owned(), character };
    if !first.is_ascii_alphanumeric() {
        return Err(bad(first));
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        Some(character) => Err(bad(character)),
        None => Ok(()),
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Makes a name of a text.
            ///
            /// # Errors
            /// [`NameError`] when the text is empty, too long, or has a character that a name may not have.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    )*};
}

names! {
    /// A host: a machine that runs VMs.
    HostName;
    /// A VM.
    VmName;
    /// A volume: a LUN at an array, a file on a shared directory.
    VolumeName;
    /// An array: what serves volumes to hosts.
    ArrayName;
    /// An SLA class.
    ClassName;
    /// A dependency group of VMs.
    GroupName;
    /// A fence device of a host.
    FenceName;
    /// A placement rule.
    RuleName;
    /// A check of VMs.
    CheckName;
    /// An operator: a person or a tool that gives orders.
    OperatorName;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_to_its_alphabet() {
        for good in ["h1", "web-12", "a.b_c-D", "0"] {
            assert_eq!(VmName::new(good).expect("a name").as_str(), good);
        }
        for bad in ["", "-x", ".hidden", "a/b", "a b", "ü", "a\n", "..", &"x".repeat(129)] {
            assert!(VmName::new(bad).is_err(), "{bad:?} was taken for a name");
        }
    }

    #[test]
    fn serde_refuses_what_new_refuses() {
        assert!(serde_json::from_str::<HostName>("\"../etc\"").is_err());
        assert_eq!(serde_json::to_string(&HostName::new("h1").expect("a name")).expect("json"), "\"h1\"");
    }
}
