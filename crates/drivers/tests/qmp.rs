//! The QMP client against servers of every kind: real, wrong, silent, gone.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::{path::PathBuf, time::Duration};

use command_fds::{CommandFdExt as _, FdMapping};
use lifeboat_drivers::qmp::{EVENTS_KEPT, Event, Notice, Qmp, QmpError};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(50);
const GREETING: &str =
    "{\"QMP\":{\"version\":{\"qemu\":{\"micro\":2,\"minor\":0,\"major\":10},\"package\":\"\"},\"capabilities\":[]}}\n";

/// A socket in a directory of its own, and every client that connects to it, one after the other, served by `serve`.
fn server<F: Future<Output = ()> + Send + 'static>(
    mut serve: impl FnMut(BufReader<UnixStream>) -> F + Send + 'static,
) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("qmp");
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            serve(BufReader::new(stream)).await;
        }
    });
    (directory, socket)
}

/// Reads a command and gives its id.
async fn command(stream: &mut BufReader<UnixStream>) -> Value {
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    serde_json::from_str(&line).unwrap()
}

async fn say(stream: &mut BufReader<UnixStream>, what: &str) {
    stream.get_mut().write_all(what.as_bytes()).await.unwrap();
}

/// Greets and lets the client out of the negotiation mode.
async fn negotiate(stream: &mut BufReader<UnixStream>) {
    say(stream, GREETING).await;
    let first = command(stream).await;
    assert_eq!(first["execute"], "qmp_capabilities");
    say(stream, &format!("{}\n", json!({ "return": {}, "id": first["id"] }))).await;
}

/// Lets the client in and answers its first command with a number.
async fn answer_with(stream: &mut BufReader<UnixStream>, number: u32) {
    negotiate(stream).await;
    let asked = command(stream).await;
    say(stream, &format!("{}\n", json!({ "return": number, "id": asked["id"] }))).await;
}

