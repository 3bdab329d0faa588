//! Tokens with which hosts join, and certificates of operators.

use axum::Json;
use lifeboat_client::api::{ErrorCode, OperatorIssued, OperatorRequest, TokenIssued, TokenRequest};
use lifeboat_transport::{Identity, ca::AuthorityError};

use super::{Answer, Failure, State, body::Body};
use crate::{join, run::chain};

/// Makes a token for a declared host.
pub(super) async fn token(state: State, Body(asked): Body<TokenRequest>) -> Answer<TokenIssued> {
    let host = asked.host;
    let name = host.clone();
    if !state.view(move |brain, _| brain.hosts().contains_key(&name)).await? {
        return Err(Failure::not_found(format!("no host {host} is declared"))
            .advice("add it to the fleet's file and apply it first"));
    }
    let (token, expires_us) = join::issue(&state.service, &host)
        .await
        .map_err(|why| Failure::new(ErrorCode::Unavailable, format!("no token for {host} could be made: {why}")))?;
    tracing::info!("a token was made with which host {host} joins");
    Ok(Json(TokenIssued { host, token: token.reveal().reveal().to_owned(), expires_us }))
}

/// Signs an operator's certificate.
pub(super) async fn operator(state: State, Body(asked): Body<OperatorRequest>) -> Answer<OperatorIssued> {
    let authority = &state.service.authority;
    let name = asked.name;
    let cert_pem = authority.sign_csr(&asked.csr_pem, &Identity::Operator(name.clone())).map_err(|error| {
        let code = match error {
            AuthorityError::Request { .. } | AuthorityError::RequestTooLong => ErrorCode::BadInput,
            _ => ErrorCode::Internal,
        };
        Failure::new(code, format!("no certificate for operator {name} could be made: {}", chain(&error)))
    })?;
    tracing::info!("operator {name} was given a certificate");
    Ok(Json(OperatorIssued { cert_pem, ca_pem: authority.certificate_pem().to_owned() }))
}
