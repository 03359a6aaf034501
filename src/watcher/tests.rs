//! The watcher as a whole, on a directory and a queue that fail as asked.

mod bench;
mod groups;
mod holding;
mod naming;
mod passwords;
mod random;
mod refreshing;
mod resyncing;
mod traced;
mod waking;
mod world;
