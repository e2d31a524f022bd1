//! A plain HTTP/1.1 client: enough to ask an agent what it says of itself.

use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Status code and body of one request, or what went wrong.
pub fn request(method: &str, at: SocketAddr, path: &str, body: &str) -> Result<(u16, String), String> {
    request_with(method, at, path, "", body)
}

/// The same with further header lines, each ended by CR LF.
pub fn request_with(method: &str, at: SocketAddr, path: &str, headers: &str, body: &str) -> Result<(u16, String), String> {
    // A frozen agent's kernel accepts connections that nobody will answer.
    let limit = if method == "GET" { Duration::from_millis(500) } else { Duration::from_secs(60) };
    let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(1)).map_err(|error| format!("{at}: {error}"))?;
    stream.set_read_timeout(Some(limit)).map_err(|error| error.to_string())?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n{headers}\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(|error| format!("{at}{path}: {error}"))?;
    let text = String::from_utf8_lossy(&answer);
    let code = text.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| format!("{at}{path}: no HTTP answer"))?;
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((code, body.to_owned()))
}

/// The status code of a GET; 0 when nobody answers.
pub fn status(at: SocketAddr, path: &str) -> u16 {
    request("GET", at, path, "").map_or(0, |(code, _)| code)
}

/// The JSON body of a GET, whatever its status.
pub fn json(at: SocketAddr, path: &str) -> Result<Value, String> {
    let (code, body) = request("GET", at, path, "")?;
    serde_json::from_str(&body).map_err(|error| format!("{at}{path}: {code}, not JSON: {error}"))
}
