//! A directory and a Graph that run in-process, reached over the wire like the real ones.

pub mod directory;
pub mod graph;
