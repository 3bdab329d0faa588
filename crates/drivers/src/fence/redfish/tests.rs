use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc};

use lifeboat_model::{FenceName, Seconds};
use lifeboat_ports::Retry;
use lifeboat_transport::{ca::Authority, tls::https_config};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::*;

/// A BMC that gives the same answers to everybody: the first to the first request, the last to all that follow.
struct Bmc {
    _folder: tempfile::TempDir,
    device: RedfishDevice,
    server: JoinHandle<()>,
}

impl Drop for Bmc {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn system(power: &str) -> Vec<u8> {
    let reset = r##""Actions":{"#ComputerSystem.Reset":{"target":"/reset/here"}}"##;
    answer("200 OK", &format!(r#"{{"Id":"1","PowerState":"{power}",{reset}}}"#))
}

impl Bmc {
    async fn new(answers: Vec<Vec<u8>>) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let name = ServerName::try_from("127.0.0.1").expect("name");
        let authority = Authority::open_or_create(&folder.path().join("ca")).expect("authority");
        let config = https_config(authority.issue_server(&[name]).expect("certificate")).expect("config");
        let ca_file = folder.path().join("ca.pem");
        fs::write(&ca_file, authority.certificate_pem()).expect("write");
        let password_file = folder.path().join("password");
        fs::write(&password_file, "hunter2").expect("write");
        fs::set_permissions(&password_file, fs::Permissions::from_mode(0o600)).expect("chmod");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("address").port();
        let server = tokio::spawn(serve(listener, TlsAcceptor::from(config), Arc::new(answers)));
        let spec = RedfishFence {
            name: FenceName::new("bmc").expect("name"),
            timeout_s: Seconds::new(20),
            url: format!("https://127.0.0.1:{port}"),
            system: "1".to_owned(),
            user: "admin".to_owned(),
            password_file: password_file.to_string_lossy().into_owned(),
            ca_file: Some(ca_file.to_string_lossy().into_owned()),
            pin_sha256: None,
        };
        Self { _folder: folder, device: RedfishDevice::new(spec), server }
    }
}

/// Answers each connection with the next answer, then closes it.
async fn serve(listener: TcpListener, acceptor: TlsAcceptor, answers: Arc<Vec<Vec<u8>>>) {
    for at in 0.. {
        let (stream, _) = listener.accept().await.expect("accept");
        let (acceptor, answers) = (acceptor.clone(), Arc::clone(&answers));
        tokio::spawn(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let bytes = &answers[at.min(answers.len() - 1)];
            if bytes.is_empty() {
                std::future::pending::<()>().await;
            }
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
        });
    }
}

async fn fault_of(answers: Vec<Vec<u8>>) -> FenceError {
    Bmc::new(answers).await.device.power_state().await.expect_err("that is no state")
}

#[tokio::test]
async fn only_off_is_off() {
    for (text, state) in [("Off", PowerState::Off), ("On", PowerState::On), ("PoweringOff", PowerState::On)] {
        let bmc = Bmc::new(vec![system(text)]).await;
        assert_eq!(bmc.device.power_state().await.expect("state"), state, "{text}");
    }
}

#[tokio::test]
async fn nonsense_is_an_error_and_never_a_state() {
    let half = system("Off")[..60].to_vec();
    let huge = answer("200 OK", &format!(r#"{{"PowerState":"Off","x":"{}"}}"#, "y".repeat(2 << 20)));
    for (what, bytes) in [
        ("an unknown state", system("Sideways")),
        ("no state", answer("200 OK", "{}")),
        ("null", answer("200 OK", r#"{"PowerState":null}"#)),
        ("not JSON", answer("200 OK", "<html>")),
        ("a list", answer("200 OK", "[1]")),
        ("half an answer", half),
        ("a huge answer", huge),
        ("no HTTP", b"\x00\x01\x02\xff".to_vec()),
        ("an overloaded BMC", answer("503 Service Unavailable", "busy")),
    ] {
        let error = fault_of(vec![bytes]).await;
        assert_eq!(error.retry, Retry::MayHelp, "{what}: {error}");
    }
}

#[tokio::test]
async fn a_hanging_bmc_is_given_up_in_time() {
    let mut bmc = Bmc::new(vec![Vec::new()]).await;
    bmc.device.spec.timeout_s = Seconds::from_millis(300);
    assert_eq!(bmc.device.power_state().await.expect_err("it hangs").retry, Retry::MayHelp);
    assert_eq!(bmc.device.power_off().await.expect_err("it hangs").retry, Retry::MayHelp);
}

#[tokio::test]
async fn what_a_person_must_mend_is_told_as_such() {
    for status in ["401 Unauthorized", "403 Forbidden", "404 Not Found"] {
        let error = fault_of(vec![answer(status, "")]).await;
        assert_eq!(error.retry, Retry::IsFutile, "{error}");
        assert!(!error.to_string().contains("hunter2"));
    }
    let mut bmc = Bmc::new(vec![system("On")]).await;
    bmc.device.spec.ca_file = None;
    bmc.device.spec.pin_sha256 = Some("ab".repeat(32));
    let error = bmc.device.power_state().await.expect_err("another BMC than the pinned one");
    assert_eq!(error.retry, Retry::IsFutile, "{error}");
    bmc.device.spec.pin_sha256 = None;
    assert_eq!(bmc.device.power_state().await.expect_err("no trust").retry, Retry::IsFutile);
}

#[tokio::test]
async fn a_refused_reset_of_a_system_that_is_off_by_then_is_a_success() {
    let refused = answer("409 Conflict", r#"{"error":{"message":"it is off"}}"#);
    let bmc = Bmc::new(vec![system("On"), refused.clone(), system("Off")]).await;
    bmc.device.power_off().await.expect("somebody else was faster");
    let bmc = Bmc::new(vec![system("On"), refused, system("On")]).await;
    let error = bmc.device.power_off().await.expect_err("it is still on");
    assert!(error.to_string().contains("it is off"), "{error}");
}

#[tokio::test]
async fn a_system_without_a_usable_reset_is_an_error() {
    let with = |reset: &str| {
        let body = format!(r##"{{"PowerState":"On","Actions":{{"#ComputerSystem.Reset":{reset}}}}}"##);
        vec![answer("200 OK", &body)]
    };
    for reset in [
        "{}",
        r#"{"target":"https://192.0.2.9/elsewhere"}"#,
        r#"{"target":"//192.0.2.9/elsewhere"}"#,
        r#"{"target":"/r","ResetType@Redfish.AllowableValues":["On","GracefulShutdown"]}"#,
    ] {
        let error = Bmc::new(with(reset)).await.device.power_off().await.expect_err("no reset");
        assert_eq!(error.retry, Retry::IsFutile, "{reset}: {error}");
    }
}

#[test]
fn an_url_is_an_https_address_and_nothing_more() {
    let is = |host: &str, port| Some((host.to_owned(), port));
    assert_eq!(address("https://bmc-1"), is("bmc-1", 443));
    assert_eq!(address("https://192.0.2.1:8443/"), is("192.0.2.1", 8443));
    assert_eq!(address("https://[2001:db8::1]"), is("2001:db8::1", 443));
    assert_eq!(address("https://[2001:db8::1]:8443"), is("2001:db8::1", 8443));
    for bad in
        ["http://bmc", "bmc", "https://", "https://a/b", "https://u@h", "https://h:0", "https://h:x", "https://[::1"]
    {
        assert_eq!(address(bad), None, "{bad}");
    }
}

#[tokio::test]
async fn sensors_are_read_of_the_systems_chassis() {
    let system = answer("200 OK", r#"{"PowerState":"On","Links":{"Chassis":[{"@odata.id":"/redfish/v1/Chassis/1"}]}}"#);
    let thermal =
        answer("200 OK", r#"{"Temperatures":[{"Name":"CPU1","ReadingCelsius":96,"UpperThresholdCritical":95}]}"#);
    let reading = Bmc::new(vec![system.clone(), thermal]).await.device.sensors().await;
    assert_eq!(reading.faults, ["CPU1 has reached its critical 95 °C"]);
    let nonsense = Bmc::new(vec![system, answer("200 OK", "[1,2")]).await.device.sensors().await;
    assert!(nonsense.absent.is_some_and(|why| why.contains("is no Thermal")));
    let none = Bmc::new(vec![answer("200 OK", r#"{"PowerState":"On"}"#)]).await.device.sensors().await;
    assert_eq!(none.absent.as_deref(), Some("the system names no chassis"));
}
