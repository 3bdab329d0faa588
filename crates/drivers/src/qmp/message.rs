//! What a QMP server says, as values. Pure: bytes in, a message or the reason why they are none out.

use serde::Deserialize;
use serde_json::Value;

/// One line from a QMP server.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// The first line of a connection.
    Greeting {
        /// The server's version as `major.minor.micro`.
        version: [u64; 3],
    },
    /// The answer to a command that was carried out.
    Return {
        /// The command's id.
        id: Option<u64>,
        /// What it returned.
        value: Value,
    },
    /// The answer to a command that was refused.
    Error {
        /// The command's id; none when the server could not make out the command.
        id: Option<u64>,
        /// `GenericError`, `CommandNotFound`, `DeviceNotFound`, …
        class: String,
        /// For a person.
        description: String,
    },
    /// Something happened.
    Event(Event),
}

/// Something that a QMP server tells unasked.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `SHUTDOWN`, `BLOCK_EXPORT_DELETED`, …
    pub name: String,
    /// What it tells with it; `null` when nothing.
    pub data: Value,
}

/// Why a line is not a QMP message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// It is not JSON, or a part has the wrong type.
    #[error("not a QMP message")]
    NotJson(#[source] serde_json::Error),
    /// It is JSON, but neither a greeting, an answer nor an event.
    #[error("neither a greeting, an answer nor an event")]
    NotAMessage,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "QMP")]
    greeting: Option<Greeting>,
    // Twice optional: `"return": null` is an answer, a missing `return` is none.
    #[serde(default, rename = "return", deserialize_with = "present")]
    returned: Option<Value>,
    error: Option<Refusal>,
    event: Option<String>,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    id: Value,
}

#[derive(Deserialize)]
struct Greeting {
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    qemu: Numbers,
}

#[derive(Deserialize)]
struct Numbers {
    major: u64,
    minor: u64,
    micro: u64,
}

#[derive(Deserialize)]
struct Refusal {
    class: String,
    desc: String,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads one line of a QMP server, with or without its line end.
///
/// # Errors
/// [`MessageError`] for anything that QMP does not know. Never panics, whatever the bytes.
pub fn parse(line: &[u8]) -> Result<Message, MessageError> {
    let line: Line = serde_json::from_slice(line).map_err(MessageError::NotJson)?;
    let id = line.id.as_u64();
    if let Some(Greeting { version: Version { qemu: Numbers { major, minor, micro } } }) = line.greeting {
        return Ok(Message::Greeting { version: [major, minor, micro] });
    }
    if let Some(name) = line.event {
        return Ok(Message::Event(Event { name, data: line.data }));
    }
    if let Some(Refusal { class, desc }) = line.error {
        return Ok(Message::Error { id, class, description: desc });
    }
    line.returned.map(|value| Message::Return { id, value }).ok_or(MessageError::NotAMessage)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_four_kinds_of_line_are_told_apart() {
        let greeting = br#"{"QMP":{"version":{"qemu":{"micro":2,"minor":0,"major":10},"package":"Debian"},"capabilities":["oob"]}}"#;
        assert_eq!(parse(greeting).unwrap(), Message::Greeting { version: [10, 0, 2] });
        assert_eq!(parse(b"{\"return\":{},\"id\":7}\r\n").unwrap(), Message::Return { id: Some(7), value: json!({}) });
        assert_eq!(parse(br#"{"return":null}"#).unwrap(), Message::Return { id: None, value: Value::Null });
        assert_eq!(
            parse(br#"{"error":{"class":"GenericError","desc":"no"},"id":1}"#).unwrap(),
            Message::Error { id: Some(1), class: "GenericError".into(), description: "no".into() }
        );
        let stop = br#"{"event":"STOP","timestamp":{"seconds":1,"microseconds":2}}"#;
        assert_eq!(parse(stop).unwrap(), Message::Event(Event { name: "STOP".into(), data: Value::Null }));
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        for bad in ["", "{}", "[]", "null", "{\"return\":", "{\"event\":3}", "{\"error\":{}}", "\u{0}", "{\"QMP\":{}}"]
        {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?} was taken for a message");
        }
        assert!(parse("[".repeat(100_000).as_bytes()).is_err(), "a deep nest is refused, not recursed into");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn a_real_line_with_one_byte_changed_never_panics(at in 0_usize..90, byte: u8) {
            let mut line = br#"{"event":"SHUTDOWN","data":{"guest":true,"reason":"guest-shutdown"},"timestamp":{"seconds":1}}"#.to_vec();
            line[at] = byte;
            let _ = parse(&line);
        }
    }
}
