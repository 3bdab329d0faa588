//! `lifeboat operator create`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lifeboat_model::OperatorName;
use lifeboat_transport::{Fingerprint, credentials::KeyAndRequest};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::{
    context::Context,
    failure::{Exit, Failure, Outcome},
};

const HELP: &str = "\
Makes a private key here, lets the controller sign a certificate for it, and keeps both in a directory that only you may \
read. Run it where the controller's socket is, then carry the directory to where you work.

Examples:
  lifeboat operator create alice --out alice-credentials
  lifeboat --server controller.example:7443 --credentials alice-credentials status";

/// Arguments.
#[derive(Debug, Args)]
#[command(subcommand_required = true)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a certificate for an operator
    #[command(after_help = HELP)]
    Create {
        /// The operator's name, which the controller writes down with what was ordered
        name: OperatorName,
        /// The directory for it
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let What::Create { name, out } = &arguments.what;
    let failed = |error: &dyn std::error::Error| Failure::caused(Exit::Failed, error);
    let request = KeyAndRequest::generate().map_err(|error| failed(&error))?;
    let issued = context.client()?.create_operator(name, request.request_pem()).await?;
    // The way to the controller is one that we trust already: a socket of this machine, or TLS.
    let authority = CertificateDer::from_pem_slice(issued.ca_pem.as_bytes()).map_err(|error| {
        Failure::new(Exit::Failed, format!("the controller sent no certificate of an authority: {error}"))
    })?;
    let credentials = request
        .into_credentials(&issued.cert_pem, &issued.ca_pem, &Fingerprint::of(&authority))
        .map_err(|error| failed(&error))?;
    credentials.store(out).map_err(|error| failed(&error))?;
    context.print(&format!(
        " {name}'s certificate and key are in {}.\n   → lifeboat --server HOST:PORT --credentials {} status\n",
        out.display(),
        out.display()
    ))
}
