//! entra-relay carries changes of an on-premises directory to Microsoft Entra ID.
//!
//! ```text
//! directory ─observe─▶ diff against ledger ─▶ outbox ─publish, confirmed─▶ queue
//!                              ▲                 │
//!                              └── ledger + cursor + outbox: one transaction
//!
//! queue ─receive─▶ verify ─▶ filter ─▶ coalesce ─▶ plan ─▶ Graph ─▶ settle: ack · dead-letter
//! ```
//!
//! The left half is the *watcher*, of which there is one per directory; the right half are the
//! *consumers*, stateless and any number. They share only [`event`] and the traits of [`queue`].
//!
//! | module | what it is for |
//! | --- | --- |
//! | [`event`] | the change event: kinds, identity, CloudEvents JSON |
//! | [`mapping`] | which property follows which attributes |
//! | [`config`] | `relay.yaml`: typed, validated, every error with its remedy |
//! | [`directory`] | LDAP: session, DirSync, doorbell, what the attributes mean |
//! | [`watcher`] | observe → diff → publish → commit, over the ledger and outbox |
//! | [`queue`] | publisher, subscriber, dead letters: RabbitMQ and embedded |
//! | [`consumer`] | filter → coalesce → plan → settle |
//! | [`signing`] | whose events they are: ed25519 keys and signatures |
//! | [`passwords`] | how a domain controller hands a new password to the watcher |
//! | [`sealing`] | passwords that only the consumers can open: HPKE |
//! | [`graph`] | Microsoft Graph: token, client, errors |
//! | [`reconcile`] | directory and Entra compared, whole |
//! | [`check`] | what is set up wrongly, all of it, and how to mend it |
//! | [`ops`] | metrics, health, status page, tracing, shutdown |
//! | [`net`] | what every connection shares: TLS trust, backoff |
//! | [`cli`] | one file per subcommand |
//! | `sandbox` | a directory and a Graph that run in-process (feature `sandbox`) |
//!
//! An arrow never points back: `consumer` does not know `directory`, `watcher` does not know
//! `graph`.

pub mod check;
pub mod cli;
pub mod config;
pub mod consumer;
pub mod directory;
pub mod event;
#[cfg(test)]
mod fuzz;
pub mod graph;
mod guarded_file;
mod key_file;
pub mod mapping;
pub mod net;
pub mod ops;
pub mod passwords;
pub mod queue;
#[cfg(test)]
mod random_runs;
pub mod reconcile;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod sealing;
pub mod signing;
mod text;
pub mod watcher;
