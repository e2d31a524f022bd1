//! `tanist switchover`: asks the leader's agent to hand over.

use super::{
    Failure, http,
    remote::{self, Remote},
};
use clap::Args;
use hyper::Method;
use serde_json::json;
use tanist_patroni::dcs::LeaderKey;

/// Arguments of `tanist switchover`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    remote: remote::Arguments,
    /// Who must lead now; the command fails when it is somebody else
    #[arg(long, value_name = "MEMBER")]
    leader: Option<String>,
    /// Who shall lead; without it the best standby
    #[arg(long, value_name = "MEMBER")]
    candidate: Option<String>,
}

/// Asks, waits, and prints the outcome.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let remote = Remote::read(&arguments.remote)?;
    let present = remote.snapshot.get(&remote.keys.leader()).and_then(|key| LeaderKey::decode(&key.kv.value).ok());
    let Some(present) = present.map(|key| key.name.0) else {
        return Err(Failure::failed("the cluster has no leader now"));
    };
    let member = remote.view.members.iter().find(|member| member.name.0 == present);
    let Some(url) = member.and_then(|member| member.api_url.as_ref()) else {
        return Err(Failure::failed(format!("the leader {present} has not told where its REST API is")));
    };
    let base = url.trim_end_matches("/patroni");
    let body = json!({"leader": arguments.leader.as_deref().unwrap_or(&present), "candidate": arguments.candidate}).to_string();
    let (code, text) =
        http::request(Method::POST, &format!("{base}/switchover"), remote.settings.rest_credentials.as_ref(), body)?;
    match code {
        200 | 202 => {
            println!("{text}");
            Ok(())
        }
        code => Err(Failure::failed(format!("{text} ({code})"))),
    }
}
