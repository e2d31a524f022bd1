//! etcd as it is met in production: certificates, logins, full disks, members that die, hang and come back.

mod certificates;
mod faults;
mod holder;
mod login;
mod space;
#[path = "../support/mod.rs"]
mod support;
