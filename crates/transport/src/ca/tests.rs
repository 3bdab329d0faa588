use std::{fs, os::unix::fs::PermissionsExt as _};

use lifeboat_model::{HostName, OperatorName};
use proptest::prelude::*;

use super::*;
use crate::{
    IdentityError,
    credentials::{CREDENTIALS_FILE, Credentials, CredentialsError, KeyAndRequest, Misfit},
};

fn authority() -> (tempfile::TempDir, Authority) {
    let dir = tempfile::tempdir().expect("dir");
    let authority = Authority::open_or_create(&dir.path().join("ca")).expect("an authority");
    (dir, authority)
}

fn host(name: &str) -> Identity {
    Identity::Host(HostName::new(name).expect("a name"))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o7777
}

#[test]
fn an_authority_is_made_once_and_found_again() {
    let (dir, first) = authority();
    let dir = dir.path().join("ca");
    let again = Authority::open_or_create(&dir).expect("opened");
    assert_eq!(first.fingerprint(), again.fingerprint());
    assert_eq!(first.certificate_pem(), again.certificate_pem());
    assert_eq!((mode(&dir), mode(&dir.join(AUTHORITY_FILE))), (0o700, 0o600));
    assert_eq!(fs::read_dir(&dir).expect("a directory").count(), 1, "nothing else is left there");
    let years = again.expires().duration_since(SystemTime::now()).expect("later").as_secs() / (365 * 24 * 3600);
    assert_eq!(years, 10);
}

