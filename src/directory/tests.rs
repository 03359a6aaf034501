//! Servers that are broken, mean harm, or have much to tell.

mod fuzz;
mod hostile;
#[cfg(feature = "sandbox")]
mod members;
