//! Any bytes as the archive of a chart.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sitewright_source::fuzz::fuzz_archive(data));
