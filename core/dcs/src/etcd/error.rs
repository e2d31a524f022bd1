//! What an error of the etcd library lets one conclude. In doubt: unknown.

use crate::StoreError;
use etcd_client::Error;

/// gRPC status codes (the numbers of the specification).
const INVALID_ARGUMENT: i32 = 3;
const NOT_FOUND: i32 = 5;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
const FAILED_PRECONDITION: i32 = 9;
const UNIMPLEMENTED: i32 = 12;
const UNAUTHENTICATED: i32 = 16;

/// What etcd says when it looked at a request and did not carry it out: out of space, too large.
const REFUSALS: [&str; 2] = ["etcdserver:", "grpc: received message larger"];

pub(super) fn classify(endpoint: &str, error: Error) -> StoreError {
    let text = format!("{endpoint}: {error}");
    match &error {
        Error::GRpcStatus(status) => {
            if never_connected(status) {
                return StoreError::Unavailable(text);
            }
            match status.code() as i32 {
                NOT_FOUND if status.message().contains("lease not found") => StoreError::ExpiryGone,
                INVALID_ARGUMENT | PERMISSION_DENIED | FAILED_PRECONDITION | UNIMPLEMENTED | UNAUTHENTICATED => {
                    StoreError::Refused(text)
                }
                // The library uses this code too, for an answer that is too large.
                RESOURCE_EXHAUSTED if REFUSALS.iter().any(|refusal| status.message().starts_with(refusal)) => {
                    StoreError::Refused(text)
                }
                _ => StoreError::Unknown(text),
            }
        }
        Error::LeaseKeepAliveError(why) if why == "lease not found" => StoreError::ExpiryGone,
        Error::InvalidArgs(_) | Error::InvalidUri(_) | Error::Utf8Error(_) | Error::InvalidMetadataValue(_) => {
            StoreError::Refused(text)
        }
        _ => StoreError::Unknown(text),
    }
}

/// The connection was refused or could not be made, so nothing was sent.
fn never_connected(status: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable};
    let mut cause = status.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && matches!(io.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable | AddrNotAvailable)
        {
            return true;
        }
        cause = error.source();
    }
    false
}
