//! The pod's own certificate authority, on the controller.
//!
//! Theory of operation: on the controller's first start it makes a key (ECDSA P-256) and a certificate valid for ten
//! years, in one file `authority.pem` with mode 0600 in a directory with mode 0700. The file is written whole or not at
//! all, and never replaced: two controllers starting at once in one directory end with the same authority. Everybody
//! in the pod trusts this authority and no other.
//!
//! The controller makes itself a fresh certificate at each start ([`Authority::issue_controller`]). Hosts and
//! operators send a request once, when they join; [`Authority::sign_csr`] takes nothing out of it but the public key
//! and writes the [`Identity`] that the controller has decided on. Certificates are valid from an hour ago (clocks
//! differ) until the authority's own end, so that none runs out unattended in the middle of a recovery; who no longer
//! belongs to the pod is turned away by the controller, which looks each identity up.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
    SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject as _};
use zeroize::Zeroizing;

use crate::{
    Fingerprint, Identity,
    entropy::{self, NoEntropy},
    private_file::{self, FileError, Privacy},
};

/// The file in the authority's directory with its certificate and its key.
pub const AUTHORITY_FILE: &str = "authority.pem";
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// The longest certificate request that is looked at, in bytes.
pub const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// No authority is made before 2025-01-01: the clock of a machine without a battery starts decades too early.
const EARLIEST: Duration = Duration::from_secs(1_735_689_600);
const AUTHORITY_LIFE: Duration = Duration::from_secs(3652 * 24 * 3600);
/// How far a peer's clock may be behind the controller's.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);

/// Why the authority cannot be opened or cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Its file or directory cannot be read or written, or is open to others.
    #[error("cannot open the certificate authority")]
    File(#[from] FileError),
    /// Its file holds no matching certificate and key.
    #[error("{} holds no certificate authority ({why}): restore it from a backup, or move it away and let every host and operator join again", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A name for the controller's certificate is one of Lifeboat's own or cannot stand in a certificate.
    #[error("`{name}` cannot be a name of the controller: use a DNS name of your own, or an address")]
    Name {
        /// The name.
        name: String,
    },
    /// What came is no certificate request signed by its own key.
    #[error("the certificate request cannot be read or is not signed by its own key")]
    Request {
        /// What the parser said.
        source: rcgen::Error,
    },
    /// The request is longer than [`MAX_REQUEST_BYTES`].
    #[error("the certificate request is longer than {MAX_REQUEST_BYTES} bytes")]
    RequestTooLong,
    /// A key or certificate could not be made.
    #[error("cannot make a certificate")]
    Make(#[source] rcgen::Error),
    /// The clock cannot be right: an authority made now would have run out when it is set.
    #[error("the clock of this machine is years behind: set it, then start again")]
    Clock,
    /// No random bytes for a serial number.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

/// A server's certificate, its authority's after it, and its key; made anew at each start, never stored.
pub struct ServerCertificate {
    /// The server's certificate, then the authority's: newcomers know the latter by its fingerprint.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first certificate.
    pub key: PrivateKeyDer<'static>,
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate").finish_non_exhaustive()
    }
}

/// The span in which a certificate is valid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validity {
    pub(crate) from: SystemTime,
    pub(crate) until: SystemTime,
}

/// The pod's certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    expires: SystemTime,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

