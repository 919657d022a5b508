//! Any bytes as what a git server says.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sitewright_source::fuzz::fuzz_git_answer(data));
