//! Moving a name: read, send, read back.

use super::{
    Generation, TsigKey,
    decide::{Present, Step, decide},
    exchange::{Connection, mnemonic},
    lookup::absolute,
    message::{Move, Verdict, verdict},
};
use futures_util::future::join_all;
use hickory_proto::{
    op::ResponseCode,
    rr::{RecordType, rdata::TXT},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tanist_engine::Epoch;
use tokio::time::Instant;

/// A claim: this name to these addresses, at this epoch.
#[derive(Clone, Debug)]
pub struct Request {
    /// Servers that accept updates for the zone, in order of preference. The next one is tried only while nothing has been sent that could
    /// change anything.
    pub servers: Vec<SocketAddr>,
    /// Further authoritative servers to read back from after a move.
    pub read_back: Vec<SocketAddr>,
    /// The zone, as the server knows it.
    pub zone: String,
    /// The name to move, in the zone.
    pub name: String,
    /// Its new addresses; they replace all A and AAAA records of the name.
    pub addresses: Vec<IpAddr>,
    /// TTL of the new records, in seconds.
    pub ttl: u32,
    /// Our epoch.
    pub epoch: Epoch,
    /// Our member name, for people who read the generation record.
    pub node: String,
    /// Where the generation record is kept; `None`: at `_tanist.<name>`.
    pub generation: Option<String>,
    /// The key; `None`: not signed.
    pub key: Option<TsigKey>,
}

/// How it went. Only `Applied` and `AlreadyThere` mean that the name is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Moved, and the server that was updated answers so.
    Applied {
        /// What every server said afterwards, the updated one first.
        read_back: Vec<ReadBack>,
    },
    /// It was there before: by an earlier call whose answer was lost, most likely.
    AlreadyThere,
    /// A newer epoch has the name. Never to be tried again with this epoch.
    Fenced {
        /// Whose.
        newer: Generation,
    },
    /// Nothing was changed, and trying again changes nothing before somebody has acted.
    Refused {
        /// The server's response code; `None`: it was not asked.
        code: Option<String>,
        /// What is wrong, for people.
        text: String,
    },
    /// It may or may not have been done. The next call reads first, and then knows.
    Unknown(String),
    /// No server could be asked. Nothing was changed.
    Unreachable(String),
}

/// What one server answers after a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// The server.
    pub server: SocketAddr,
    /// Its answer.
    pub seen: Seen,
}

/// A server's answer for the moved name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The new addresses.
    New,
    /// Others: it has not followed yet.
    Other(Vec<IpAddr>),
    /// Nothing.
    NoAnswer(String),
}

/// Somebody may claim the name between our reading and our writing. Claims succeed in the order of their epochs, so each lower epoch can
/// get in between once; more than this in a row is a fight.
const ROUNDS: usize = 16;
/// More do not fit a sensible answer.
const MAX_ADDRESSES: usize = 32;

/// Claims the name. Returns by `timeout` at the latest.
pub async fn point(request: &Request, timeout: Duration) -> Outcome {
    let plan = match plan(request) {
        Ok(plan) => plan,
        Err(text) => return Outcome::Refused { code: None, text },
    };
    let deadline = Instant::now() + timeout;
    let mut failures = Vec::new();
    for (index, server) in request.servers.iter().enumerate() {
        // A silent server must leave time for the others, until it has been sent something that changes.
        let share =
            deadline.saturating_duration_since(Instant::now()) / u32::try_from(request.servers.len() - index).unwrap_or(u32::MAX);
        let claim = match Connection::open(*server, Instant::now() + share).await {
            Ok(connection) => Claim { request, plan: &plan, connection, deadline },
            Err(text) => {
                failures.push(text);
                continue;
            }
        };
        match claim.run().await {
            Ok(outcome) => return outcome,
            Err(Untouched(text)) => failures.push(text),
        }
    }
    Outcome::Unreachable(failures.join("; "))
}

