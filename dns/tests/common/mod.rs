//! What the tests of this crate share: faces, questions, and how an answer is written down.

#![allow(dead_code, reason = "every test binary uses its part")]

use hickory_proto::{
    op::{Edns, Message, Query},
    rr::{Name, Record, RecordType},
};
use std::{net::IpAddr, str::FromStr, time::Duration};
use tanist_dns::{ClusterFace, Host, NameServer, PrimaryFace, Snapshot, Transport, Zone, ZoneConfig, respond};
use tanist_engine::{Epoch, Moment, Revision};

pub fn at(seconds: f64) -> Moment {
    Moment::ZERO + Duration::from_secs_f64(seconds)
}

pub fn host(name: &str, addresses: &[&str]) -> Host {
    let published = addresses.first().copied().unwrap_or_default().into();
    Host { name: name.into(), published, addresses: addresses.iter().map(|a| IpAddr::from_str(a).unwrap()).collect() }
}

pub fn config() -> ZoneConfig {
    let addresses = host("", &["192.0.2.53", "2001:db8::53"]).addresses;
    let inside = NameServer { name: "ns1.db.example.org".into(), addresses };
    let outside = NameServer { name: "ns.example.net".into(), addresses: vec![] };
    ZoneConfig::new("db.example.org", vec![inside, outside])
}

pub fn zone() -> Zone {
    Zone::new(config()).unwrap()
}

pub fn proved(epoch: u64, name: &str, addresses: &[&str], until: Moment) -> PrimaryFace {
    PrimaryFace::Proved { host: host(name, addresses), epoch: Epoch(epoch), until }
}

/// Cluster `c1` with members a and b.
pub fn face(revision: u64, primary: PrimaryFace) -> ClusterFace {
    ClusterFace {
        scope: "c1".into(),
        revision: Revision(revision),
        primary,
        replicas: vec![host("b", &["192.0.2.2"])],
        members: vec![host("a", &["192.0.2.1", "2001:db8::1"]), host("b", &["192.0.2.2"])],
    }
}

pub fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.id = 4_711;
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

pub fn with_edns(mut message: Message, payload: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    message.set_edns(edns);
    message
}

pub fn bytes(snapshot: &Snapshot, now: Moment, message: &Message, transport: Transport) -> Vec<u8> {
    respond(snapshot, now, &message.to_vec().unwrap(), transport).expect("an answer")
}

pub fn reply(snapshot: &Snapshot, now: Moment, message: &Message) -> Message {
    Message::from_vec(&bytes(snapshot, now, message, Transport::Udp)).unwrap()
}

/// `NOERROR aa ede=14: <answers> / <authority> / <additional>`, each record as `owner ttl type data`.
pub fn ask(snapshot: &Snapshot, now: Moment, name: &str, kind: RecordType) -> String {
    let reply = reply(snapshot, now, &with_edns(question(name, kind), 1232));
    let reason = reply.edns.as_ref().and_then(|edns| edns.option(15.into())).map(|option| {
        let data: Vec<u8> = option.try_into().unwrap();
        format!(" ede={}", u16::from_be_bytes([data[0], data[1]]))
    });
    let lines = |records: &[Record]| {
        let line = |r: &Record| format!("{} {} {} {}", r.name, r.ttl, r.record_type(), r.data);
        records.iter().map(line).collect::<Vec<_>>().join(", ")
    };
    let sections = [&reply.answers, &reply.authorities, &reply.additionals].map(|records| lines(records));
    let flags = if reply.metadata.authoritative { " aa" } else { "" };
    let code = format!("{:?}", reply.metadata.response_code).to_uppercase();
    format!("{code}{flags}{}: {}", reason.unwrap_or_default(), sections.join(" / ")).trim_end_matches([' ', '/', ':']).into()
}
