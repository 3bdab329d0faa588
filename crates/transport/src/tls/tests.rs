use std::time::SystemTime;

use lifeboat_model::{HostName, OperatorName};
use tokio::io::{DuplexStream, duplex};
use tokio_rustls::{TlsConnector, client};

use super::*;
use crate::{
    ca::Validity,
    credentials::KeyAndRequest,
    frame::{FrameError, FrameReader, FrameWriter},
};

const LIMIT: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3600);

fn authority() -> Authority {
    let dir = tempfile::tempdir().expect("dir");
    Authority::open_or_create(dir.path()).expect("an authority")
}

fn host(name: &str) -> Identity {
    Identity::Host(HostName::new(name).expect("a name"))
}

fn joined(authority: &Authority, identity: &Identity, validity: Option<Validity>) -> Credentials {
    let request = KeyAndRequest::generate().expect("a key");
    let certificate = match validity {
        None => authority.sign_csr(request.request_pem(), identity),
        Some(validity) => authority.sign_csr_for(request.request_pem(), identity, validity),
    };
    let certificate = certificate.expect("signed");
    let answer = request.into_credentials(&certificate, authority.certificate_pem(), &authority.fingerprint());
    answer.expect("credentials")
}

type Server = Result<Accepted<DuplexStream>, AcceptError>;
type Client = io::Result<client::TlsStream<DuplexStream>>;

async fn shake(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>, name: ServerName<'static>) -> (Server, Client) {
    let (near, far) = duplex(64 * 1024);
    let connect = TlsConnector::from(Arc::clone(client)).connect(name, near);
    tokio::join!(accept(far, server, LIMIT), connect)
}

fn server_fault(server: Server) -> TlsFault {
    match server {
        Err(AcceptError::Handshake { fault, .. }) => fault,
        other => panic!("the server should have refused: {other:?}"),
    }
}

/// What a client that thinks itself connected learns when it reads.
async fn read_fault(client: Client) -> TlsFault {
    let mut reader = FrameReader::new(client.expect("TLS 1.3 lets the client finish first"));
    match reader.next::<u32>().await {
        Err(FrameError::Stream { fault, .. }) => fault,
        other => panic!("the client should have been refused: {other:?}"),
    }
}

#[tokio::test]
async fn hosts_and_operators_are_recognised_and_messages_pass() {
    let authority = authority();
    let server = controller_config(&authority, &[]).expect("config");
    let alice = Identity::Operator(OperatorName::new("alice").expect("a name"));
    let long = host(&format!("H_{}", "x".repeat(126)));
    for (identity, protocol) in [
        (host("h1"), Protocol::Agent),
        (long, Protocol::Agent),
        (alice, Protocol::Http),
        (Identity::Controller, Protocol::Http),
    ] {
        let client = client_config(&joined(&authority, &identity, None), protocol).expect("config");
        let (accepted, connected) = shake(&server, &client, controller_name()).await;
        let accepted = accepted.expect("accepted");
        assert_eq!((accepted.peer, accepted.protocol), (Some(identity), protocol));
        let connected = connected.expect("connected");
        assert_eq!(peer_identity(connected.get_ref().1), Ok(Some(Identity::Controller)));
        assert_eq!(connected.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        let (mut writer, mut reader) = (FrameWriter::new(connected), FrameReader::new(accepted.stream));
        let (sent, received) = tokio::join!(writer.send("beat"), reader.next::<String>());
        sent.expect("sent");
        assert_eq!(received.expect("received").as_deref(), Some("beat"));
    }
}

/// A client of one pod's authority with a certificate of another's, or of its own time.
fn mixed(trusted: &Authority, own: &Credentials) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(OWN_VERSIONS)
        .expect("versions")
        .with_root_certificates(roots(trusted.certificate()).expect("roots"))
        .with_client_auth_cert(vec![own.certificate.clone()], own.private_key())
        .expect("config");
    config.alpn_protocols = vec![Protocol::Agent.alpn().to_vec()];
    Arc::new(config)
}

#[tokio::test(start_paused = true)]
async fn a_foreign_client_is_refused_and_both_sides_say_so() {
    let (ours, other) = (authority(), authority());
    let server = controller_config(&ours, &[]).expect("config");
    let client = mixed(&ours, &joined(&other, &host("h1"), None));
    let (accepted, connected) = shake(&server, &client, controller_name()).await;
    assert_eq!(server_fault(accepted), TlsFault::Foreign);
    assert_eq!(read_fault(connected).await, TlsFault::RefusedAsForeign);
}

