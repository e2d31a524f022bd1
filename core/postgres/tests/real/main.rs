//! The driver against real PostgreSQL servers, started by the tests themselves in directories of their own.
//!
//! PostgreSQL refuses to run as root: started as root, each test runs itself again as the user `postgres`.

mod access;
mod as_postgres;
mod away;
mod clone_and_promote;
mod health;
mod live;
mod names;
mod node;
mod promise;
mod rewind;
mod single;
mod timelines;
mod torn;
mod walsenders;
