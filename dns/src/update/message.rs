//! The one message of a move, and what its answer means.

use super::{TsigKey, exchange::mnemonic};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{
            A, AAAA, TXT,
            tsig::{TSIG, TsigError},
        },
    },
};
use std::net::IpAddr;

/// A checked move.
#[derive(Clone, Debug)]
pub(super) struct Move {
    pub(super) zone: Name,
    pub(super) name: Name,
    pub(super) owner: Name,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ttl: u32,
    pub(super) claim: String,
}

impl Move {
    /// *If the generation record is `expected`, replace addresses and generation record.*
    pub(super) fn message(&self, expected: Option<&TXT>) -> Message {
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Update;
        message.metadata.recursion_desired = false;
        message.add_query(Query::query(self.zone.clone(), RecordType::SOA));
        message.add_answer(match expected {
            Some(content) => Record::from_rdata(self.owner.clone(), 0, RData::TXT(content.clone())),
            None => empty(&self.owner, RecordType::TXT, DNSClass::NONE),
        });
        message.add_authority(empty(&self.name, RecordType::A, DNSClass::ANY));
        message.add_authority(empty(&self.name, RecordType::AAAA, DNSClass::ANY));
        for address in &self.addresses {
            let data = match address {
                IpAddr::V4(four) => RData::A(A(*four)),
                IpAddr::V6(six) => RData::AAAA(AAAA(*six)),
            };
            message.add_authority(Record::from_rdata(self.name.clone(), self.ttl, data));
        }
        message.add_authority(empty(&self.owner, RecordType::TXT, DNSClass::ANY));
        message.add_authority(Record::from_rdata(self.owner.clone(), self.ttl, RData::TXT(TXT::new(vec![self.claim.clone()]))));
        message
    }
}

/// A record without data, which RFC 2136 uses to speak of a whole set.
fn empty(name: &Name, kind: RecordType, class: DNSClass) -> Record {
    let mut record = Record::update0(name.clone(), 0, kind);
    record.dns_class = class;
    record
}

/// What the answer to a move means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The server has done all of it.
    Applied,
    /// The prerequisite does not hold: somebody was there between reading and writing. Nothing was done.
    Changed,
    /// Nothing was done.
    Refused { code: Option<String>, text: String },
    /// It may or may not have been done.
    Unknown(String),
}

/// Reads the answer. An unsigned "done" is not believed when a key is in use; an unsigned refusal is, because servers cannot sign what they
/// refuse for want of the key.
pub(super) fn verdict(answer: &[u8], key: Option<(&TsigKey, &[u8])>, seconds: u64) -> Verdict {
    let message = match Message::from_vec(answer) {
        Ok(message) if message.metadata.message_type == MessageType::Response && message.metadata.op_code == OpCode::Update => {
            message
        }
        Ok(_) => return Verdict::Unknown("the answer is not one to an update".into()),
        Err(error) => return Verdict::Unknown(format!("the answer cannot be read: {error}")),
    };
    let code = message.metadata.response_code;
    let mut unsigned = "";
    if let Some((key, mac)) = key {
        match message.signature() {
            Some(record) => {
                if let Some(text) = record.data.error.and_then(|error| complaint(key, error, &record.data)) {
                    return Verdict::Refused { code: Some(mnemonic(code)), text };
                }
                if let Err(error) = key.verify(answer, mac, seconds) {
                    return Verdict::Unknown(format!("the answer ({}) has a wrong signature: {error}", mnemonic(code)));
                }
            }
            None if code == ResponseCode::NoError => return Verdict::Unknown("the answer says done and is not signed".into()),
            None => unsigned = " (the answer is not signed)",
        }
    }
    match code {
        ResponseCode::NoError => Verdict::Applied,
        ResponseCode::NXRRSet | ResponseCode::YXRRSet => Verdict::Changed,
        // A server that failed in the middle does not say how far it got.
        ResponseCode::ServFail => Verdict::Unknown(format!("the server failed on the update: SERVFAIL{unsigned}")),
        _ => Verdict::Refused {
            code: Some(mnemonic(code)),
            text: format!("the server refused the update: {}{unsigned}", advice(code)),
        },
    }
}

/// What the TSIG record of a refusal says.
fn complaint(key: &TsigKey, error: TsigError, tsig: &TSIG) -> Option<String> {
    Some(match error {
        TsigError::BadKey => format!("the server does not know {key:?} with this algorithm (BADKEY)"),
        TsigError::BadSig => format!("the server has another secret for {key:?} (BADSIG)"),
        TsigError::BadTime => {
            let theirs = tsig.other.iter().fold(0_i128, |time, byte| time << 8 | i128::from(*byte));
            let skew = theirs - i128::from(tsig.time);
            format!("the server's clock is {skew} s ahead of this node's (BADTIME); at most {} s are tolerated", tsig.fudge)
        }
        TsigError::BadTrunc => "the server wants another length of signature (BADTRUNC)".into(),
        TsigError::Unknown(code) => format!("the server refused the signature with TSIG error {code}"),
    })
    .filter(|_| !matches!(error, TsigError::Unknown(0)))
}