#[tokio::test]
async fn a_client_that_speaks_first_still_learns_why_it_is_refused() {
    let (ours, other) = (authority(), authority());
    let server = controller_config(&ours, &[]).expect("config");
    let client = mixed(&ours, &joined(&other, &host("h1"), None));
    // The pipe is narrower than what the client says: it gets rid of it only if the server goes on reading.
    let (near, far) = duplex(4096);
    let asked = async {
        let stream = TlsConnector::from(client).connect(controller_name(), near).await.expect("connected");
        let (reader, writer) = tokio::io::split(stream);
        FrameWriter::new(writer).send(&vec![7; 10_000]).await.expect("sent");
        FrameReader::new(reader).next::<u32>().await.expect_err("refused")
    };
    let served = async { accept(far, &server, LIMIT).await.expect_err("refused") };
    let (refusal, learnt) = tokio::join!(served, asked);
    assert!(matches!(refusal, AcceptError::Handshake { fault: TlsFault::Foreign, .. }));
    assert!(matches!(learnt, FrameError::Stream { fault: TlsFault::RefusedAsForeign, .. }), "{learnt:?}");
}

#[tokio::test]
async fn a_controller_of_another_pod_is_refused_and_both_sides_say_so() {
    let (ours, other) = (authority(), authority());
    let server = controller_config(&other, &[]).expect("config");
    let client = client_config(&joined(&ours, &host("h1"), None), Protocol::Agent).expect("config");
    let (accepted, connected) = shake(&server, &client, controller_name()).await;
    assert_eq!(server_fault(accepted), TlsFault::RefusedAsForeign);
    assert_eq!(TlsFault::of(&connected.expect_err("refused")), TlsFault::Foreign);
}

#[tokio::test(start_paused = true)]
async fn an_expired_and_a_future_certificate_are_refused_and_both_sides_say_so() {
    let authority = authority();
    let server = controller_config(&authority, &[]).expect("config");
    let now = SystemTime::now();
    for (from, until, fault) in
        [(now - 3 * HOUR, now - HOUR, TlsFault::Expired), (now + HOUR, now + 3 * HOUR, TlsFault::NotYetValid)]
    {
        let credentials = joined(&authority, &host("h1"), Some(Validity { from, until }));
        let client = client_config(&credentials, Protocol::Agent).expect("expired credentials still load");
        let (accepted, connected) = shake(&server, &client, controller_name()).await;
        assert_eq!(server_fault(accepted), fault);
        assert_eq!(read_fault(connected).await, TlsFault::RefusedAsExpired);
    }
}

#[tokio::test]
async fn a_hosts_certificate_is_no_operators_and_no_controllers() {
    let authority = authority();
    let server = controller_config(&authority, &[]).expect("config");
    let host_credentials = joined(&authority, &host("alice"), None);
    let client = client_config(&host_credentials, Protocol::Http).expect("config");
    let (accepted, _connected) = shake(&server, &client, controller_name()).await;
    assert_eq!(accepted.expect("accepted").peer, Some(host("alice")), "not operator alice");

    // A host that listens in the controller's stead.
    let impostor = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(OWN_VERSIONS)
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![host_credentials.certificate.clone()], host_credentials.private_key())
        .expect("config");
    let victim = client_config(&joined(&authority, &host("h2"), None), Protocol::Http).expect("config");
    let (_, connected) = shake(&Arc::new(impostor), &victim, controller_name()).await;
    let fault = TlsFault::of(&connected.expect_err("refused"));
    assert!(matches!(fault, TlsFault::WrongName | TlsFault::WrongPurpose), "{fault:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_certificate_without_a_name_of_the_pod_cannot_be_shown_by_a_client() {
    let authority = authority();
    let server = controller_config(&authority, &[]).expect("config");
    let certificate = authority.issue_server(&[]).expect("issued");
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(OWN_VERSIONS)
        .expect("versions")
        .with_root_certificates(roots(authority.certificate()).expect("roots"))
        .with_client_auth_cert(certificate.chain, certificate.key)
        .expect("config");
    let (accepted, _connected) = shake(&server, &Arc::new(client), controller_name()).await;
    assert_eq!(server_fault(accepted), TlsFault::WrongPurpose);
}

#[tokio::test]
async fn a_newcomer_joins_by_the_tokens_fingerprint_alone() {
    let authority = authority();
    let server = controller_config(&authority, &[]).expect("config");
    let client = join_config(authority.fingerprint()).expect("config");
    let (accepted, connected) = shake(&server, &client, controller_name()).await;
    let accepted = accepted.expect("accepted");
    assert_eq!((accepted.peer, accepted.protocol), (None, Protocol::Join));
    connected.expect("connected");
}