#[test]
fn two_that_start_at_once_have_one_authority() {
    let dir = tempfile::tempdir().expect("dir");
    let start = std::sync::Barrier::new(4);
    let prints: Vec<Fingerprint> = std::thread::scope(|scope| {
        let open = || {
            start.wait();
            Authority::open_or_create(dir.path()).expect("an authority").fingerprint()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(prints.windows(2).all(|pair| pair[0] == pair[1]), "{prints:?}");
}

#[test]
fn an_authority_that_others_may_read_is_refused_with_its_mend() {
    let (dir, _) = authority();
    let path = dir.path().join("ca").join(AUTHORITY_FILE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
    let error = Authority::open_or_create(&dir.path().join("ca")).expect_err("refused");
    let AuthorityError::File(source) = error else { panic!("{error}") };
    assert!(source.to_string().contains(&format!("chmod 600 {}", path.display())), "{source}");
}

#[test]
fn a_damaged_authority_is_reported_and_never_replaced() {
    let (dir, _) = authority();
    let path = dir.path().join("ca").join(AUTHORITY_FILE);
    let whole = fs::read_to_string(&path).expect("text");
    let (_other_dir, other) = authority();
    let other_key = pem::encode(&pem::Pem::new("PRIVATE KEY", other.issuer.key().serialize_der()));
    let cut = |at: usize| whole[..at].to_owned();
    for bad in [
        String::new(),
        cut(100),
        cut(whole.len() - 100),
        format!("{}{other_key}", other.certificate_pem()).replace(
            other.certificate_pem(),
            &pem::encode(&pem::Pem::new(
                "CERTIFICATE",
                CertificateDer::from_pem_slice(whole.as_bytes()).expect("pem").as_ref(),
            )),
        ),
    ] {
        fs::write(&path, &bad).expect("write");
        let error = Authority::open_or_create(&dir.path().join("ca")).expect_err("refused");
        assert!(matches!(error, AuthorityError::Damaged { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("text"), bad);
    }
}

#[test]
fn a_certificate_says_what_the_controller_decided_whatever_the_request_asks_for() {
    let (_dir, authority) = authority();
    let key = KeyPair::generate().expect("a key");
    let mut wish = CertificateParams::new(vec![Identity::Controller.dns_name()]).expect("names");
    wish.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    wish.distinguished_name.push(DnType::CommonName, "root");
    wish.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let request = wish.serialize_request(&key).expect("a request").pem().expect("pem");
    let pem = authority.sign_csr(&request, &host("h1")).expect("signed");
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("pem");
    assert_eq!(Identity::of_certificate(&der), Ok(host("h1")));
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).expect("x509");
    assert!(!parsed.is_ca());
    let usage = parsed.extended_key_usage().expect("readable").expect("there").value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    assert!(!parsed.subject().to_string().contains("root"));
    assert_eq!(parsed.validity().not_after, {
        let (_, ca) = x509_parser::parse_x509_certificate(authority.certificate()).expect("x509");
        ca.validity().not_after
    });
    let age = SystemTime::now().duration_since(parsed.validity().not_before.to_datetime().into()).expect("earlier");
    assert!((3590..3700).contains(&age.as_secs()), "backdated by an hour, not {age:?}");
}

#[test]
fn serial_numbers_differ_for_one_key() {
    let (_dir, authority) = authority();
    let request = KeyAndRequest::generate().expect("a key");
    let serial = || {
        let pem = authority.sign_csr(request.request_pem(), &host("h1")).expect("signed");
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("pem");
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).expect("x509");
        parsed.raw_serial_as_string()
    };
    assert_ne!(serial(), serial());
}

#[test]
fn what_is_no_request_is_refused() {
    let (_dir, authority) = authority();
    let good = KeyAndRequest::generate().expect("a key");
    let mut forged = pem::parse(good.request_pem()).expect("pem").contents().to_vec();
    *forged.last_mut().expect("bytes") ^= 1;
    let forged = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", forged));
    for bad in ["", "hello", &good.request_pem()[..80], authority.certificate_pem(), &forged] {
        let error = authority.sign_csr(bad, &host("h1")).expect_err("refused");
        assert!(matches!(error, AuthorityError::Request { .. }), "{error}");
    }
    let long = "x".repeat(MAX_REQUEST_BYTES + 1);
    assert!(matches!(authority.sign_csr(&long, &host("h1")), Err(AuthorityError::RequestTooLong)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_request_damaged_anywhere_is_refused_or_signed_for_the_same_identity(
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
        length in any::<prop::sample::Index>(),
    ) {
        static AUTHORITY: std::sync::LazyLock<(tempfile::TempDir, Authority)> = std::sync::LazyLock::new(authority);
        let request = KeyAndRequest::generate().expect("a key");
        let mut der = pem::parse(request.request_pem()).expect("pem").contents().to_vec();
        let place = at.index(der.len());
        der[place] = to;
        for der in [&der[..], &der[..length.index(der.len())]] {
            let damaged = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", der));
            match AUTHORITY.1.sign_csr(&damaged, &host("h1")) {
                Err(error) => prop_assert!(matches!(error, AuthorityError::Request { .. }), "{}", error),
                Ok(pem) => {
                    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).expect("pem");
                    prop_assert_eq!(Identity::of_certificate(&certificate), Ok(host("h1")));
                }
            }
        }
    }
}

#[test]
fn no_authority_is_made_while_the_clock_is_decades_behind() {
    let start_of_the_epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(600);
    assert!(matches!(new_authority(start_of_the_epoch), Err(AuthorityError::Clock)));
}

#[test]
fn nobody_gives_the_controller_a_hosts_name() {
    let (_dir, authority) = authority();
    for name in ["h1.hosts.lifeboat.internal", "LIFEBOAT.internal", "controller.lifeboat.internal"] {
        let names = [ServerName::try_from(name).expect("a name")];
        for issue in [Authority::issue_controller, Authority::issue_server] {
            assert!(matches!(issue(&authority, &names), Err(AuthorityError::Name { .. })));
        }
    }
}

fn joined(authority: &Authority, identity: &Identity) -> Credentials {
    let request = KeyAndRequest::generate().expect("a key");
    let certificate = authority.sign_csr(request.request_pem(), identity).expect("signed");
    let answer = request.into_credentials(&certificate, authority.certificate_pem(), &authority.fingerprint());
    answer.expect("credentials")
}

#[test]
fn credentials_are_stored_for_their_owner_alone_and_loaded_as_they_were() {
    let (dir, authority) = authority();
    let dir = dir.path().join("own");
    assert!(Credentials::load(&dir).expect("nothing wrong").is_none());
    let alice = Identity::Operator(OperatorName::new("alice").expect("a name"));
    for identity in [host("h1"), host("H_1.rack-2.x"), host(&"long".repeat(32)), alice] {
        let credentials = joined(&authority, &identity);
        credentials.store(&dir).expect("stored");
        assert_eq!((mode(&dir), mode(&dir.join(CREDENTIALS_FILE))), (0o700, 0o600));
        let loaded = Credentials::load(&dir).expect("readable").expect("there");
        assert_eq!(loaded.identity(), &identity);
        assert_eq!(loaded.authority_fingerprint(), authority.fingerprint());
        assert_eq!(loaded.certificate_pem(), credentials.certificate_pem());
        assert_eq!(loaded.private_key(), credentials.private_key());
        assert_eq!(loaded.expires(), authority.expires());
    }
    assert_eq!(fs::read_dir(&dir).expect("a directory").count(), 1, "nothing else is left there");
}

#[test]
fn credentials_show_no_key() {
    let (_dir, authority) = authority();
    let request = KeyAndRequest::generate().expect("a key");
    assert!(format!("{request:?}").contains("not shown"));
    let shown = format!("{:?}", joined(&authority, &host("h1")));
    assert!(shown.contains("not shown") && !shown.contains("PRIVATE"), "{shown}");
}

#[test]
fn damaged_or_open_credentials_are_refused() {
    let (dir, authority) = authority();
    let dir = dir.path().join("own");
    joined(&authority, &host("h1")).store(&dir).expect("stored");
    let path = dir.join(CREDENTIALS_FILE);
    let whole = fs::read_to_string(&path).expect("text");
    let other = joined(&authority, &host("h2"));
    let foreign_certificate = whole.replace(
        &whole[whole.find("-----BEGIN CERT").expect("a certificate")..],
        &format!("{}{}", other.certificate_pem(), other.authority_pem()),
    );
    for bad in ["", &whole[..whole.len() / 2], &whole[..whole.len() - 60], &foreign_certificate] {
        fs::write(&path, bad).expect("write");
        let error = Credentials::load(&dir).expect_err("refused");
        assert!(matches!(error, CredentialsError::Damaged { .. }), "{error}");
    }
    fs::write(&path, &whole).expect("write");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
    assert!(matches!(Credentials::load(&dir), Err(CredentialsError::File(FileError::Exposed { .. }))));
}

#[test]
fn an_answer_that_does_not_fit_is_refused() {
    let (_dir, ours) = authority();
    let (_other_dir, other) = authority();
    let refused = |certificate: &dyn Fn(&str) -> String, authority: &str, expected: &Fingerprint| {
        let request = KeyAndRequest::generate().expect("a key");
        let certificate = certificate(request.request_pem());
        match request.into_credentials(&certificate, authority, expected) {
            Err(CredentialsError::Answer(misfit)) => misfit,
            unexpected => panic!("{unexpected:?}"),
        }
    };
    let by = |authority: &Authority, request: &str| authority.sign_csr(request, &host("h1")).expect("signed");
    let another_key = KeyAndRequest::generate().expect("a key");
    let print = ours.fingerprint();
    assert!(matches!(
        refused(&|request| by(&other, request), other.certificate_pem(), &print),
        Misfit::Authority { .. }
    ));
    assert!(matches!(refused(&|request| by(&other, request), ours.certificate_pem(), &print), Misfit::Certificate(_)));
    assert!(matches!(
        refused(&|_| by(&ours, another_key.request_pem()), ours.certificate_pem(), &print),
        Misfit::Certificate(_)
    ));
    assert!(matches!(refused(&|_| String::new(), ours.certificate_pem(), &print), Misfit::Missing(_)));
    assert!(matches!(
        refused(&|_| ours.certificate_pem().to_owned(), ours.certificate_pem(), &print),
        Misfit::Identity(IdentityError::Nobody)
    ));
}
