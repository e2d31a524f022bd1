//! A web hook: a receiver of the plugin `notify` that refuses each message once, then hangs up on it, and takes it at the third attempt.
//! It verifies the signature and remembers what it was sent.

use ring::hmac;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

const SECRET: &str = "a secret of the tests";

/// The receiver. Its thread ends with the process.
#[derive(Debug)]
pub struct Hook {
    /// Where it listens.
    pub address: SocketAddr,
    messages: Arc<Mutex<Vec<Message>>>,
}

/// A message, as it was received.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its `Idempotency-Key`.
    pub key: String,
    /// Its body.
    pub body: Value,
    /// Whether the signature is that of the body.
    pub genuine: bool,
    /// Whether it was taken: at the third attempt, and at any later one.
    pub taken: bool,
}

impl Hook {
    /// Listens on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (address, messages) = (listener.local_addr().expect("an address"), Arc::<Mutex<Vec<Message>>>::default());
        let noted = Arc::clone(&messages);
        thread::spawn(move || {
            let mut known = BTreeMap::new();
            for stream in listener.incoming().flatten() {
                if let Some(message) = receive(stream, &mut known) {
                    noted.lock().expect("a lock").push(message);
                }
            }
        });
        Self { address, messages }
    }

    /// The plugin in the configuration, to stand below another one.
    pub fn plugin(&self) -> String {
        let url = format!("http://{}/hook", self.address);
        format!(
            "  - name: notify\n    component: builtin:notify\n    config: {{url: \"{url}?room=e2e\"}}\n    \
             grants: {{http: {{url: \"{url}\", hmac_secret: {SECRET}}}}}\n"
        )
    }

    /// What was received up to now.
    pub fn messages(&self) -> Vec<Message> {
        self.messages.lock().expect("a lock").clone()
    }
}

fn receive(mut stream: TcpStream, known: &mut BTreeMap<String, u32>) -> Option<Message> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    let (head, body) = loop {
        let read = stream.read(&mut part).ok().filter(|read| *read > 0)?;
        bytes.extend(&part[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length: usize = header(head, "content-length")?.parse().ok()?;
        if body.len() >= length {
            break (head.to_owned(), body.to_owned());
        }
    };
    let key = header(&head, "idempotency-key")?;
    let attempts = known.entry(key.clone()).and_modify(|attempts| *attempts += 1).or_insert(1);
    let taken = *attempts > 2;
    let genuine = verify(&header(&head, "x-tanist-timestamp")?, &header(&head, "x-tanist-signature")?, &body);
    let answer = match attempts {
        1 => "HTTP/1.1 503 Later\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        2 => "",
        _ => "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    };
    stream.write_all(answer.as_bytes()).ok()?;
    Some(Message { key, body: serde_json::from_str(&body).ok()?, genuine, taken })
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

fn verify(timestamp: &str, signature: &str, body: &str) -> bool {
    let digits = signature.strip_prefix("v1=").unwrap_or_default();
    let bytes: Vec<u8> = digits
        .as_bytes()
        .chunks_exact(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hmac::verify(&key, format!("{timestamp}.{body}").as_bytes(), &bytes).is_ok()
}
