//! Requests to a real server on this machine that verifies, fails, hangs, answers late, redirects and lies.

mod server;

use server::{CA, Server, Then, access, request, signed_by};
use std::time::{Duration, Instant};
use tanist_http::{Access, Credentials, Failure, Request, send};

const SECOND: Duration = Duration::from_secs(1);

fn status(result: Result<tanist_http::Answer, Failure>) -> u16 {
    result.unwrap_or_else(|failure| panic!("{failure:?}")).status
}

#[tokio::test]
async fn a_request_arrives_with_its_body_the_credentials_and_a_signature_that_verifies() {
    let server = Server::start(Then::Answer(200)).await;
    let credentials = Credentials {
        headers: vec![Access::authorization("Bearer", "token"), ("X-Room".to_owned(), "db".to_owned())],
        signing_key: Some(b"topsecret".to_vec()),
        ca: None,
    };
    let access = Access::new(credentials, false).unwrap();
    let answer = send(request(&server), &access, SECOND).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"done"[..]));
    assert!(answer.headers.contains(&("x-server".to_owned(), "test".to_owned())));
    assert!(!answer.headers.iter().any(|(name, _)| name == "set-cookie"));
    let seen = server.seen();
    let [message] = &seen[..] else { panic!("{seen:?}") };
    assert!(message.starts_with("POST /hooks?x=1 HTTP/1.1\r\n"), "{message}");
    for line in ["authorization: Bearer token", "x-room: db", "idempotency-key: k1", &format!("host: {}", server.authority())] {
        assert!(message.contains(&format!("\r\n{line}\r\n")), "no {line} in {message}");
    }
    assert!(signed_by(message, b"topsecret"), "{message}");
    assert!(!signed_by(message, b"another") && !signed_by(&message.replace("\"epoch\"", "\"Epoch\""), b"topsecret"));
}

#[tokio::test]
async fn every_status_is_an_answer_and_no_redirect_is_followed() {
    for code in [204, 302, 307, 404, 429, 500, 503] {
        let elsewhere = Server::start(Then::Answer(200)).await;
        let server = Server::start(Then::Redirect(code, format!("http://{}/", elsewhere.authority()))).await;
        let answer = send(request(&server), &access(), SECOND).await.unwrap();
        assert_eq!(answer.status, code);
        assert_eq!((server.seen().len(), elsewhere.seen().len()), (1, 0), "status {code}");
    }
}

#[tokio::test]
async fn what_was_sent_and_not_answered_is_unknown_in_time() {
    let ways = [
        (Then::Hang, "no whole answer within 300 ms"),
        (Then::Late(SECOND * 5), "no whole answer within 300 ms"),
        (Then::HalfAnswer, "no whole answer within 300 ms"),
        (Then::HangUp, ""),
        (Then::CutAnswer, "status 200"),
        (Then::Garbage, ""),
        (Then::HugeBody, "length limit exceeded"),
        (Then::HugeHead, ""),
    ];
    for (then, words) in ways {
        let shown = format!("{then:?}");
        let server = Server::start(then).await;
        let start = Instant::now();
        let result = send(request(&server), &access(), Duration::from_millis(300)).await;
        let Err(Failure::Unknown(text)) = result else { panic!("{shown}: {result:?}") };
        assert!(text.contains(words), "{shown}: {text}");
        assert!(start.elapsed() < Duration::from_millis(300) + SECOND, "{shown}: {:?}", start.elapsed());
        assert_eq!(server.seen().len(), 1, "{shown}");
    }
}

#[tokio::test]
async fn what_was_not_sent_is_unreachable() {
    let server = Server::start(Then::Answer(200)).await;
    let closed = Request { port: 1, ..request(&server) };
    assert!(matches!(send(closed, &access(), SECOND).await, Err(Failure::Unreachable(_))));
    let nowhere = Request { host: "nowhere.invalid".to_owned(), ..request(&server) };
    assert!(matches!(send(nowhere, &access(), SECOND * 5).await, Err(Failure::Unreachable(_))));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_refused_unless_its_address_is_named() {
    let server = Server::start(Then::Answer(200)).await;
    let by_name = Request { host: "localhost".to_owned(), ..request(&server) };
    let refused = send(by_name.clone(), &access(), SECOND).await;
    let Err(Failure::Refused(text)) = refused else { panic!("{refused:?}") };
    assert!(text.contains("localhost is ") && text.contains("add addresses: ["), "{text}");
    let other = Request { addresses: vec!["192.0.2.1".parse().unwrap()], ..by_name.clone() };
    assert!(matches!(send(other, &access(), SECOND).await, Err(Failure::Refused(_))));
    assert!(server.seen().is_empty());
    let named = Request { addresses: vec!["127.0.0.1".parse().unwrap()], ..by_name };
    assert_eq!(status(send(named, &access(), SECOND).await), 200);
    let numeric_elsewhere = Request { addresses: vec!["192.0.2.1".parse().unwrap()], ..request(&server) };
    assert!(matches!(send(numeric_elsewhere, &access(), SECOND).await, Err(Failure::Refused(_))));
}

#[tokio::test]
async fn tls_believes_the_given_authority_and_nobody_else() {
    let server = Server::start_tls(Then::Answer(200)).await;
    let ours =
        |ca: Option<&[u8]>| Access::new(Credentials { ca: ca.map(<[u8]>::to_vec), ..Credentials::default() }, true).unwrap();
    let named = Request { host: "localhost".to_owned(), addresses: vec!["127.0.0.1".parse().unwrap()], ..request(&server) };
    assert_eq!(status(send(named.clone(), &ours(Some(CA)), SECOND * 5).await), 200);
    assert_eq!(status(send(request(&server), &ours(Some(CA)), SECOND * 5).await), 200, "the certificate has the address, too");
    let before = server.seen().len();
    let stranger = send(named.clone(), &ours(None), SECOND * 5).await;
    let Err(Failure::Unreachable(text)) = stranger else { panic!("{stranger:?}") };
    assert!(text.contains("UnknownIssuer"), "{text}");
    let elsewhere = Request { host: "127.0.0.2".to_owned(), ..named };
    assert!(matches!(send(elsewhere, &ours(Some(CA)), SECOND * 5).await, Err(Failure::Refused(_) | Failure::Unreachable(_))));
    assert_eq!(server.seen().len(), before, "nothing was sent to whom nobody believes");
}

#[tokio::test]
async fn a_server_that_shakes_no_hands_costs_no_more_than_the_time() {
    let server = Server::start(Then::Hang).await;
    let access = Access::new(Credentials { ca: Some(CA.to_vec()), ..Credentials::default() }, true).unwrap();
    let start = Instant::now();
    let result = send(request(&server), &access, Duration::from_millis(200)).await;
    assert_eq!(result, Err(Failure::Unreachable("TLS: no answer in time".to_owned())));
    assert!(start.elapsed() < SECOND);
}
