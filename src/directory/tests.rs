//! Servers that are broken, or mean harm.

mod fuzz;
mod hostile;
