//! How much a test does: little by default, more where the environment asks for it.

use std::env;
use std::str::FromStr;

/// The number in the environment variable `RELAY_{name}`, or `default`.
///
/// # Panics
/// When the variable holds no number.
pub fn scale<T: FromStr>(name: &str, default: T) -> T {
    let name = format!("RELAY_{name}");
    let Ok(text) = env::var(&name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}"))
}
