//! The command line of entra-relay; see [`entra_relay::cli`].

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    entra_relay::net::tls::install_provider();
    entra_relay::cli::main(entra_relay::cli::Arguments::parse())
}
