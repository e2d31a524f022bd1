//! From the bytes of a request to the bytes of a reply. Pure: no socket, no clock, no state.
//!
//! Only QUERY is served: UPDATE is refused, other opcodes are not implemented. A reply carries OPT exactly when the request
//! did; over UDP it never exceeds what the client announced, 512 bytes without EDNS, nor 1232 with it.

use crate::{
    answer::{Answer, answer},
    ecs::{self, Ecs},
    snapshot::Snapshot,
};
use hickory_proto::{
    ProtoError,
    op::{Edns, MessageType, Metadata, OpCode, Query, ResponseCode, emit_message_parts},
    rr::{
        DNSClass, Record,
        rdata::{
            TSIG,
            opt::EdnsOption,
            tsig::{TsigError, make_tsig_record},
        },
    },
    serialize::binary::BinEncoder,
};
use hickory_server::{net::xfer::Protocol, server::Request};
use std::net::{Ipv4Addr, SocketAddr};
use tanist_engine::Moment;

/// How the request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One datagram: the reply is bounded, and says when it was cut.
    Udp,
    /// A stream: up to 65535 bytes.
    Tcp,
}

/// The largest UDP reply: fits every path without fragments (DNS flag day 2020).
const PAYLOAD: u16 = 1232;
const HEADER: usize = 12;

/// Answers one message; `None`: it gets no answer at all (no header, or itself a reply).
pub fn respond(snapshot: &Snapshot, now: Moment, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let header: [u8; HEADER] = message.get(..HEADER)?.try_into().ok()?;
    if header[2] & 0x80 != 0 {
        return None;
    }
    match OpCode::from_u8(header[2] >> 3 & 0x0F) {
        OpCode::Query => {}
        OpCode::Update => return Some(bare(header, ResponseCode::Refused)),
        _ => return Some(bare(header, ResponseCode::NotImp)),
    }
    let mut message = message.to_vec();
    let subnet = ecs::take(&mut message);
    // The source is of no interest to the reader; the transport decides about sizes here, not there.
    let request = match Request::from_bytes(message, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), Protocol::Tcp) {
        Ok(request) => request,
        Err(_) => return Some(bare(header, ResponseCode::FormErr)),
    };
    let [question] = request.queries.queries() else {
        return Some(bare(header, ResponseCode::FormErr));
    };
    let question = question.original();
    let edns = request.edns.as_ref().map(|_| reply_edns(&subnet));
    let limit = match (transport, request.edns.as_ref()) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, None) => 512,
        (Transport::Udp, Some(edns)) => edns.max_payload().clamp(512, PAYLOAD),
    };
    let signature = request.signature.as_deref().map(unknown_key);
    let content = if signature.is_some() {
        Answer::error(ResponseCode::NotAuth)
    } else if request.edns.as_ref().is_some_and(|edns| edns.version() != 0) {
        Answer::error(ResponseCode::BADVERS)
    } else if subnet == Ecs::Malformed {
        Answer::error(ResponseCode::FormErr)
    } else {
        resolve(snapshot, question, now)
    };
    let reply = Reply { request: request.metadata, question, edns, signature, content };
    Some(reply.encode(limit).unwrap_or_else(|error| {
        tracing::error!(%error, "a DNS reply could not be encoded");
        bare(header, ResponseCode::ServFail)
    }))
}

fn resolve(snapshot: &Snapshot, question: &Query, now: Moment) -> Answer {
    if question.query_class() != DNSClass::IN {
        return Answer::error(ResponseCode::Refused);
    }
    match u16::from(question.query_type()) {
        // OPT is no type one can ask for.
        41 => Answer::error(ResponseCode::FormErr),
        // IXFR, AXFR.
        251 | 252 => Answer::error(ResponseCode::Refused),
        // The other types of questions and meta records, but for ANY.
        128..=254 => Answer::error(ResponseCode::NotImp),
        _ => answer(snapshot, question.name(), question.query_type(), now),
    }
}

fn reply_edns(subnet: &Ecs) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD);
    if let Ecs::Valid(data) = subnet {
        edns.options_mut().insert(EdnsOption::Unknown(8, data.clone()));
    }
    edns
}

/// RFC 8945 §5.2.1: we have no keys, so every key is unknown; the reply is unsigned and says so.
fn unknown_key(request: &Record<TSIG>) -> Record<TSIG> {
    let tsig = &request.data;
    let error = Some(TsigError::BadKey);
    make_tsig_record(
        request.name.clone(),
        TSIG::new(tsig.algorithm.clone(), tsig.time, tsig.fudge, vec![], tsig.oid, error, vec![]),
    )
}

/// A reply of nothing but a header, for requests whose question cannot be relied on.
fn bare([id_high, id_low, flags, ..]: [u8; HEADER], code: ResponseCode) -> Vec<u8> {
    // Opcode and RD as asked, QR set.
    vec![id_high, id_low, 0x80 | flags & 0x79, code.low(), 0, 0, 0, 0, 0, 0, 0, 0]
}

struct Reply<'a> {
    request: Metadata,
    question: &'a Query,
    edns: Option<Edns>,
    signature: Option<Record<TSIG>>,
    content: Answer,
}

impl Reply<'_> {
    /// Whole, else without the additional section (nobody needs it to go on), else without any record and with TC.
    fn encode(mut self, limit: u16) -> Result<Vec<u8>, ProtoError> {
        if let (Some(edns), Some(reason)) = (&mut self.edns, self.content.reason) {
            let data = [&reason.code.to_be_bytes()[..], reason.text.as_bytes()].concat();
            edns.options_mut().insert(EdnsOption::Unknown(15, data));
        }
        let whole = self.emit(false)?;
        if whole.len() <= usize::from(limit) {
            return Ok(whole);
        }
        self.content.additionals.clear();
        let needed = self.emit(false)?;
        if needed.len() <= usize::from(limit) {
            return Ok(needed);
        }
        self.content.answers.clear();
        self.content.authorities.clear();
        self.emit(true)
    }

    fn emit(&self, truncated: bool) -> Result<Vec<u8>, ProtoError> {
        let mut header = Metadata::new(self.request.id, MessageType::Response, OpCode::Query);
        header.recursion_desired = self.request.recursion_desired;
        header.authoritative = self.content.authoritative;
        header.truncation = truncated;
        header.response_code = self.content.code;
        let mut bytes = Vec::with_capacity(512);
        let mut encoder = BinEncoder::new(&mut bytes);
        emit_message_parts(
            &header,
            &mut std::iter::once(self.question),
            &mut self.content.answers.iter(),
            &mut self.content.authorities.iter(),
            &mut self.content.additionals.iter(),
            self.edns.as_ref(),
            self.signature.as_ref(),
            &mut encoder,
        )?;
        Ok(bytes)
    }
}
