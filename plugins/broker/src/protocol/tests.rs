//! Frames: round trips, and garbage that never panics.

use super::*;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

fn call() -> ToHost {
    let event = crate::testing::event(Action::OnRoleChange, 9, 1);
    let work = Work::Callback(Box::new(event));
    ToHost::Call(Call { call: CallId(1), plugin: PluginId::from("dns-update"), work, wall_ms: 5_000, cpu_ms: 200 })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn the_encoding_of_hello_never_changes() {
    assert_eq!(encode(&ToHost::Hello { version: 1 }).unwrap(), [2, 0, 0, 0, 0, 1]);
    assert_eq!(encode(&ToAgent::Hello { version: 1 }).unwrap(), [2, 0, 0, 0, 0, 1]);
}

#[test]
fn frames_arrive_whole_however_they_are_cut() {
    block_on(async {
        let (mut near, far) = tokio::io::duplex(64);
        let bytes = [encode(&call()).unwrap(), encode(&ToHost::Ping { nonce: 7 }).unwrap()].concat();
        let writer = tokio::spawn(async move {
            for byte in bytes {
                near.write_all(&[byte]).await.unwrap();
            }
        });
        let mut reader = FrameReader::new(far);
        let mut frames = vec![];
        loop {
            // Dropping the future again and again must not lose a byte.
            match tokio::time::timeout(Duration::from_micros(1), reader.next::<ToHost>()).await {
                Ok(Ok(Some(frame))) => frames.push(frame),
                Ok(Ok(None)) => break,
                Ok(Err(error)) => panic!("{error}"),
                Err(_) => tokio::task::yield_now().await,
            }
        }
        writer.await.unwrap();
        assert_eq!(frames, [call(), ToHost::Ping { nonce: 7 }]);
    });
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read_or_sent() {
    let text = "x".repeat(MAX_FRAME);
    let log = ToAgent::Log { plugin: PluginId::from("p"), call: None, level: Level::Info, text };
    assert!(matches!(encode(&log), Err(FrameError::TooLarge { .. })));
    block_on(async {
        let mut reader = FrameReader::new(&[0xFF, 0xFF, 0xFF, 0x7F, 0][..]);
        assert!(matches!(reader.next::<ToHost>().await, Err(FrameError::TooLarge { .. })));
        let mut reader = FrameReader::new(&[9, 0, 0, 0, 1][..]);
        assert!(matches!(reader.next::<ToHost>().await, Err(FrameError::Truncated)));
    });
}

#[test]
fn garbage_is_an_error_and_never_a_panic() {
    let whole = encode(&call()).unwrap();
    let body = &whole[4..];
    for length in 0..body.len() {
        assert!(decode::<ToHost>(&body[..length]).is_err(), "cut after {length} bytes");
    }
    assert!(matches!(decode::<ToHost>(&[body, &[0]].concat()), Err(FrameError::Trailing(1))));
    let mut state = 1_u64;
    for _ in 0..20_000 {
        let mut bytes = body.to_vec();
        for _ in 0..3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let place = (state >> 33) as usize % bytes.len();
            bytes[place] = (state >> 24) as u8;
        }
        // Some changes only alter a text or a number: any result will do, as long as it is one.
        drop(decode::<ToHost>(&bytes));
        drop(decode::<ToAgent>(&bytes));
    }
}

#[test]
fn a_digest_reads_what_it_shows() {
    let text = "ab".repeat(32);
    assert_eq!(Digest::from_hex(&text).unwrap().to_string(), text);
    assert_eq!(Digest::from_hex(&text[1..]), None);
    assert_eq!(Digest::from_hex(&"+1".repeat(32)), None);
    assert_eq!(Digest::from_hex(&"é".repeat(32)), None);
}
