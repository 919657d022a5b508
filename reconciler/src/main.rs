//! The program `sitewright`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // One TLS provider for the whole process, chosen before anything can ask for one; a second
    // choice is refused, and there is none.
    let _ = rustls::crypto::ring::default_provider().install_default();
    sitewright::cli::main()
}
