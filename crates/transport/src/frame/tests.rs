use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::duplex;

use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}

fn framed(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("short");
    [&length.to_be_bytes()[..], content].concat()
}

#[tokio::test]
async fn messages_arrive_whole_and_in_order_through_a_narrow_pipe() {
    let (near, far) = duplex(7);
    let messages =
        [json!("beat"), json!({"vm": "web-1", "bytes": vec![1; 1000]}), json!(null), json!("x".repeat(200_000))];
    let send = async {
        let mut writer = FrameWriter::new(near);
        for message in &messages {
            writer.send(message).await.expect("sent");
        }
        writer.close().await.expect("closed");
    };
    let receive = async {
        let mut reader = FrameReader::new(far);
        for message in &messages {
            assert_eq!(reader.next::<Value>().await.expect("received").as_ref(), Some(message));
        }
        assert!(reader.next::<Value>().await.expect("a clean end").is_none());
        assert!(reader.next::<Value>().await.expect("still a clean end").is_none());
    };
    tokio::join!(send, receive);
}

#[tokio::test]
async fn a_message_that_is_not_understood_does_not_spoil_the_next() {
    let bytes = [framed(b"{not json"), framed(b""), framed(b"\"text\""), framed(b"7")].concat();
    let mut reader = FrameReader::new(bytes.as_slice());
    for _ in 0..3 {
        assert!(matches!(reader.next::<u32>().await, Err(FrameError::NotJson(_))));
    }
    assert_eq!(reader.next::<u32>().await.expect("received"), Some(7));
}

#[tokio::test]
async fn a_claimed_length_over_the_limit_is_refused_without_making_room_for_it() {
    let mut reader = FrameReader::new(&[0xff, 0xff, 0xff, 0xff, b'x'][..]);
    let error = reader.next::<u32>().await.expect_err("refused");
    assert!(matches!(error, FrameError::TooLong { length: 0xffff_ffff, limit: MAX_FRAME_BYTES }));
    assert!(reader.buffer.capacity() <= CHUNK_BYTES);
    assert!(matches!(reader.next::<u32>().await, Err(FrameError::Unusable)));

    let exactly = framed(b"\"12345678\"");
    assert!(FrameReader::new(exactly.as_slice()).max_bytes(10).next::<String>().await.is_ok());
    assert!(FrameReader::new(exactly.as_slice()).max_bytes(9).next::<String>().await.is_err());
}

#[tokio::test]
async fn room_is_made_only_for_what_has_come() {
    let (mut near, far) = duplex(1024);
    near.write_all(&(16_000_000u32).to_be_bytes()).await.expect("written");
    near.write_all(b"\"").await.expect("written");
    drop(near);
    let mut reader = FrameReader::new(far);
    assert!(matches!(reader.next::<String>().await, Err(FrameError::ClosedMidFrame)));
    assert!(reader.buffer.capacity() <= 2 * CHUNK_BYTES);
}

#[tokio::test]
async fn a_large_buffer_is_given_back() {
    let bytes = framed(format!("\"{}\"", "x".repeat(500_000)).as_bytes());
    let mut reader = FrameReader::new(bytes.as_slice());
    reader.next::<String>().await.expect("received");
    assert_eq!(reader.buffer.capacity(), 0);
}

#[tokio::test]
async fn a_message_too_long_to_send_is_not_begun() {
    let mut sent = Vec::new();
    let mut writer = FrameWriter::new(&mut sent).max_bytes(10);
    assert!(matches!(writer.send("123456789").await, Err(FrameError::TooLong { length: 11, limit: 10 })));
    writer.send("12345678").await.expect("the next one goes");
    assert_eq!(sent, framed(b"\"12345678\""));
}

#[tokio::test(start_paused = true)]
async fn silence_is_reported_and_the_message_after_it_still_comes() {
    let (mut near, far) = duplex(64);
    let mut reader = FrameReader::new(far).idle_limit(Duration::from_secs(3));
    let whole = framed(b"42");
    near.write_all(&whole[..5]).await.expect("written");
    assert!(matches!(reader.next::<u32>().await, Err(FrameError::Idle { .. })));
    near.write_all(&whole[5..]).await.expect("written");
    assert_eq!(reader.next::<u32>().await.expect("received"), Some(42));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_given_up() {
    let (near, _far) = duplex(64);
    let mut writer = FrameWriter::new(near).time_limit(Duration::from_secs(3));
    assert!(matches!(writer.send(&"x".repeat(1000)).await, Err(FrameError::Idle { .. })));
    assert!(matches!(writer.send("x").await, Err(FrameError::Unusable)));
}

#[tokio::test]
async fn waiting_can_be_given_up_at_any_byte_without_loss() {
    let (mut near, far) = duplex(1024);
    let mut reader = FrameReader::new(far);
    for byte in framed(b"\"patience\"") {
        tokio::select! {
            biased;
            message = reader.next::<String>() => panic!("too early: {message:?}"),
            () = tokio::task::yield_now() => {}
        }
        near.write_all(&[byte]).await.expect("written");
    }
    assert_eq!(reader.next::<String>().await.expect("received").as_deref(), Some("patience"));
}

proptest! {
    #[test]
    fn a_message_cut_anywhere_is_a_close_in_its_middle(message in ".{0,50}", cut in any::<prop::sample::Index>()) {
        let whole = framed(serde_json::to_string(&message).expect("json").as_bytes());
        let cut = cut.index(whole.len());
        let result = runtime().block_on(FrameReader::new(&whole[..cut]).next::<String>());
        match cut {
            0 => prop_assert!(matches!(result, Ok(None))),
            _ => prop_assert!(matches!(result, Err(FrameError::ClosedMidFrame)), "{:?}", result),
        }
    }

    #[test]
    fn any_bytes_end_in_a_close_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let length = bytes.len();
        runtime().block_on(async {
            let mut reader = FrameReader::new(bytes.as_slice()).max_bytes(256);
            // Every frame takes four bytes at the least.
            for _ in 0..=length / HEAD_BYTES {
                match reader.next::<Value>().await {
                    Ok(None) => return Ok(()),
                    Ok(Some(_)) | Err(FrameError::NotJson(_)) => {}
                    Err(FrameError::TooLong { length, limit: 256 }) if length > 256 => return Ok(()),
                    Err(FrameError::ClosedMidFrame) => return Ok(()),
                    Err(other) => return Err(TestCaseError::fail(other.to_string())),
                }
            }
            Err(TestCaseError::fail("more frames than bytes"))
        })?;
    }

    #[test]
    fn messages_survive_any_cutting_into_packets(
        messages in prop::collection::vec(".{0,40}", 0..10),
        packet in 1usize..50,
    ) {
        let bytes: Vec<u8> =
            messages.iter().flat_map(|m| framed(serde_json::to_string(m).expect("json").as_bytes())).collect();
        let received = runtime().block_on(async {
            let (mut near, far) = duplex(packet);
            let write = async move { near.write_all(&bytes).await.expect("written") };
            let read = async move {
                let mut reader = FrameReader::new(far);
                let mut received = Vec::new();
                while let Some(message) = reader.next::<String>().await.expect("received") {
                    received.push(message);
                }
                received
            };
            tokio::join!(write, read).1
        });
        prop_assert_eq!(received, messages);
    }
}