fn advice(code: ResponseCode) -> String {
    let hint = match code {
        ResponseCode::Refused => "; its policy does not allow this key (or this address) to change the name",
        ResponseCode::NotAuth => "; it is not authoritative for the zone, or does not accept the key",
        ResponseCode::NotZone => "; the name is not in the zone",
        ResponseCode::NotImp => "; it does not support updates",
        _ => "",
    };
    format!("{}{hint}", mnemonic(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::Algorithm;
    use hickory_proto::rr::RecordData;

    fn plan() -> Move {
        let name = |text: &str| Name::from_ascii(text).unwrap();
        Move {
            zone: name("example.org."),
            name: name("db.example.org."),
            owner: name("_tanist.db.example.org."),
            addresses: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            ttl: 5,
            claim: "epoch=9 node=b".into(),
        }
    }

    /// Class, type, TTL and data of each record: what RFC 2136 gives a meaning to.
    fn lines(records: &[Record]) -> Vec<String> {
        let data = |r: &Record| if r.data.is_update() { String::from("-") } else { r.data.to_string() };
        records.iter().map(|r| format!("{} {} {} {} {}", r.name, r.ttl, r.dns_class, r.record_type(), data(r))).collect()
    }

    #[test]
    fn a_move_is_one_message_guarded_by_what_was_read() {
        let expected = TXT::new(vec!["epoch=7 node=a".into()]);
        let message = plan().message(Some(&expected));
        assert_eq!(lines(&message.answers), ["_tanist.db.example.org. 0 IN TXT epoch=7 node=a"]);
        let updates = [
            "db.example.org. 0 ANY A -",
            "db.example.org. 0 ANY AAAA -",
            "db.example.org. 5 IN A 192.0.2.1",
            "db.example.org. 5 IN AAAA 2001:db8::1",
            "_tanist.db.example.org. 0 ANY TXT -",
            "_tanist.db.example.org. 5 IN TXT epoch=9 node=b",
        ];
        assert_eq!(lines(&message.authorities), updates);
        assert_eq!(lines(&plan().message(None).answers), ["_tanist.db.example.org. 0 NONE TXT -"]);
    }

    fn reply(code: ResponseCode) -> Vec<u8> {
        Message::error_msg(7, OpCode::Update, code).to_vec().unwrap()
    }

    #[test]
    fn an_answer_is_believed_only_as_far_as_it_is_proved() {
        let key = TsigKey::new("k.example", Algorithm::HmacSha256, "c2VjcmV0").unwrap();
        let signed = Some((&key, &[0_u8; 32][..]));
        assert_eq!(verdict(&reply(ResponseCode::NoError), None, 0), Verdict::Applied);
        assert!(matches!(verdict(&reply(ResponseCode::NoError), signed, 0), Verdict::Unknown(_)));
        assert_eq!(verdict(&reply(ResponseCode::NXRRSet), None, 0), Verdict::Changed);
        assert_eq!(verdict(&reply(ResponseCode::YXRRSet), None, 0), Verdict::Changed);
        assert!(matches!(verdict(&reply(ResponseCode::ServFail), None, 0), Verdict::Unknown(_)));
        let refused = verdict(&reply(ResponseCode::NotAuth), signed, 0);
        assert!(
            matches!(&refused, Verdict::Refused { code, text } if code.as_deref() == Some("NOTAUTH") && text.contains("not signed")),
            "{refused:?}"
        );
        assert!(matches!(verdict(&[1, 2, 3], None, 0), Verdict::Unknown(_)));
        let query = Message::error_msg(7, OpCode::Query, ResponseCode::NoError).to_vec().unwrap();
        assert!(matches!(verdict(&query, None, 0), Verdict::Unknown(_)));
    }

    #[test]
    fn a_signature_that_does_not_fit_proves_nothing() {
        let key = TsigKey::new("k.example", Algorithm::HmacSha256, "c2VjcmV0").unwrap();
        let (forged, _) = key.sign(reply(ResponseCode::NoError), 7, 1_000).unwrap();
        assert!(matches!(verdict(&forged, Some((&key, &[1; 32])), 1_000), Verdict::Unknown(text) if text.contains("signature")));
    }

    #[test]
    fn names_the_clock_when_the_clock_is_wrong() {
        use hickory_proto::rr::rdata::tsig::{TsigAlgorithm, make_tsig_record};
        let key = TsigKey::new("k.example", Algorithm::HmacSha256, "c2VjcmV0").unwrap();
        let mut message = Message::error_msg(7, OpCode::Update, ResponseCode::NotAuth);
        let theirs = 2_000_u64.to_be_bytes()[2..].to_vec();
        let tsig = TSIG::new(TsigAlgorithm::HmacSha256, 1_000, 300, vec![], 7, Some(TsigError::BadTime), theirs);
        message.set_signature(Box::new(make_tsig_record(Name::from_ascii("k.example.").unwrap(), tsig)));
        let answer = verdict(&message.to_vec().unwrap(), Some((&key, &[0; 32])), 1_000);
        assert!(matches!(&answer, Verdict::Refused { text, .. } if text.contains("1000 s ahead")), "{answer:?}");
    }
}