impl Authority {
    /// Opens the authority in a directory, or makes it there when there is none yet.
    ///
    /// # Errors
    /// [`AuthorityError`] when the directory or the file cannot be used, others may read the file, or it is damaged. A
    /// damaged file is never replaced: all hosts trust what it once held.
    pub fn open_or_create(dir: &Path) -> Result<Self, AuthorityError> {
        private_file::open_dir(dir)?;
        let path = dir.join(AUTHORITY_FILE);
        match private_file::read(&path, Privacy::OwnerOnly, MAX_FILE_BYTES) {
            Ok(text) => return Self::parse(&path, &text),
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error.into()),
        }
        let text = new_authority(SystemTime::now())?;
        if private_file::write_new(&path, &text)? {
            return Self::parse(&path, &text);
        }
        // Another process was faster: its authority is the pod's.
        Self::parse(&path, &private_file::read(&path, Privacy::OwnerOnly, MAX_FILE_BYTES)?)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, AuthorityError> {
        let damaged = |why| AuthorityError::Damaged { path: path.to_owned(), why };
        let certificate = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| damaged("no certificate"))?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| damaged("no key"))?;
        let key = KeyPair::try_from(&key).map_err(|_| damaged("the key cannot be read"))?;
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&certificate).map_err(|_| damaged("the certificate cannot be read"))?;
        if parsed.public_key().subject_public_key.data != key.der_bytes() {
            return Err(damaged("the key is not the certificate's"));
        }
        if !parsed.is_ca() {
            return Err(damaged("the certificate is not an authority's"));
        }
        let expires = parsed.validity().not_after.to_datetime().into();
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(AuthorityError::Make)?;
        let certificate_pem = crate::tls::pem_of(&certificate);
        Ok(Self { issuer, certificate, certificate_pem, expires })
    }

    /// The SHA-256 of the authority's certificate: what a join token names.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// The authority's certificate, which is public.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The authority's certificate as PEM, which is public.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// When the authority, and with it every certificate of it, runs out.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        self.expires
    }

    /// Makes a key and a certificate for the controller. `names` are the DNS names and addresses at which browsers and
    /// other foreign programs reach it; Lifeboat's own parts need none of them.
    ///
    /// # Errors
    /// [`AuthorityError::Name`] when a name is one of Lifeboat's own; others when the system gives no random bytes.
    pub fn issue_controller(&self, names: &[ServerName<'_>]) -> Result<ServerCertificate, AuthorityError> {
        self.issue(Some(&Identity::Controller), names, self.usual_validity())
    }

    /// Makes a key and a certificate for a server that is nobody in the pod, such as a BMC of the lab.
    ///
    /// # Errors
    /// As [`Authority::issue_controller`].
    pub fn issue_server(&self, names: &[ServerName<'_>]) -> Result<ServerCertificate, AuthorityError> {
        self.issue(None, names, self.usual_validity())
    }

    /// The same, valid at other times.
    #[cfg(test)]
    pub(crate) fn issue_server_for(
        &self,
        names: &[ServerName<'_>],
        validity: Validity,
    ) -> Result<ServerCertificate, AuthorityError> {
        self.issue(None, names, validity)
    }

    fn issue(
        &self,
        identity: Option<&Identity>,
        names: &[ServerName<'_>],
        validity: Validity,
    ) -> Result<ServerCertificate, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Make)?;
        let names = names.iter().map(foreign_name).collect::<Result<Vec<_>, _>>()?;
        let leaf = self.sign(&key, identity, names, validity)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Ok(ServerCertificate { chain: vec![leaf, self.certificate.clone()], key })
    }

    /// Signs the public key of a certificate request (PEM) for an identity; whatever else the request asks for is
    /// ignored. Gives the certificate as PEM.
    ///
    /// # Errors
    /// [`AuthorityError::Request`] when the request cannot be read or its sender does not hold the key.
    pub fn sign_csr(&self, request_pem: &str, identity: &Identity) -> Result<String, AuthorityError> {
        self.sign_csr_for(request_pem, identity, self.usual_validity())
    }

    pub(crate) fn sign_csr_for(
        &self,
        request_pem: &str,
        identity: &Identity,
        validity: Validity,
    ) -> Result<String, AuthorityError> {
        if request_pem.len() > MAX_REQUEST_BYTES {
            return Err(AuthorityError::RequestTooLong);
        }
        let request = CertificateSigningRequestParams::from_pem(request_pem)
            .map_err(|source| AuthorityError::Request { source })?;
        let leaf = self.sign(&request.public_key, Some(identity), Vec::new(), validity)?;
        Ok(crate::tls::pem_of(&leaf))
    }

    fn usual_validity(&self) -> Validity {
        Validity { from: SystemTime::now() - CLOCK_SKEW, until: self.expires }
    }

    fn sign(
        &self,
        key: &impl PublicKeyData,
        identity: Option<&Identity>,
        mut names: Vec<SanType>,
        validity: Validity,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        if let Some(identity) = identity {
            names.insert(0, dns_name(&identity.dns_name())?);
        }
        let mut params = params(validity, &format!("Lifeboat: {}", kind(identity)))?;
        params.subject_alt_names = names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match identity {
            Some(Identity::Host(_) | Identity::Operator(_)) => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Some(Identity::Controller) => {
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
            }
            None => vec![ExtendedKeyUsagePurpose::ServerAuth],
        };
        let certificate = params.signed_by(key, &self.issuer).map_err(AuthorityError::Make)?;
        Ok(certificate.der().clone())
    }
}

/// A common name for people who look at a certificate; the full name stands among the alternative names, since a
/// common name is at most 64 characters long.
fn kind(identity: Option<&Identity>) -> &'static str {
    match identity {
        Some(Identity::Host(_)) => "a host",
        Some(Identity::Operator(_)) => "an operator",
        Some(Identity::Controller) => "the controller",
        None => "a server",
    }
}

fn params(validity: Validity, common_name: &str) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.not_before = validity.from.into();
    params.not_after = validity.until.into();
    let mut serial = entropy::random::<16>()?;
    // A serial number is positive and has no leading zero byte.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

fn new_authority(now: SystemTime) -> Result<Zeroizing<String>, AuthorityError> {
    if now < SystemTime::UNIX_EPOCH + EARLIEST {
        return Err(AuthorityError::Clock);
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Make)?;
    let validity = Validity { from: now - CLOCK_SKEW, until: now + AUTHORITY_LIFE };
    // A name of its own, so that a certificate of another pod's authority is recognised as foreign at once.
    let mark = data_encoding::HEXLOWER.encode(&entropy::random::<8>()?);
    let mut params = params(validity, &format!("Lifeboat authority {mark}"))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(AuthorityError::Make)?;
    let key_pem = Zeroizing::new(key.serialize_pem());
    Ok(Zeroizing::new(format!("{}{}", certificate.pem(), *key_pem)))
}

fn dns_name(name: &str) -> Result<SanType, AuthorityError> {
    let name = name.try_into().map_err(|_| AuthorityError::Name { name: name.to_owned() })?;
    Ok(SanType::DnsName(name))
}

fn foreign_name(name: &ServerName<'_>) -> Result<SanType, AuthorityError> {
    match name {
        ServerName::IpAddress(address) => Ok(SanType::IpAddress((*address).into())),
        ServerName::DnsName(name) if !Identity::is_reserved(name.as_ref()) => dns_name(name.as_ref()),
        other => Err(AuthorityError::Name { name: other.to_str().into_owned() }),
    }
}

#[cfg(test)]
mod tests;
