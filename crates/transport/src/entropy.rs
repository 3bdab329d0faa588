//! Random bytes of the operating system, through the same provider as TLS uses.

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes; try again when it has started up")]
pub struct NoEntropy;

/// Random bytes fit for keys, tokens and nonces.
///
/// # Errors
/// [`NoEntropy`] when the operating system gives none.
pub fn random<const N: usize>() -> Result<[u8; N], NoEntropy> {
    let mut bytes = [0; N];
    crate::tls::provider().secure_random.fill(&mut bytes).map_err(|_| NoEntropy)?;
    Ok(bytes)
}
