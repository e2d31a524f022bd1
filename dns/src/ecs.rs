//! The client subnet option (RFC 7871), taken out of a request before anybody else reads it.
//!
//! The message reader of the DNS library accepts malformed options and refuses family 0, the form in which a client asks for privacy.
//! So the option is checked here, on the bytes; the caller echoes it with scope 0, since no answer of ours depends on it.

/// The client subnet option of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ecs {
    /// None there, or the message is not one: whoever parses the whole message says so.
    Absent,
    /// Its data, with the scope it must be answered with.
    Valid(Vec<u8>),
    /// Against RFC 7871: answered with FORMERR.
    Malformed,
}

const OPT: u16 = 41;
const CODE: u16 = 8;
/// An option code of the range for local use, which means nothing to the message reader.
const LOCAL: [u8; 2] = 65_001_u16.to_be_bytes();

/// Finds the option and renumbers it in place, so that the message reader takes it for an unknown one.
pub(crate) fn take(message: &mut [u8]) -> Ecs {
    let Some((begin, end)) = opt_data(message) else {
        return Ecs::Absent;
    };
    let mut found = Ecs::Absent;
    let mut at = begin;
    while let (Some(code), Some(length)) = (u16_at(message, at), u16_at(message, at + 2)) {
        let data = at + 4..at + 4 + usize::from(length);
        if data.end > end {
            break;
        }
        if code == CODE {
            found = if found == Ecs::Absent { check(&message[data.clone()]) } else { Ecs::Malformed };
            message[at..at + 2].copy_from_slice(&LOCAL);
        }
        at = data.end;
    }
    found
}

/// Family, source prefix, scope prefix 0, and exactly the bytes the source prefix needs, with no bit beyond it.
fn check(data: &[u8]) -> Ecs {
    let [0, family @ 0..=2, source, 0, address @ ..] = data else {
        return Ecs::Malformed;
    };
    let longest = [0, 32, 128][usize::from(*family)];
    let unused = u32::from((8 - source % 8) % 8);
    let tidy = address.last().is_none_or(|last| last.trailing_zeros() >= unused);
    if *source <= longest && address.len() == usize::from(source.div_ceil(8)) && tidy {
        Ecs::Valid(data.to_vec())
    } else {
        Ecs::Malformed
    }
}

/// Begin and end of the OPT record's data.
fn opt_data(message: &[u8]) -> Option<(usize, usize)> {
    let mut at = 12;
    for _ in 0..u16_at(message, 4)? {
        at = skip_name(message, at)? + 4;
    }
    let records = u32::from(u16_at(message, 6)?) + u32::from(u16_at(message, 8)?) + u32::from(u16_at(message, 10)?);
    for _ in 0..records {
        at = skip_name(message, at)?;
        let kind = u16_at(message, at)?;
        let begin = at + 10;
        let end = begin + usize::from(u16_at(message, at + 8)?);
        if end > message.len() {
            return None;
        }
        if kind == OPT {
            return Some((begin, end));
        }
        at = end;
    }
    None
}

fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            192.. => return Some(at + 2),
            64..=191 => return None,
        }
    }
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query for `a.` with an OPT record that carries the given options.
    fn query(options: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, b'a', 0, 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0];
        message.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
        message.extend(options);
        message
    }

    fn option(data: &[u8]) -> Vec<u8> {
        let mut option = vec![0, 8];
        option.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        option.extend(data);
        option
    }

    fn taken(data: &[u8]) -> Ecs {
        take(&mut query(&option(data)))
    }

    #[test]
    fn accepts_what_the_rfc_allows() {
        for data in [
            &[0, 1, 24, 0, 192, 0, 2][..],
            &[0, 1, 0, 0],
            &[0, 0, 0, 0],
            &[0, 2, 56, 0, 32, 1, 13, 184, 0, 0, 0],
            &[0, 1, 9, 0, 10, 128],
        ] {
            assert_eq!(taken(data), Ecs::Valid(data.to_vec()));
        }
    }

    #[test]
    fn refuses_what_it_forbids() {
        let cases: [&[u8]; 10] = [
            &[],
            &[0, 1, 255, 0, 192, 0, 2, 1],
            &[0, 1, 24],
            &[0, 1, 24, 24, 192, 0, 2],
            &[0, 1, 24, 0, 192, 0],
            &[0, 1, 24, 0, 192, 0, 2, 1],
            &[0, 1, 23, 0, 192, 0, 3],
            &[0, 1, 33, 0, 192, 0, 2, 1, 0],
            &[0, 3, 8, 0, 10],
            &[0, 0, 8, 0, 10],
        ];
        for data in cases {
            assert_eq!(taken(data), Ecs::Malformed, "{data:?}");
        }
        assert_eq!(take(&mut query(&[option(&[0, 1, 0, 0]), option(&[0, 1, 0, 0])].concat())), Ecs::Malformed, "twice");
    }

    #[test]
    fn renumbers_the_option_and_nothing_else() {
        let mut message = query(&[vec![0, 10, 0, 1, 7], option(&[0, 1, 0, 0])].concat());
        let before = message.clone();
        assert_eq!(take(&mut message), Ecs::Valid(vec![0, 1, 0, 0]));
        let changed: Vec<usize> = (0..before.len()).filter(|i| before[*i] != message[*i]).collect();
        assert_eq!(changed, [35, 36]);
    }

    #[test]
    fn survives_every_prefix_and_every_changed_byte() {
        let message = query(&option(&[0, 1, 24, 0, 192, 0, 2]));
        for length in 0..message.len() {
            take(&mut message[..length].to_vec());
        }
        for at in 0..message.len() {
            for value in [0, 1, 63, 64, 192, 255] {
                let mut changed = message.clone();
                changed[at] = value;
                take(&mut changed);
            }
        }
    }
}
