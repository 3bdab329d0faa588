//! SHA-256 fingerprints of certificates.

use std::{fmt, str::FromStr};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a certificate's DER bytes. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// A text that is not a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 fingerprint: that is 64 hexadecimal digits, colons between them allowed")]
pub struct NotAFingerprint;

impl Fingerprint {
    /// The fingerprint of a certificate's DER bytes.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    /// Reads 64 hexadecimal digits, in either case, with or without the colons that `openssl x509 -fingerprint` prints.
    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let digits: String = text.chars().filter(|c| *c != ':').take(65).collect();
        let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| NotAFingerprint)?;
        bytes.try_into().map(Self).map_err(|_| NotAFingerprint)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_written_and_as_openssl_writes_it() {
        let print = Fingerprint::of(b"a certificate");
        assert_eq!(print.to_string().parse(), Ok(print));
        let pairs: Vec<String> =
            print.to_string().to_uppercase().as_bytes().chunks(2).map(|p| String::from_utf8_lossy(p).into()).collect();
        assert_eq!(pairs.join(":").parse(), Ok(print));
        for bad in ["", "ab", "zz", &"a".repeat(63), &"a".repeat(66), &"ü".repeat(32)] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(NotAFingerprint), "{bad:?} was taken for a fingerprint");
        }
    }
}