fn plan(request: &Request) -> Result<Move, String> {
    let parse = |what: &str, text: &str| absolute(text).ok_or_else(|| format!("{what} {text:?} is not a domain name"));
    let zone = parse("zone", &request.zone)?;
    let name = parse("name", &request.name)?;
    let owner = match &request.generation {
        Some(owner) => parse("generation record", owner)?,
        None => parse("generation record", &format!("_tanist.{}", request.name))?,
    };
    for inside in [&name, &owner] {
        if !zone.zone_of(inside) {
            return Err(format!("{inside} is not in the zone {zone}"));
        }
    }
    let addresses: BTreeSet<IpAddr> = request.addresses.iter().copied().collect();
    if addresses.is_empty() || addresses.len() > MAX_ADDRESSES {
        return Err(format!("a name is moved to 1 to {MAX_ADDRESSES} addresses, not {}", addresses.len()));
    }
    if request.epoch == Epoch::NONE || request.epoch.0 >= Epoch::LIMIT {
        return Err(format!("{} is not the epoch of a lease", request.epoch));
    }
    if request.servers.is_empty() {
        return Err("no server to send updates to".into());
    }
    let claim = Generation::new(request.epoch, &request.node).to_string();
    Ok(Move { zone, name, owner, addresses: addresses.into_iter().collect(), ttl: request.ttl.min(i32::MAX as u32), claim })
}

/// The server gave no usable answer before anything was sent that could change something.
struct Untouched(String);

/// A claim at one server.
struct Claim<'a> {
    request: &'a Request,
    plan: &'a Move,
    connection: Connection,
    deadline: Instant,
}