/// Does nothing until the client hangs up.
async fn wait_for_end(mut stream: BufReader<UnixStream>) {
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn calls_run_side_by_side_and_get_their_own_answers() {
    let (_directory, socket) = server(|mut stream| async move {
        negotiate(&mut stream).await;
        let (one, two) = (command(&mut stream).await, command(&mut stream).await);
        for request in [two, one] {
            let answer = json!({ "return": request["arguments"], "id": request["id"] });
            say(&mut stream, &format!("{}\n{answer}\n", json!({"event": "STOP"}))).await;
        }
        wait_for_end(stream).await;
    });
    let qmp = Qmp::connect(&socket, LONG).await.unwrap();
    assert_eq!(qmp.version(), [10, 0, 2]);
    let mut events = qmp.events();
    let (one, two) = tokio::join!(qmp.execute("echo", json!({ "n": 1 })), qmp.execute("echo", json!({ "n": 2 })));
    assert_eq!((one.unwrap(), two.unwrap()), (json!({ "n": 1 }), json!({ "n": 2 })));
    let stop = Notice::Event(Event { name: "STOP".into(), data: Value::Null });
    assert_eq!((events.next().await, events.next().await), (Some(stop.clone()), Some(stop)));
}

#[tokio::test]
async fn a_refusal_carries_the_servers_words_and_leaves_the_connection_up() {
    let (_directory, socket) = server(|mut stream| async move {
        negotiate(&mut stream).await;
        let id = command(&mut stream).await["id"].clone();
        say(
            &mut stream,
            &format!("{}\n", json!({ "error": { "class": "GenericError", "desc": "no room" }, "id": id })),
        )
        .await;
        let id = command(&mut stream).await["id"].clone();
        say(&mut stream, &format!("{}\n", json!({ "return": 1, "id": id }))).await;
    });
    let qmp = Qmp::connect(&socket, LONG).await.unwrap();
    let refused = qmp.execute("x", json!({})).await.unwrap_err();
    assert!(refused.is_class("GenericError") && !refused.is_of_connection());
    assert_eq!(refused.to_string(), "QMP command x refused: no room");
    assert_eq!(qmp.execute("y", json!({})).await.unwrap(), json!(1));
}

#[tokio::test]
async fn a_server_that_talks_garbage_is_told_and_never_waited_for() {
    let bad: [&[u8]; 6] =
        [b"SSH-2.0\r\n", b"\xff\xfe\n", b"{}\n", b"{\"return\":{}}\n", b"{\"event\":\"STOP\"}\n", b"{\"QMP\":"];
    for garbage in bad {
        let (_directory, socket) = server(move |mut stream| async move {
            stream.get_mut().write_all(garbage).await.unwrap();
        });
        let error = Qmp::connect(&socket, LONG).await.err().expect("garbage taken for QMP");
        assert!(matches!(error, QmpError::Protocol { .. } | QmpError::Closed { .. }), "{error}");
    }
}

#[tokio::test]
async fn garbage_in_the_middle_ends_waiting_calls_later_calls_and_events() {
    for garbage in ["nonsense\n", "{\"return\":{}}\n", GREETING] {
        let (_directory, socket) = server(move |mut stream| async move {
            negotiate(&mut stream).await;
            command(&mut stream).await;
            say(&mut stream, garbage).await;
            wait_for_end(stream).await;
        });
        let qmp = Qmp::connect(&socket, LONG).await.unwrap();
        let mut events = qmp.events();
        for _ in 0..2 {
            let error = qmp.execute("x", json!({})).await.unwrap_err();
            assert!(matches!(error, QmpError::Protocol { .. }), "{error}");
        }
        assert_eq!((events.next().await, qmp.events().next().await), (None, None));
    }
}

#[tokio::test]
async fn a_line_without_end_is_cut_off_at_its_bound() {
    let (_directory, socket) = server(|mut stream| async move {
        let block = vec![b'x'; 1 << 16];
        while stream.get_mut().write_all(&block).await.is_ok() {}
    });
    let error = Qmp::connect(&socket, LONG).await.err().unwrap();
    assert!(error.to_string().contains("longer than 4 MiB"), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_given_up_at_the_limit() {
    let (_directory, socket) = server(wait_for_end);
    assert!(matches!(Qmp::connect(&socket, SHORT).await.err().unwrap(), QmpError::Timeout { .. }));

    let (_directory, socket) = server(|mut stream| async move {
        negotiate(&mut stream).await;
        let late = command(&mut stream).await;
        let next = command(&mut stream).await;
        for request in [late, next] {
            say(&mut stream, &format!("{}\n", json!({ "return": request["execute"], "id": request["id"] }))).await;
        }
    });
    let qmp = Qmp::connect(&socket, LONG).await.unwrap();
    let error = qmp.execute_within("late", json!({}), SHORT).await.unwrap_err();
    assert!(matches!(error, QmpError::Timeout { .. }), "{error}");
    assert_eq!(qmp.execute("next", json!({})).await.unwrap(), "next", "a late answer goes to nobody else");
}

#[tokio::test]
async fn the_end_of_the_server_ends_all_that_wait() {
    let (_directory, socket) = server(|mut stream| async move {
        negotiate(&mut stream).await;
        command(&mut stream).await;
    });
    let qmp = Qmp::connect(&socket, LONG).await.unwrap();
    let mut events = qmp.events();
    assert!(matches!(qmp.execute("x", json!({})).await.unwrap_err(), QmpError::Closed { .. }));
    assert_eq!(events.next().await, None);
    let nobody = Qmp::connect(&socket.with_file_name("none"), LONG).await.err().unwrap();
    assert!(matches!(nobody, QmpError::Connect { .. }));
}

#[tokio::test]
async fn a_slow_reader_of_events_is_told_what_it_lost() {
    let (_directory, socket) = server(|mut stream| async move {
        negotiate(&mut stream).await;
        let id = command(&mut stream).await["id"].clone();
        say(&mut stream, &"{\"event\":\"E\"}\n".repeat(EVENTS_KEPT + 5)).await;
        say(&mut stream, &format!("{}\n", json!({ "return": {}, "id": id }))).await;
        wait_for_end(stream).await;
    });
    let qmp = Qmp::connect(&socket, LONG).await.unwrap();
    let mut events = qmp.events();
    qmp.execute("flood", json!({})).await.unwrap();
    assert_eq!(events.next().await, Some(Notice::Lost(5)));
    assert!(matches!(events.next().await, Some(Notice::Event(_))));
}

#[tokio::test]
async fn a_server_that_greets_twice_or_does_not_hear_at_first_is_asked_again() {
    let mut connections = 0;
    let (_directory, socket) = server(move |mut stream| {
        connections += 1;
        async move {
            match connections {
                1 => say(&mut stream, &GREETING.repeat(2)).await,
                2 => say(&mut stream, GREETING).await,
                _ => {
                    answer_with(&mut stream, connections).await;
                }
            }
            wait_for_end(stream).await;
        }
    });
    let qmp = Qmp::connect(&socket, Duration::from_secs(6)).await.unwrap();
    assert_eq!(qmp.execute("which", json!({})).await.unwrap(), 3);
}

#[tokio::test]
async fn a_client_that_is_taken_and_never_greeted_comes_again_in_time() {
    let mut connections = 0;
    let (_directory, socket) = server(move |mut stream| {
        connections += 1;
        async move {
            if connections == 2 {
                answer_with(&mut stream, connections).await;
            }
            wait_for_end(stream).await;
        }
    });
    let qmp = Qmp::connect(&socket, Duration::from_secs(6)).await.unwrap();
    assert_eq!(qmp.execute("which", json!({})).await.unwrap(), 2);
}

#[tokio::test]
async fn a_real_server_is_understood() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("qmp");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mut command = tokio::process::Command::new("qemu-storage-daemon");
    command.args(["--chardev", "socket,id=m,fd=3,server=on,wait=off", "--monitor", "chardev=m"]).kill_on_drop(true);
    command.fd_mappings(vec![FdMapping { parent_fd: listener.into(), child_fd: 3 }]).unwrap();
    let mut daemon = command.spawn().unwrap();
    // The command has a copy of the listening socket; while it lives a connection to a dead daemon would never end.
    drop(command);
    let qmp = Qmp::connect(&socket, LONG).await.unwrap();
    assert_eq!(qmp.execute("query-block-exports", json!({})).await.unwrap(), json!([]));
    let refused = qmp.execute("block-export-del", json!({ "id": "none" })).await.unwrap_err();
    assert!(refused.is_class("GenericError"), "{refused}");
    qmp.execute("quit", json!({})).await.unwrap();
    assert!(daemon.wait().await.unwrap().success());
}
