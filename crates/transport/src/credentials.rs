//! A peer's own key and certificate, on its own disk.
//!
//! A newcomer makes a key and a request ([`KeyAndRequest::generate`]); the key never leaves it. What the controller
//! sends back is checked to fit before anything is stored: the certificate belongs to the key and comes from the
//! authority that the join token named. Everything is kept in one file, `credentials.pem` with mode 0600 in a directory
//! with mode 0700, so that a power cut cannot leave a key beside another key's certificate.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime, pem::PemObject as _};
use zeroize::Zeroizing;

use crate::{
    Fingerprint, Identity, IdentityError,
    private_file::{self, FileError, Privacy},
};

/// The file in the directory with key, certificate and the authority's certificate.
pub const CREDENTIALS_FILE: &str = "credentials.pem";
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Why credentials cannot be made, read or stored.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Their file or directory cannot be read or written, or is open to others.
    #[error("cannot use the credentials")]
    File(#[from] FileError),
    /// Their file does not hold a key, its certificate and the authority's.
    #[error("{} is damaged: move it away and join again with a new token", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: Misfit,
    },
    /// What the controller sent does not fit.
    #[error("the controller's answer cannot be used: ask for a new token and join again")]
    Answer(#[source] Misfit),
    /// A key could not be made.
    #[error("cannot make a key")]
    Make(#[source] rcgen::Error),
}

/// What does not fit together in credentials.
#[derive(Debug, thiserror::Error)]
pub enum Misfit {
    /// A part is missing or cannot be read.
    #[error("there is no readable {0} in it")]
    Missing(&'static str),
    /// The authority is not the one that the join token named.
    #[error("it names the authority {found}, the token {expected}")]
    Authority {
        /// The token's.
        expected: Fingerprint,
        /// The answer's.
        found: Fingerprint,
    },
    /// The certificate is not signed by the authority or not of the key.
    #[error("its certificate does not belong to its key and its authority")]
    Certificate(#[source] rustls::Error),
    /// The certificate says nobody's name.
    #[error("its certificate says nobody's name")]
    Identity(#[source] IdentityError),
}

/// A new key and the request to sign it.
#[derive(Debug)]
pub struct KeyAndRequest {
    key: Key,
    request_pem: String,
}

impl KeyAndRequest {
    /// Makes a key (ECDSA P-256) and a request for it. The request asks for no name: the controller decides.
    ///
    /// # Errors
    /// [`CredentialsError::Make`] when the system gives no random bytes.
    pub fn generate() -> Result<Self, CredentialsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CredentialsError::Make)?;
        let request = CertificateParams::default().serialize_request(&key).map_err(CredentialsError::Make)?;
        let request_pem = request.pem().map_err(CredentialsError::Make)?;
        Ok(Self { key: Key(Zeroizing::new(key.serialize_der())), request_pem })
    }

    /// The request, to be sent to the controller.
    #[must_use]
    pub fn request_pem(&self) -> &str {
        &self.request_pem
    }

    /// Makes credentials of the controller's answer, after checking that it fits.
    ///
    /// # Errors
    /// [`CredentialsError::Answer`] when the authority is not the expected one, did not sign the certificate, or signed
    /// another key.
    pub fn into_credentials(
        self,
        certificate_pem: &str,
        authority_pem: &str,
        expected: &Fingerprint,
    ) -> Result<Credentials, CredentialsError> {
        let read = |pem: &str, what| {
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| CredentialsError::Answer(Misfit::Missing(what)))
        };
        let certificate = read(certificate_pem, "certificate")?;
        let authority = read(authority_pem, "certificate of an authority")?;
        let credentials = Credentials::assemble(self.key, certificate, authority).map_err(CredentialsError::Answer)?;
        let found = credentials.authority_fingerprint();
        if found != *expected {
            return Err(CredentialsError::Answer(Misfit::Authority { expected: *expected, found }));
        }
        Ok(credentials)
    }
}

/// A peer's key, its certificate, and the authority's certificate, checked to fit together.
#[derive(Debug)]
pub struct Credentials {
    pub(crate) authority: CertificateDer<'static>,
    pub(crate) certificate: CertificateDer<'static>,
    key: Key,
    identity: Identity,
    expires: SystemTime,
}

impl Credentials {
    fn assemble(
        key: Key,
        certificate: CertificateDer<'static>,
        authority: CertificateDer<'static>,
    ) -> Result<Self, Misfit> {
        let identity = Identity::of_certificate(&certificate).map_err(Misfit::Identity)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate)
            .map_err(|_| Misfit::Identity(IdentityError::NotACertificate))?;
        let expires = parsed.validity().not_after.to_datetime().into();
        let credentials = Self { authority, certificate, key, identity, expires };
        crate::tls::check_credentials(&credentials).map_err(Misfit::Certificate)?;
        Ok(credentials)
    }

    /// Reads the credentials in a directory; `Ok(None)` when there are none yet.
    ///
    /// # Errors
    /// [`CredentialsError`] when the file cannot be read, others may read it, or it is damaged.
    pub fn load(dir: &Path) -> Result<Option<Self>, CredentialsError> {
        let path = dir.join(CREDENTIALS_FILE);
        let text = match private_file::read(&path, Privacy::OwnerOnly, MAX_FILE_BYTES) {
            Ok(text) => text,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let damaged = |source| CredentialsError::Damaged { path: path.clone(), source };
        let missing = |what| damaged(Misfit::Missing(what));
        let key = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| missing("key"))?;
        let key = Key(Zeroizing::new(key.secret_pkcs8_der().to_vec()));
        let mut certificates = CertificateDer::pem_slice_iter(text.as_bytes());
        let mut next = |what| match certificates.next() {
            Some(Ok(certificate)) => Ok(certificate),
            _ => Err(missing(what)),
        };
        let (certificate, authority) = (next("certificate")?, next("certificate of an authority")?);
        Self::assemble(key, certificate, authority).map(Some).map_err(damaged)
    }

    /// Stores the credentials in a directory, which is made if need be; what was there before is replaced in one step.
    ///
    /// # Errors
    /// [`CredentialsError::File`] when the directory or the file cannot be written.
    pub fn store(&self, dir: &Path) -> Result<(), CredentialsError> {
        private_file::open_dir(dir)?;
        let key = Zeroizing::new(pem::encode(&pem::Pem::new("PRIVATE KEY", self.key.0.as_slice())));
        let text = Zeroizing::new(format!("{}{}{}", *key, self.certificate_pem(), self.authority_pem()));
        Ok(private_file::replace(&dir.join(CREDENTIALS_FILE), &text)?)
    }

    /// Whom the certificate names.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// When the certificate runs out.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        self.expires
    }

    /// The fingerprint of the pod's authority.
    #[must_use]
    pub fn authority_fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.authority)
    }

    /// The authority's certificate as PEM, which is public.
    #[must_use]
    pub fn authority_pem(&self) -> String {
        crate::tls::pem_of(&self.authority)
    }

    /// The certificate as PEM, which is public.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        crate::tls::pem_of(&self.certificate)
    }

    /// The key as rustls wants it.
    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.0.to_vec()).into()
    }

    /// A moment at which the certificate is valid: credentials out of their time still load, and the handshake says
    /// what is wrong with them.
    pub(crate) fn inside_validity(&self) -> UnixTime {
        UnixTime::since_unix_epoch(self.expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
    }
}

/// A private key (PKCS #8, DER), wiped on drop and never shown.
struct Key(Zeroizing<Vec<u8>>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(not shown)")
    }
}
