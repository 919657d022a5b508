//! Any text as a site.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sitewright_fuzz::check_report;
use sitewright_model::{format::site, yaml};

fuzz_target!(|text: &str| {
    match site::parse("site.yaml", text) {
        Ok(read) => {
            let value = serde_json::to_value(&read.value).expect("a site is JSON");
            let again = site::parse("site.yaml", &yaml::to_yaml(&value));
            let again = serde_json::to_value(again.expect("a site can be written").value);
            assert_eq!(again.expect("a site is JSON"), value);
        }
        Err(mistakes) => check_report(&mistakes),
    }
});
