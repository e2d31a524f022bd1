//! Addresses that a name must not lead to unless the operator names them: those of this machine, of its link, and of the clouds'
//! metadata services. A name is under the control of whoever runs its zone, and these would make the agent talk to itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether only a grant that names the address itself permits connecting to it.
pub fn is_reserved(address: IpAddr) -> bool {
    match embedded(address) {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => v6(address),
    }
}

/// The IPv4 address inside an IPv6 one that leads there: mapped, compatible, NAT64, 6to4.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let octets = six.octets();
    let [a, b, c, d] = match six.segments() {
        [0, 0, 0, 0, 0, 0xFFFF, ..] | [0x64, 0xFF9B, 0, 0, 0, 0, ..] => [octets[12], octets[13], octets[14], octets[15]],
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) > (0, 1) => [octets[12], octets[13], octets[14], octets[15]],
        [0x2002, ..] => [octets[2], octets[3], octets[4], octets[5]],
        _ => return address,
    };
    IpAddr::from([a, b, c, d])
}

fn v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || first == 0
        || first >= 240
        // Shared address space holds metadata services of some clouds (100.100.100.200).
        || (first, second, third) == (100, 100, 100)
        // Protocol assignments (192.0.0.192 is one, too).
        || (first, second, third) == (192, 0, 0)
}

fn v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || segments[0] & 0xFFC0 == 0xFE80
        // AWS's metadata service.
        || (segments[0], segments[1]) == (0xFD00, 0x0EC2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_to_the_machine_its_link_or_metadata_is_reserved_in_every_form() {
        for text in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "2002:7f00:1::",
        ] {
            assert!(is_reserved(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn ordinary_and_private_addresses_are_not() {
        for text in [
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "100.64.0.1",
            "192.0.2.1",
            "8.8.8.8",
            "2001:db8::1",
            "fd12::1",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(!is_reserved(text.parse().unwrap()), "{text}");
        }
    }
}