#[tokio::test]
async fn a_newcomer_refuses_any_other_authority_and_any_other_name() {
    let (ours, other) = (authority(), authority());
    let expected = ours.fingerprint();
    let client = join_config(expected).expect("config");
    let strange = controller_config(&other, &[]).expect("config");
    let (_, connected) = shake(&strange, &client, controller_name()).await;
    assert_eq!(TlsFault::of(&connected.expect_err("refused")), TlsFault::NotTheTokens { expected });

    // It shows the right authority, which is public, above a certificate of its own.
    let mut chain = other.issue_controller(&[]).expect("issued");
    chain.chain.push(ours.certificate().clone());
    let impostor = https_config(chain).expect("config");
    let client = without_alpn(&client);
    let (_, connected) = shake(&impostor, &client, controller_name()).await;
    assert_eq!(TlsFault::of(&connected.expect_err("refused")), TlsFault::Foreign);

    // It is of the right authority but not the controller.
    let bystander = https_config(ours.issue_server(&["bmc.test".try_into().expect("a name")]).expect("issued"));
    let (_, connected) = shake(&bystander.expect("config"), &client, controller_name()).await;
    assert_eq!(TlsFault::of(&connected.expect_err("refused")), TlsFault::WrongName);
}

fn without_alpn(config: &Arc<ClientConfig>) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(config);
    config.alpn_protocols.clear();
    Arc::new(config)
}

#[tokio::test]
async fn a_client_of_a_later_protocol_is_told_so() {
    let authority = authority();
    let server = controller_config(&authority, &[]).expect("config");
    let mut client = ClientConfig::clone(&join_config(authority.fingerprint()).expect("config"));
    client.alpn_protocols = vec![b"lifeboat-agent/9".to_vec()];
    let (accepted, connected) = shake(&server, &Arc::new(client), controller_name()).await;
    assert_eq!(server_fault(accepted), TlsFault::NoCommonProtocol);
    assert_eq!(TlsFault::of(&connected.expect_err("refused")), TlsFault::NoCommonProtocol);
}

#[tokio::test]
async fn a_bmc_is_trusted_by_its_authority_its_own_certificate_or_its_pin() {
    let (bmcs, other) = (authority(), authority());
    let address = || ServerName::try_from("192.0.2.7").expect("an address");
    let certificate = bmcs.issue_server(&[address()]).expect("issued");
    let leaf = certificate.chain[0].clone();
    let server = https_config(certificate).expect("config");
    let trusts = [
        BmcTrust::Authorities(vec![bmcs.certificate().clone()]),
        BmcTrust::Authorities(vec![leaf.clone()]),
        BmcTrust::Pin(Fingerprint::of(&leaf)),
    ];
    for trust in trusts {
        let client = bmc_config(&trust).expect("config");
        let (accepted, connected) = shake(&server, &client, address()).await;
        accepted.expect("accepted");
        connected.expect("connected");
    }
    let found = Fingerprint::of(&leaf);
    for (trust, name, fault) in [
        (BmcTrust::Authorities(vec![other.certificate().clone()]), "192.0.2.7", TlsFault::Foreign),
        (BmcTrust::Authorities(vec![bmcs.certificate().clone()]), "192.0.2.8", TlsFault::WrongName),
        (BmcTrust::Pin(bmcs.fingerprint()), "192.0.2.7", TlsFault::NotPinned { found }),
    ] {
        let client = bmc_config(&trust).expect("config");
        let (_, connected) = shake(&server, &client, name.try_into().expect("an address")).await;
        assert_eq!(TlsFault::of(&connected.expect_err("refused")), fault);
    }
}

/// What a BMC shows that signed its certificate itself, so long before now and for so long.
fn self_signed(address: &str, from: Duration, span: Duration) -> ServerCertificate {
    let mut params = rcgen::CertificateParams::new([address.to_owned()]).expect("a name");
    let begin = SystemTime::now() - from;
    (params.not_before, params.not_after) = (begin.into(), (begin + span).into());
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("signed");
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    ServerCertificate { chain: vec![certificate.der().clone()], key }
}

