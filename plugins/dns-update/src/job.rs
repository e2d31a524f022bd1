//! What is pointed where, without any Wasm in it.
//!
//! Whether the claim may be made at all (grant, epoch, lease) is the agent's decision, taken at the moment of the claim; asking
//! beforehand would only open a gap between the answer and the deed.

use std::net::IpAddr;
use tanist_plugin::{
    Error,
    dns::{DnsError, Outcome},
};

const DEFAULT_TTL: u32 = 5;
const MAX_TTL: u32 = 86_400;

/// What the operator configured.
#[derive(Debug, PartialEq)]
pub struct Settings {
    name: String,
    ttl: u32,
    address: Option<Vec<IpAddr>>,
}

impl Settings {
    /// Reads the keys `name`, `ttl` and `address`.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let name = get("name").filter(|name| !name.trim().is_empty());
        let name = name.ok_or_else(|| Error::Permanent("the configuration has no `name`".to_owned()))?;
        let ttl = match get("ttl") {
            None => DEFAULT_TTL,
            Some(text) => match text.trim().parse() {
                Ok(ttl) if (1..=MAX_TTL).contains(&ttl) => ttl,
                _ => {
                    return Err(Error::Permanent(format!("`ttl` is {text}; it must be a number of seconds from 1 to {MAX_TTL}")));
                }
            },
        };
        let address = get("address").map(|text| addresses("address", &text)).transpose()?;
        Ok(Self { name: name.trim().to_owned(), ttl, address })
    }
}

/// A server that was proved to accept writes.
#[derive(Debug)]
pub struct Proof {
    /// Its name.
    pub name: String,
    /// Where it listens, when it has told.
    pub host: Option<String>,
    /// The epoch of the proof.
    pub epoch: u64,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What the job needs of the world.
pub trait World {
    /// Points `name` at exactly these addresses, in the name of `epoch`.
    fn point(&mut self, name: &str, addresses: &[String], ttl: u32, epoch: u64) -> Result<Outcome, DnsError>;
    /// A line in the log.
    fn say(&mut self, line: &str);
}

/// Points the name at the proved server. Doing it again changes nothing.
pub fn point(settings: &Settings, proof: &Proof, world: &mut impl World) -> Result<(), Error> {
    let Settings { name, ttl, address } = settings;
    let target = match (address, &proof.host) {
        (Some(address), _) => address.clone(),
        (None, Some(host)) => addresses("the primary's address", host)?,
        (None, None) => return Err(Error::Transient(format!("{} has not told yet where it listens", proof.name))),
    };
    let target: Vec<String> = target.iter().map(ToString::to_string).collect();
    let (shown, epoch) = (target.join(", "), proof.epoch);
    if proof.dry_run {
        world.say(&format!("would point {name} at {shown} (epoch {epoch}, ttl {ttl})"));
        return Ok(());
    }
    match world.point(name, &target, *ttl, epoch)? {
        Outcome::Changed => world.say(&format!("{name} points at {shown} now (epoch {epoch}, ttl {ttl})")),
        Outcome::Unchanged => world.say(&format!("{name} points at {shown} already (epoch {epoch})")),
        Outcome::Other(word) => world.say(&format!("{name}, {shown}, epoch {epoch}: {word}")),
    }
    Ok(())
}

/// Addresses separated by commas, sorted, each once.
fn addresses(what: &str, text: &str) -> Result<Vec<IpAddr>, Error> {
    let parse = |part: &str| {
        let part = part.trim();
        part.parse().map_err(|_| {
            Error::Permanent(format!("{what} is {part}, which is no IP address; set `address` in the plugin's configuration"))
        })
    };
    let mut list = text.split(',').map(parse).collect::<Result<Vec<IpAddr>, _>>()?;
    list.sort_unstable();
    list.dedup();
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Fake {
        pointed: Vec<(String, Vec<String>, u32, u64)>,
        said: Vec<String>,
        refuse: Option<DnsError>,
    }

    impl World for Fake {
        fn point(&mut self, name: &str, addresses: &[String], ttl: u32, epoch: u64) -> Result<Outcome, DnsError> {
            if let Some(refusal) = self.refuse.take() {
                return Err(refusal);
            }
            let call = (name.to_owned(), addresses.to_vec(), ttl, epoch);
            let known = self.pointed.last() == Some(&call);
            self.pointed.push(call);
            Ok(if known { Outcome::Unchanged } else { Outcome::Changed })
        }

        fn say(&mut self, line: &str) {
            self.said.push(line.to_owned());
        }
    }

    fn settings(pairs: &[(&str, &str)]) -> Result<Settings, Error> {
        Settings::read(|key| pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned()))
    }

