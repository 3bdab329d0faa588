//! Who a peer is, as its certificate says it.
//!
//! An identity is a DNS name under `lifeboat.internal` among the certificate's alternative names: `h1.hosts.lifeboat.internal`,
//! `alice.operators.lifeboat.internal`, `controller.lifeboat.internal`. The pod's authority alone writes it: what a
//! request asks for is not looked at. A certificate with none of these names, or with two, has no identity.

use std::fmt;

use lifeboat_model::{HostName, OperatorName};
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

/// All identities end so; no other alternative name may.
const REALM: &str = ".lifeboat.internal";
const HOSTS: &str = ".hosts.lifeboat.internal";
const OPERATORS: &str = ".operators.lifeboat.internal";
/// The name that every client expects in the controller's certificate, whatever address it connects to.
pub(crate) const CONTROLLER: &str = "controller.lifeboat.internal";

/// Who a peer is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// The agent of a host.
    Host(HostName),
    /// A person or a tool that gives orders.
    Operator(OperatorName),
    /// The pod's controller.
    Controller,
}

/// Why a certificate says nobody's identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The bytes are no X.509 certificate.
    #[error("the certificate cannot be read")]
    NotACertificate,
    /// No alternative name is one of Lifeboat's.
    #[error("the certificate names no host, operator or controller of Lifeboat")]
    Nobody,
    /// More than one alternative name is one of Lifeboat's.
    #[error("the certificate claims several identities")]
    Several,
}

impl Identity {
    /// The alternative name that carries this identity.
    #[must_use]
    pub fn dns_name(&self) -> String {
        match self {
            Self::Host(name) => format!("{name}{HOSTS}"),
            Self::Operator(name) => format!("{name}{OPERATORS}"),
            Self::Controller => CONTROLLER.to_owned(),
        }
    }

    /// Whether an alternative name belongs to Lifeboat, so that nobody may choose it.
    pub(crate) fn is_reserved(dns_name: &str) -> bool {
        let lower = dns_name.trim_end_matches('.').to_ascii_lowercase();
        lower.ends_with(REALM) || lower == REALM[1..]
    }

    fn from_dns_name(dns_name: &str) -> Option<Self> {
        if dns_name == CONTROLLER {
            return Some(Self::Controller);
        }
        if let Some(name) = dns_name.strip_suffix(HOSTS) {
            return HostName::new(name).ok().map(Self::Host);
        }
        let name = dns_name.strip_suffix(OPERATORS)?;
        OperatorName::new(name).ok().map(Self::Operator)
    }

    /// Reads the identity out of a certificate. Says nothing about who signed it: ask only for certificates that the
    /// handshake has verified.
    ///
    /// # Errors
    /// [`IdentityError`] when the certificate cannot be read or names nobody, or more than one.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let (_, parsed) =
            x509_parser::parse_x509_certificate(certificate).map_err(|_| IdentityError::NotACertificate)?;
        let names = parsed.subject_alternative_name().map_err(|_| IdentityError::NotACertificate)?;
        let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
        let mut ours = names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) if Self::is_reserved(name) => Some(*name),
            _ => None,
        });
        let Some(name) = ours.next() else { return Err(IdentityError::Nobody) };
        if ours.next().is_some() {
            return Err(IdentityError::Several);
        }
        Self::from_dns_name(name).ok_or(IdentityError::Nobody)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => write!(f, "host {name}"),
            Self::Operator(name) => write!(f, "operator {name}"),
            Self::Controller => f.write_str("the controller"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_host_and_operator_is_read_back_as_itself(name in "[A-Za-z0-9][A-Za-z0-9._-]{0,127}") {
            for identity in [
                Identity::Host(HostName::new(&name).expect("a name")),
                Identity::Operator(OperatorName::new(&name).expect("a name")),
            ] {
                prop_assert_eq!(Identity::from_dns_name(&identity.dns_name()), Some(identity.clone()));
                prop_assert!(Identity::is_reserved(&identity.dns_name()));
            }
        }

        #[test]
        fn bytes_that_are_no_certificate_give_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Identity::of_certificate(&CertificateDer::from(bytes)).is_err());
        }
    }

    #[test]
    fn a_host_cannot_be_named_so_that_it_reads_as_another_kind() {
        for name in ["controller", "x.operators", "alice.operators.lifeboat.internal", "controller.lifeboat.internal"] {
            let identity = Identity::Host(HostName::new(name).expect("a name"));
            assert_eq!(Identity::from_dns_name(&identity.dns_name()), Some(identity));
        }
        assert_eq!(Identity::from_dns_name("elsewhere.lifeboat.internal"), None);
        assert_eq!(Identity::from_dns_name(".hosts.lifeboat.internal"), None);
    }
}
