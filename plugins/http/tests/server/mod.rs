//! A server that reads one request per connection, remembers it, and then does what it was told.

#![allow(dead_code, reason = "each test file uses its share")]

use ring::hmac;
use rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tanist_http::{Access, Credentials, Request, SIGNATURE, TIMESTAMP};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

/// The authority that signed the server's certificate.
pub const CA: &[u8] = include_bytes!("../certificates/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../certificates/server.pem");
const KEY: &[u8] = include_bytes!("../certificates/server.key");

/// What the server does with a request.
#[derive(Clone, Debug)]
pub enum Then {
    Answer(u16),
    Redirect(u16, String),
    Hang,
    Late(Duration),
    HalfAnswer,
    HangUp,
    CutAnswer,
    Garbage,
    HugeBody,
    HugeHead,
}

pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub async fn start(then: Then) -> Self {
        Self::listen(vec![then], None).await
    }

    /// One after the other, the last one for ever.
    pub async fn script(script: Vec<Then>) -> Self {
        Self::listen(script, None).await
    }

    pub async fn start_tls(then: Then) -> Self {
        let certificates = CertificateDer::pem_slice_iter(CERTIFICATE).collect::<Result<Vec<_>, _>>().unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificates, PrivateKeyDer::from_pem_slice(KEY).unwrap())
            .unwrap();
        Self::listen(vec![then], Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn listen(mut script: Vec<Then>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let noted = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let then = if script.len() > 1 { script.remove(0) } else { script[0].clone() };
                let (noted, tls) = (Arc::clone(&noted), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, then, noted).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, then, noted).await,
                            Err(error) => println!("no handshake: {error}"),
                        },
                    }
                });
            }
        });
        Self { address, seen }
    }

    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Requests with their bodies, as they were read.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, then: Then, noted: Arc<Mutex<Vec<String>>>) {
    let mut bytes = Vec::new();
    while !whole(&bytes) {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    noted.lock().unwrap().push(String::from_utf8_lossy(&bytes).into_owned());
    let answer = |code: u16, more: &str| {
        format!("HTTP/1.1 {code} X\r\nX-Server: test\r\nSet-Cookie: a=b\r\n{more}Content-Length: 4\r\n\r\ndone").into_bytes()
    };
    let text = match then {
        Then::Answer(code) => answer(code, ""),
        Then::Redirect(204, _) => b"HTTP/1.1 204 X\r\n\r\n".to_vec(),
        Then::Redirect(code, to) => answer(code, &format!("Location: {to}\r\n")),
        Then::Hang => return sleep(Duration::from_secs(60)).await,
        Then::Late(after) => {
            sleep(after).await;
            answer(200, "")
        }
        Then::HalfAnswer => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nonly").await;
            return sleep(Duration::from_secs(60)).await;
        }
        Then::HangUp => return,
        Then::CutAnswer => b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nonly".to_vec(),
        Then::Garbage => b"220 mail.example.org ESMTP\r\n".to_vec(),
        Then::HugeBody => [&b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"[..], &vec![b'x'; 1_000_000]].concat(),
        Then::HugeHead => [&b"HTTP/1.1 200 OK\r\nX-Long: "[..], &vec![b'x'; 1_000_000]].concat(),
    };
    // The other side may have seen enough.
    let _ = stream.write_all(&text).await;
    let _ = stream.shutdown().await;
}

fn whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// What a receiver does with a signature.
pub fn signed_by(message: &str, secret: &[u8]) -> bool {
    let (head, body) = message.split_once("\r\n\r\n").unwrap();
    let header = |name: &str| {
        let name = name.to_ascii_lowercase();
        head.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap()
    };
    let signature = header(SIGNATURE).strip_prefix("v1=").unwrap();
    let bytes: Vec<u8> =
        (0..signature.len() / 2).map(|at| u8::from_str_radix(&signature[2 * at..2 * at + 2], 16).unwrap()).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::verify(&key, format!("{}.{body}", header(TIMESTAMP)).as_bytes(), &bytes).is_ok()
}

pub fn access() -> Access {
    Access::new(Credentials::default(), false).unwrap()
}

pub fn request(server: &Server) -> Request {
    Request {
        method: "POST".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: server.address.port(),
        authority: server.authority(),
        target: "/hooks?x=1".to_owned(),
        headers: vec![("Idempotency-Key".to_owned(), "k1".to_owned())],
        body: br#"{"event":"on_role_change","epoch":7}"#.to_vec(),
        addresses: vec![],
        most: 64 << 10,
    }
}
