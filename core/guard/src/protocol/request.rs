//! A command as the guard reads it: borrowed from the packet, nothing copied, nothing allocated.

use super::{JobKind, StopMode, VERSION, tag, wire::Reader};
use std::ffi::CStr;

/// A decoded [`super::Command`].
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // The fields are those of `Command`.
pub enum Request<'a> {
    Spawn { job: u64, kind: JobKind, program: ProgramRef<'a> },
    Arm { epoch: u64, deadline_boot: u64, deadline_raw: u64, ttl: u64 },
    Disarm,
    StartPostgres { job: u64, program: ProgramRef<'a>, primary_epoch: Option<u64> },
    Claimed { epoch: u64, timeline: u32 },
    Promote { job: u64, epoch: u64, timeline: u32 },
    Stop { job: u64, mode: StopMode },
    Fence,
    Sessions { count: u32 },
    KillJob { job: u64 },
}

/// A program in a packet.
#[derive(Clone, Copy, Debug)]
pub struct ProgramRef<'a> {
    /// Arguments, at least one.
    pub argv: Strings<'a>,
    /// `KEY=VALUE`, the complete environment.
    pub env: Strings<'a>,
    /// Working directory; empty: `/`.
    pub cwd: &'a CStr,
    /// Log file; empty: the guard's standard error.
    pub log: &'a CStr,
}

/// A list of strings in a packet, checked when it was decoded.
#[derive(Clone, Copy, Debug)]
pub struct Strings<'a> {
    count: u16,
    bytes: &'a [u8],
}

impl<'a> Strings<'a> {
    /// How many.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a CStr> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        (0..self.count).map_while(move |_| reader.string())
    }

    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let count = reader.u16()?;
        let before = reader.rest();
        for _ in 0..count {
            reader.string()?;
        }
        let bytes = before.get(..before.len() - reader.rest().len())?;
        Some(Self { count, bytes })
    }
}

impl<'a> ProgramRef<'a> {
    fn read(r: &mut Reader<'a>) -> Option<Self> {
        let (cwd, log) = (r.string()?, r.string()?);
        let (argv, env) = (Strings::read(r)?, Strings::read(r)?);
        (!argv.is_empty()).then_some(Self { argv, env, cwd, log })
    }
}

impl<'a> Request<'a> {
    /// Read one packet; `None`: not a command of this version.
    pub fn decode(packet: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(packet);
        if r.u16()? != VERSION {
            return None;
        }
        let request = match r.u16()? {
            tag::SPAWN => {
                let job = r.u64()?;
                let kind = match r.u8()? {
                    0 => JobKind::Writer,
                    1 => JobKind::Helper,
                    _ => return None,
                };
                Self::Spawn { job, kind, program: ProgramRef::read(&mut r)? }
            }
            tag::ARM => Self::Arm { epoch: r.u64()?, deadline_boot: r.u64()?, deadline_raw: r.u64()?, ttl: r.u64()? },
            tag::DISARM => Self::Disarm,
            tag::START => {
                let (job, primary_epoch) = (r.u64()?, r.option()?);
                Self::StartPostgres { job, primary_epoch, program: ProgramRef::read(&mut r)? }
            }
            tag::CLAIMED => Self::Claimed { epoch: r.u64()?, timeline: r.u32()? },
            tag::PROMOTE => Self::Promote { job: r.u64()?, epoch: r.u64()?, timeline: r.u32()? },
            tag::STOP => {
                let job = r.u64()?;
                let mode = match r.u8()? {
                    0 => StopMode::Fast,
                    1 => StopMode::Immediate,
                    _ => return None,
                };
                Self::Stop { job, mode }
            }
            tag::FENCE => Self::Fence,
            tag::SESSIONS => Self::Sessions { count: r.u32()? },
            tag::KILL_JOB => Self::KillJob { job: r.u64()? },
            _ => return None,
        };
        r.end()?;
        Some(request)
    }
}
