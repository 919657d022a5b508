//! Any bytes as the trees, links and files of a repository, read in every way there is.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sitewright_source::fuzz::fuzz_git_tree(data));
