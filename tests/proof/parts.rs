//! The parts that the other tests are built from behave as those tests assume.

mod dirsync;
mod rabbitmq;
mod relay;
mod samba;