#[tokio::test]
async fn a_bmc_that_signed_itself_is_trusted_when_it_is_named_and_then_for_ever() {
    let address = || ServerName::try_from("192.0.2.7").expect("an address");
    for (span, refused) in [(HOUR * 1000, TlsFault::Foreign), (HOUR, TlsFault::Expired)] {
        let certificate = self_signed("192.0.2.7", HOUR * 48, span);
        let leaf = certificate.chain[0].clone();
        let server = https_config(certificate).expect("config");
        for trust in [BmcTrust::Pin(Fingerprint::of(&leaf)), BmcTrust::Authorities(vec![leaf.clone()])] {
            let (_, connected) = shake(&server, &bmc_config(&trust).expect("config"), address()).await;
            connected.expect("it is this very certificate that is trusted, whatever its dates");
        }
        let strangers = BmcTrust::Authorities(vec![authority().certificate().clone()]);
        let (_, connected) = shake(&server, &bmc_config(&strangers).expect("config"), address()).await;
        assert_eq!(TlsFault::of(&connected.expect_err("refused")), refused);
    }
}

#[tokio::test]
async fn an_expired_certificate_of_a_bmc_is_refused_where_its_authority_is_trusted_and_taken_where_it_is_pinned() {
    let bmcs = authority();
    let address = || ServerName::try_from("192.0.2.7").expect("an address");
    let now = SystemTime::now();
    let old = Validity { from: now - HOUR * 48, until: now - HOUR * 24 };
    let certificate = bmcs.issue_server_for(&[address()], old).expect("issued");
    let leaf = certificate.chain[0].clone();
    let server = https_config(certificate).expect("config");
    let by_authority = bmc_config(&BmcTrust::Authorities(vec![bmcs.certificate().clone()])).expect("config");
    let (_, connected) = shake(&server, &by_authority, address()).await;
    assert_eq!(TlsFault::of(&connected.expect_err("refused")), TlsFault::Expired);
    let by_pin = bmc_config(&BmcTrust::Pin(Fingerprint::of(&leaf))).expect("config");
    let (_, connected) = shake(&server, &by_pin, address()).await;
    connected.expect("a pin names the certificate itself");
}

#[tokio::test]
async fn tls_1_2_is_for_bmcs_alone() {
    let authority = authority();
    let old = |certificate: ServerCertificate| {
        ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS12])
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(certificate.chain, certificate.key)
            .expect("config")
    };
    let server = Arc::new(old(authority.issue_controller(&[]).expect("issued")));
    let trust = BmcTrust::Authorities(vec![authority.certificate().clone()]);
    let (_, bmc) = shake(&server, &bmc_config(&trust).expect("config"), controller_name()).await;
    bmc.expect("connected");
    let own = client_config(&joined(&authority, &host("h1"), None), Protocol::Agent).expect("config");
    for client in [own, join_config(authority.fingerprint()).expect("config")] {
        let (_, connected) = shake(&server, &client, controller_name()).await;
        assert_eq!(TlsFault::of(&connected.expect_err("refused")), TlsFault::NoCommonProtocol);
    }
}

#[test]
fn without_a_setting_no_bmc_is_trusted_and_the_error_names_the_settings() {
    let nothing = BmcTrust::from_settings(None, None).expect_err("nothing to trust").to_string();
    assert!(nothing.contains("`ca_file`") && nothing.contains("`pin_sha256`"), "{nothing}");
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("ca.pem");
    assert!(matches!(BmcTrust::from_settings(Some(&path), None), Err(BmcTrustError::Read { .. })));
    for empty in ["", "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&path, empty).expect("write");
        assert!(matches!(BmcTrust::from_settings(Some(&path), None), Err(BmcTrustError::NoCertificate { .. })));
    }
    let authority = authority();
    std::fs::write(&path, authority.certificate_pem()).expect("write");
    assert!(matches!(BmcTrust::from_settings(Some(&path), None), Ok(BmcTrust::Authorities(list)) if list.len() == 1));
    let pin = authority.fingerprint().to_string();
    assert!(matches!(BmcTrust::from_settings(None, Some(&pin)), Ok(BmcTrust::Pin(_))));
    assert!(matches!(BmcTrust::from_settings(None, Some("abc")), Err(BmcTrustError::Pin(_))));
    assert!(matches!(BmcTrust::from_settings(Some(&path), Some(&pin)), Err(BmcTrustError::Both)));
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_is_recognised() {
    let server = controller_config(&authority(), &[]).expect("config");
    let (mut near, far) = duplex(4096);
    near.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("written");
    near.shutdown().await.expect("closed");
    assert_eq!(server_fault(accept(far, &server, LIMIT).await), TlsFault::NotTls);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_given_up() {
    let server = controller_config(&authority(), &[]).expect("config");
    let (_near, far) = duplex(4096);
    let error = accept(far, &server, LIMIT).await.expect_err("given up");
    assert!(matches!(error, AcceptError::TimedOut { .. }));
}
