//! One-time join tokens.
//!
//! A token is `lb1.AUTHORITY.SECRET`: the SHA-256 of the pod's authority in hexadecimal, by which the newcomer
//! recognises the controller before it says anything, and 160 random bits in base32, by which the controller recognises
//! the newcomer. The controller stores only [`JoinToken::secret_hash`]; the token itself exists where an operator
//! carries it.

use std::fmt;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{
    Fingerprint,
    entropy::{self, NoEntropy},
    secret::Secret,
};

const MARK: &str = "lb1";
const SECRET_BYTES: usize = 20;
/// A token is exactly so many characters long.
pub const TOKEN_CHARS: usize = 3 + 1 + 64 + 1 + 32;

/// A token that lets one newcomer join a pod.
#[derive(Clone)]
pub struct JoinToken {
    authority: Fingerprint,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

/// A text that is not a token. Says nothing of what the text was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAToken {
    /// It does not begin with `lb1.`.
    #[error("not a join token: one begins with `lb1.`; copy the whole line that the controller printed")]
    Mark,
    /// It is too short, too long, or has the wrong number of parts.
    #[error("not a whole join token ({TOKEN_CHARS} characters): copy the whole line that the controller printed")]
    Shape,
    /// A character does not belong there.
    #[error("the join token was changed on its way: copy it again")]
    Digits,
}

/// The SHA-256 of a token's secret: what the controller keeps. Compared in constant time.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl JoinToken {
    /// Makes a new token for the pod of an authority.
    ///
    /// # Errors
    /// [`NoEntropy`] when the system gives no random bytes.
    pub fn generate(authority: Fingerprint) -> Result<Self, NoEntropy> {
        Ok(Self { authority, secret: Zeroizing::new(entropy::random()?) })
    }

    /// Reads a token; blanks around it do not matter.
    ///
    /// # Errors
    /// [`NotAToken`] when the text is none.
    pub fn parse(text: &str) -> Result<Self, NotAToken> {
        let rest = text.trim().strip_prefix(MARK).and_then(|rest| rest.strip_prefix('.')).ok_or(NotAToken::Mark)?;
        let (authority, secret) = rest.split_once('.').ok_or(NotAToken::Shape)?;
        if authority.len() != 64 || secret.len() != BASE32_NOPAD.encode_len(SECRET_BYTES) {
            return Err(NotAToken::Shape);
        }
        let authority = authority.parse().map_err(|_| NotAToken::Digits)?;
        let secret = Zeroizing::new(secret.to_ascii_uppercase());
        let secret = BASE32_NOPAD.decode(secret.as_bytes()).map(Zeroizing::new).map_err(|_| NotAToken::Digits)?;
        let secret = <[u8; SECRET_BYTES]>::try_from(secret.as_slice()).map_err(|_| NotAToken::Shape)?;
        Ok(Self { authority, secret: Zeroizing::new(secret) })
    }

    /// The fingerprint of the pod's authority.
    #[must_use]
    pub fn authority(&self) -> Fingerprint {
        self.authority
    }

    /// The whole token as text, to be given to the one who joins; never to be logged.
    #[must_use]
    pub fn reveal(&self) -> Secret {
        Secret::new(format!("{MARK}.{}.{}", self.authority, *self.secret_text()))
    }

    fn secret_text(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE32_NOPAD.encode(&*self.secret).to_ascii_lowercase())
    }

    /// The hash by which the controller finds the token again.
    #[must_use]
    pub fn secret_hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(*self.secret).into())
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({MARK}.{}.not-shown)", self.authority)
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK}.{}.…", self.authority)
    }
}

impl SecretHash {
    /// Reads a hash as [`fmt::Display`] writes it; `None` when the text is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretHash {}

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> JoinToken {
        JoinToken::generate(Fingerprint::of(b"an authority")).expect("entropy")
    }

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let token = token();
        let text = token.reveal();
        assert_eq!(text.reveal().len(), TOKEN_CHARS);
        let read = JoinToken::parse(&format!("  {}\n", text.reveal())).expect("a token");
        assert_eq!(read.authority(), token.authority());
        assert_eq!(read.secret_hash(), token.secret_hash());
        assert_eq!(SecretHash::parse(&token.secret_hash().to_string()), Some(token.secret_hash()));
    }

    #[test]
    fn two_tokens_differ() {
        assert_ne!(token().secret_hash(), token().secret_hash());
    }

    #[test]
    fn a_token_shows_its_secret_only_when_asked() {
        let token = token();
        let secret = token.secret_text();
        for shown in [format!("{token}"), format!("{token:?}"), format!("{:#?}", Some(&token))] {
            assert!(shown.contains("lb1.") && !shown.to_lowercase().contains(secret.as_str()), "{shown}");
        }
        assert!(token.reveal().reveal().ends_with(secret.as_str()));
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_an_error_that_does_not_repeat_it(text in ".{0,120}") {
            if let Err(error) = JoinToken::parse(&text) {
                prop_assert!(text.len() < 8 || !error.to_string().contains(&text));
            }
        }

        #[test]
        fn a_token_with_one_character_changed_is_another_or_none(at in 0..TOKEN_CHARS, to in any::<char>()) {
            let token = token();
            let mut text: Vec<char> = token.reveal().reveal().chars().collect();
            prop_assume!(!text[at].eq_ignore_ascii_case(&to));
            text[at] = to;
            if let Ok(read) = JoinToken::parse(&text.into_iter().collect::<String>()) {
                prop_assert!(read.authority() != token.authority() || read.secret_hash() != token.secret_hash());
            }
        }
    }
}
