//! Any text as the location of a folder; a password in it is never shown.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sitewright_source::fuzz::fuzz_location(data));
