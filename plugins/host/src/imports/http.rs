//! `http`: requests to the agent, which checks the place, adds the credentials and sends.

use crate::{
    bindings::http::{self, HttpError, Request, Response},
    budget::Breach,
    guest::Guest,
};
use tanist_broker::protocol::{Denial, HttpRequest, HttpResponse, Op, Reply};

/// Requests of one `send-all`; the agent allows fewer.
const MAX_REQUESTS: usize = 16;
/// Longest method, URL, headers and body of all requests of a call together: they share a frame.
const MAX_BYTES: usize = 512 << 10;

type Answer = Result<Response, HttpError>;

impl http::Host for Guest {
    async fn send(&mut self, request: Request) -> wasmtime::Result<Answer> {
        let mut answers = self.send_requests(vec![request]).await?;
        Ok(answers.pop().unwrap_or_else(|| Err(mismatch())))
    }

    async fn send_all(&mut self, requests: Vec<Request>) -> wasmtime::Result<Vec<Answer>> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.send_requests(requests).await?)
    }
}

impl Guest {
    async fn send_requests(&mut self, requests: Vec<Request>) -> Result<Vec<Answer>, Breach> {
        let (asked, bytes) = (requests.len(), requests.iter().map(size).sum::<usize>());
        if asked > MAX_REQUESTS || bytes > MAX_BYTES {
            let text = format!("{asked} requests of {bytes} bytes at once; at most {MAX_REQUESTS} of {MAX_BYTES} bytes");
            return Ok(vec![Err(HttpError::Invalid(text)); asked]);
        }
        let requests = requests.into_iter().map(wire).collect();
        Ok(match self.ask(Op::Http { requests }).await? {
            Ok(Reply::Http(answers)) if answers.len() == asked => answers.into_iter().map(answer).collect(),
            Ok(_) => vec![Err(mismatch()); asked],
            Err(denial) => vec![Err(refusal(denial)); asked],
        })
    }
}

fn size(request: &Request) -> usize {
    let Request { method, url, headers, body, timeout_ms: _, claim: _ } = request;
    let headers: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    method.len() + url.len() + headers + body.len()
}

fn wire(request: Request) -> HttpRequest {
    let Request { method, url, headers, body, timeout_ms, claim } = request;
    HttpRequest { method, url, headers, body, timeout_ms, claim }
}

fn answer(answer: Result<HttpResponse, Denial>) -> Answer {
    let HttpResponse { status, headers, body } = answer.map_err(refusal)?;
    Ok(Response { status, headers, body })
}

/// The agent answered another question; nothing is known.
fn mismatch() -> HttpError {
    HttpError::Unknown("the agent's answer does not fit the request".to_owned())
}

fn refusal(denial: Denial) -> HttpError {
    match denial {
        Denial::NotGranted { what: _, remedy } => HttpError::NotGranted(remedy),
        Denial::StaleEpoch { asked: _, current } => HttpError::Fenced(current),
        Denial::Fenced { newer_epoch } => HttpError::Fenced(newer_epoch),
        Denial::NotLeader | Denial::NotProved { .. } | Denial::LeaseTooShort { .. } => HttpError::NotLeader,
        // The request may be on its way: the agent did not say that it is not.
        Denial::Expired => HttpError::Expired,
        Denial::Invalid(text) => HttpError::Invalid(text),
        Denial::Refused(text) => HttpError::Refused(text),
        Denial::Unknown(text) => HttpError::Unknown(text),
        Denial::Unreachable(text) => HttpError::Unreachable(text),
        other @ (Denial::TooMany { .. } | Denial::Unavailable(_)) => HttpError::Other(other.to_string()),
    }
}