impl Claim<'_> {
    async fn run(mut self) -> Result<Outcome, Untouched> {
        let mut tried = None;
        for _ in 0..ROUNDS {
            let present = match self.generation().await? {
                Ok(present) => present,
                Err(refused) => return Ok(refused),
            };
            let expected = match self.expected(present, &mut tried).await? {
                Ok(expected) => expected,
                Err(outcome) => return Ok(outcome),
            };
            match self.send(expected.as_ref()).await {
                Verdict::Applied => return Ok(self.read_back().await),
                Verdict::Changed => {}
                Verdict::Refused { code, text } => return Ok(Outcome::Refused { code, text }),
                Verdict::Unknown(text) => return Ok(Outcome::Unknown(text)),
            }
        }
        Ok(Outcome::Refused { code: None, text: format!("the generation record of {} changes all the time", self.plan.name) })
    }

    /// What the prerequisite of the update is, or why there is none. `tried` is what stood in the place of the generation record when
    /// the server was asked last whether that is a record at all.
    async fn expected(
        &mut self,
        present: Present,
        tried: &mut Option<String>,
    ) -> Result<Result<Option<TXT>, Outcome>, Untouched> {
        let before = tried.take();
        match decide(self.request.epoch, present) {
            Step::Fenced(newer) => Ok(Err(Outcome::Fenced { newer })),
            Step::ReplaceNone(text) if before.as_ref() == Some(&text) => Ok(Err(self.foreign(&text))),
            Step::ReplaceNone(text) => {
                *tried = Some(text);
                Ok(Ok(None))
            }
            Step::Compare(content) => {
                let (addresses, ttl) = self.connection.addresses(&self.plan.name).await.map_err(Untouched)?;
                let there = self.wanted(&addresses) && ttl == Some(self.plan.ttl);
                Ok(if there { Err(Outcome::AlreadyThere) } else { Ok(Some(content)) })
            }
            Step::Replace(expected) => Ok(Ok(expected)),
        }
    }

    /// Somebody else's record has the name of the generation record, and the server has said that it is no wildcard's.
    fn foreign(&self, text: &str) -> Outcome {
        let owner = &self.plan.owner;
        Outcome::Refused {
            code: Some(mnemonic(ResponseCode::YXRRSet)),
            text: format!("{owner} holds something else ({text:?}); delete the TXT records of {owner}, or move another name"),
        }
    }

    /// The generation record, or why the server cannot be asked for it.
    async fn generation(&mut self) -> Result<Result<Present, Outcome>, Untouched> {
        let reading = self.connection.read(&self.plan.owner, RecordType::TXT).await.map_err(Untouched)?;
        let server = self.connection.server;
        let refused = |code, text| Ok(Err(Outcome::Refused { code: Some(mnemonic(code)), text }));
        match reading.code {
            ResponseCode::NoError | ResponseCode::NXDomain if reading.authoritative => Ok(Ok(Present::of(&reading.records))),
            ResponseCode::NoError | ResponseCode::NXDomain => {
                refused(reading.code, format!("{server} is not authoritative for {}", self.plan.zone))
            }
            ResponseCode::ServFail => Err(Untouched(format!("{server}: SERVFAIL for {}", self.plan.owner))),
            code => refused(
                code,
                format!("{server} answers {} for {}: does it serve {}?", mnemonic(code), self.plan.owner, self.plan.zone),
            ),
        }
    }

    async fn send(&mut self, expected: Option<&TXT>) -> Verdict {
        let message = self.plan.message(expected);
        let id = message.metadata.id;
        let unsent = |error: &dyn std::fmt::Display| Verdict::Refused {
            code: None,
            text: format!("the update cannot be encoded: {error}"),
        };
        let bytes = match message.to_vec() {
            Ok(bytes) => bytes,
            Err(error) => return unsent(&error),
        };
        let seconds = wall_clock();
        let (bytes, mac) = match self.request.key.as_ref().map(|key| key.sign(bytes.clone(), id, seconds)) {
            None => (bytes, Vec::new()),
            Some(Ok(signed)) => signed,
            Some(Err(error)) => return unsent(&error),
        };
        self.connection.wait_until(self.deadline);
        match self.connection.ask(bytes).await {
            Ok(answer) => verdict(&answer, self.request.key.as_ref().map(|key| (key, &mac[..])), wall_clock()),
            // From here on the server may have it.
            Err(text) => Verdict::Unknown(text),
        }
    }

    /// After "done": what all servers answer now, the updated one over the same connection.
    async fn read_back(mut self) -> Outcome {
        let server = self.connection.server;
        let seen = match self.connection.addresses(&self.plan.name).await {
            Ok((addresses, _)) => self.seen(addresses),
            Err(text) => Seen::NoAnswer(text),
        };
        if let Seen::Other(addresses) = &seen {
            return self.contradicted(addresses).await;
        }
        let others = self.request.read_back.iter().filter(|other| **other != server).map(|other| async {
            let seen = match Connection::open(*other, self.deadline).await {
                Ok(mut connection) => match connection.addresses(&self.plan.name).await {
                    Ok((addresses, _)) => self.seen(addresses),
                    Err(text) => Seen::NoAnswer(text),
                },
                Err(text) => Seen::NoAnswer(text),
            };
            ReadBack { server: *other, seen }
        });
        let mut read_back = vec![ReadBack { server, seen }];
        read_back.extend(join_all(others).await);
        Outcome::Applied { read_back }
    }

    /// The server said done and answers something else: somebody newer came, or it did not do what it said.
    async fn contradicted(&mut self, addresses: &[IpAddr]) -> Outcome {
        match self.generation().await {
            Ok(Ok(Present::Claimed { generation, .. })) if generation.epoch > self.request.epoch => {
                Outcome::Fenced { newer: generation }
            }
            Ok(Ok(_)) => Outcome::Refused {
                code: Some(mnemonic(ResponseCode::NoError)),
                text: format!(
                    "the server accepted the update and answers {addresses:?} for {}: is there a CNAME, or does it filter updates?",
                    self.plan.name
                ),
            },
            Ok(Err(_)) | Err(_) => {
                Outcome::Unknown(format!("the server said done and answers {addresses:?} for {}", self.plan.name))
            }
        }
    }

    fn seen(&self, addresses: Vec<IpAddr>) -> Seen {
        if self.wanted(&addresses) { Seen::New } else { Seen::Other(addresses) }
    }

    fn wanted(&self, addresses: &[IpAddr]) -> bool {
        addresses.iter().copied().collect::<BTreeSet<_>>().iter().eq(&self.plan.addresses)
    }
}

/// TSIG signs seconds of wall-clock time.
fn wall_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
