//! Sends the message and decides what the answer means, without any Wasm in it.

use crate::message;
use tanist_plugin::{
    Error, Event,
    http::{HttpError, Request, Response},
};

/// Characters of an answer that are passed on.
const EXCERPT: usize = 200;

/// What the job needs of the world.
pub trait World {
    /// Sends a request.
    fn send(&mut self, request: Request) -> Result<Response, HttpError>;
    /// A line in the log.
    fn say(&mut self, line: &str);
}

/// Tells the receiver of an event. The same event has the same `Idempotency-Key`, however often it is sent.
pub fn tell(url: &str, event: &Event, world: &mut impl World) -> Result<(), Error> {
    let what = format!("{} is {} of {} at epoch {}", event.node, role(event), event.cluster, event.epoch);
    let place = place(url);
    if event.dry_run {
        world.say(&format!("would tell {place} that {what}"));
        return Ok(());
    }
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", event.idempotency_key.as_str())];
    let response = world.send(Request::new("POST", url, &headers, message::body(event).as_bytes()))?;
    judge(&place, &response)?;
    world.say(&format!("{place} was told that {what}"));
    Ok(())
}

/// Where a URL leads, without user, path and query: any of them may be what the receiver knows its senders by.
fn place(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "the receiver".to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

fn role(event: &Event) -> &'static str {
    if event.role == tanist_plugin::Role::Primary { "primary" } else { "no longer primary" }
}

fn judge(place: &str, response: &Response) -> Result<(), Error> {
    let status = response.status;
    match status {
        200..=299 => Ok(()),
        300..=399 => {
            let to = response.header("location").filter(|to| to.contains("://")).map_or("another path".to_owned(), self::place);
            Err(Error::Permanent(format!(
                "{place} redirects ({status}) to {to:.EXCERPT$}; redirects are not followed, set `url` to where it leads"
            )))
        }
        408 | 425 | 429 | 500..=599 => Err(Error::Transient(format!("{place} answers {status}: {}", excerpt(&response.body)))),
        _ => Err(Error::Permanent(format!("{place} answers {status}: {}", excerpt(&response.body)))),
    }
}

fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * EXCERPT)]).into_owned();
    text.chars().filter(|letter| !letter.is_control()).take(EXCERPT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::event;

    #[derive(Default)]
    struct Fake {
        answer: Option<Result<Response, HttpError>>,
        sent: Vec<Request>,
        said: Vec<String>,
    }

    impl World for Fake {
        fn send(&mut self, request: Request) -> Result<Response, HttpError> {
            self.sent.push(request);
            self.answer.take().unwrap()
        }

        fn say(&mut self, line: &str) {
            self.said.push(line.to_owned());
        }
    }

    fn told(answer: Result<Response, HttpError>) -> (Fake, Result<(), Error>) {
        let mut fake = Fake { answer: Some(answer), ..Fake::default() };
        let result = tell("https://hooks.example.org/x?token=1", &event(), &mut fake);
        (fake, result)
    }

    fn answers(status: u16, body: &str) -> Result<Response, HttpError> {
        Ok(Response {
            status,
            headers: vec![("location".to_owned(), "https://else/hidden".to_owned())],
            body: body.as_bytes().to_vec(),
        })
    }

    #[test]
    fn a_receiver_that_takes_it_is_told_once_with_the_key() {
        let (fake, result) = told(answers(202, ""));
        assert_eq!(result, Ok(()));
        let [request] = &fake.sent[..] else { panic!("{:?}", fake.sent) };
        assert!(request.headers.contains(&("Idempotency-Key".to_owned(), "demo/9/n2/on_role_change/7".to_owned())));
        assert_eq!(request.body, message::body(&event()).into_bytes());
        assert_eq!(fake.said, ["https://hooks.example.org was told that n2 is primary of demo at epoch 9"]);
    }

    #[test]
    fn the_answer_decides_whether_it_is_sent_again() {
        for status in [408, 425, 429, 500, 503] {
            assert!(matches!(told(answers(status, "later\n")).1, Err(Error::Transient(text)) if text.ends_with("later")));
        }
        for status in [400, 401, 404, 410] {
            assert!(matches!(told(answers(status, "no")).1, Err(Error::Permanent(text)) if text.ends_with(": no")));
        }
        assert!(matches!(told(answers(302, "")).1, Err(Error::Permanent(text)) if text.contains("to https://else;")));
        assert!(matches!(told(Err(HttpError::Unknown("lost".to_owned()))).1, Err(Error::Transient(_))));
        assert!(matches!(told(Err(HttpError::NotGranted("line".to_owned()))).1, Err(Error::Permanent(_))));
    }

    #[test]
    fn what_may_be_a_password_is_never_shown() {
        for url in ["https://me:hidden@a/", "https://a/hidden/hidden", "https://a?hidden", "hidden"] {
            for status in [200, 302, 404, 503] {
                let mut fake = Fake { answer: Some(answers(status, "")), ..Fake::default() };
                let shown = format!("{:?} {:?}", tell(url, &event(), &mut fake), fake.said);
                assert!(!shown.contains("hidden"), "{url}: {shown}");
            }
        }
    }

    #[test]
    fn a_dry_run_sends_nothing() {
        let mut fake = Fake::default();
        tell("https://a/?token=1", &Event { dry_run: true, ..event() }, &mut fake).unwrap();
        assert!(fake.sent.is_empty() && fake.said[0].starts_with("would tell https://a that"), "{:?}", fake.said);
    }
}