    fn proof(host: Option<&str>) -> Proof {
        Proof { name: "n1".to_owned(), host: host.map(str::to_owned), epoch: 9, dry_run: false }
    }

    #[test]
    fn points_at_the_proved_server_and_again_changes_nothing() {
        let (mut world, settings) = (Fake::default(), settings(&[("name", "db.example."), ("ttl", "7")]).unwrap());
        point(&settings, &proof(Some("10.0.0.1")), &mut world).unwrap();
        point(&settings, &proof(Some("10.0.0.1")), &mut world).unwrap();
        let call = ("db.example.".to_owned(), vec!["10.0.0.1".to_owned()], 7, 9);
        assert_eq!(world.pointed, [call.clone(), call]);
        assert!(world.said[0].contains("points at 10.0.0.1 now") && world.said[1].contains("already"), "{:?}", world.said);
    }

    #[test]
    fn an_override_replaces_the_server_s_own_address() {
        let mut world = Fake::default();
        let settings = settings(&[("name", "db.example"), ("address", "2001:db8::2, 192.0.2.1,192.0.2.1")]).unwrap();
        point(&settings, &proof(Some("10.0.0.1")), &mut world).unwrap();
        assert_eq!(world.pointed[0].1, ["192.0.2.1", "2001:db8::2"]);
        assert_eq!(world.pointed[0].2, DEFAULT_TTL);
    }

    #[test]
    fn refusals_tell_whether_to_try_again() {
        let settings = settings(&[("name", "db.example")]).unwrap();
        let attempt = |refusal| {
            let mut world = Fake { refuse: Some(refusal), ..Fake::default() };
            let result = point(&settings, &proof(Some("10.0.0.1")), &mut world);
            assert!(world.said.is_empty());
            result.unwrap_err()
        };
        assert_eq!(attempt(DnsError::Fenced(10)), Error::Fenced(10));
        assert!(matches!(attempt(DnsError::Unknown("lost".to_owned())), Error::Transient(_)));
        assert!(matches!(attempt(DnsError::NotGranted("line".to_owned())), Error::Permanent(text) if text.ends_with("line")));
    }

    #[test]
    fn a_dry_run_sends_nothing() {
        let (mut world, settings) = (Fake::default(), settings(&[("name", "db.example")]).unwrap());
        point(&settings, &Proof { dry_run: true, ..proof(Some("10.0.0.1")) }, &mut world).unwrap();
        assert!(world.pointed.is_empty());
        assert!(world.said[0].starts_with("would point"));
    }

    #[test]
    fn bad_settings_and_unknown_addresses_are_told() {
        assert!(matches!(settings(&[]), Err(Error::Permanent(text)) if text.contains("`name`")));
        assert!(matches!(settings(&[("name", "x"), ("ttl", "0")]), Err(Error::Permanent(text)) if text.contains("`ttl`")));
        assert!(matches!(settings(&[("name", "x"), ("address", "host")]), Err(Error::Permanent(_))));
        let settings = settings(&[("name", "x")]).unwrap();
        assert!(matches!(point(&settings, &proof(None), &mut Fake::default()), Err(Error::Transient(_))));
        assert!(matches!(point(&settings, &proof(Some("db.internal")), &mut Fake::default()), Err(Error::Permanent(_))));
    }
}
