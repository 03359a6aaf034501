//! The watcher as a whole, on a directory and a queue that fail as asked.

mod groups;
mod holding;
mod naming;
mod passwords;
mod random;
mod refreshing;
mod resyncing;
mod waking;
mod world;
