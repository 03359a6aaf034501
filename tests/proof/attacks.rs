//! What an attacker tries: servers that are not what they seem, and names that are more than names.

mod names;
mod servers;
