//! What the relay promises, proven on the servers that a user has: a Samba Active Directory domain
//! controller and RabbitMQ, on loopback and in temporary folders. `tests/run` installs them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod accounts;
mod attacks;
mod canary;
#[path = "../chaos/mod.rs"]
mod chaos;
mod check;
mod consumers;
mod controllers;
mod dead_letters;
mod deployment;
mod explained;
mod groups;
mod guard;
mod init;
mod kerberos;
mod lifecycle;
mod naming;
mod observe_mode;
mod observed;
mod other_directories;
mod outage;
mod parts;
mod passwords;
mod privacy;
mod proxy;
mod queue_contract;
mod queue_rabbitmq;
mod reaches_graph;
mod reconcile;
mod sandbox;
mod scope;
mod setup_errors;
mod signing;
mod status_page;
mod support;
mod topology;
mod traces;
