//! Tells a web hook who the primary is: one `POST` with a JSON body for each role change, until the receiver has taken it.
//!
//! What is sent is in [`message`], what an answer means in [`job`]; this file connects them with the plugin interface. Credentials and
//! the signature are added by the agent and never seen here.

pub mod job;
pub mod message;

use job::World;
use tanist_plugin::{
    Error, Event, Plugin, config,
    http::{self, HttpError, Request, Response},
    log,
};

/// The plugin.
#[derive(Debug)]
pub struct Notify;

impl Plugin for Notify {
    fn on_role_change(event: Event) -> Result<(), Error> {
        let url = config::required("url")?;
        job::tell(url.trim(), &event, &mut Agent)
    }
}

tanist_plugin::export!(Notify);

/// The world as the agent offers it.
struct Agent;

impl World for Agent {
    fn send(&mut self, request: Request) -> Result<Response, HttpError> {
        http::send(&request)
    }

    fn say(&mut self, line: &str) {
        log::info(line);
    }
}
