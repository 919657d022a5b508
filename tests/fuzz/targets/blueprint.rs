//! Any text as a blueprint.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sitewright_fuzz::check_report;
use sitewright_model::{format::blueprint, yaml};

fuzz_target!(|text: &str| {
    match blueprint::parse("blueprint.yaml", text) {
        Ok(read) => {
            let value = serde_json::to_value(&read.value).expect("a blueprint is JSON");
            blueprint::parse("blueprint.yaml", &yaml::to_yaml(&value))
                .expect("a blueprint can be written");
        }
        Err(mistakes) => check_report(&mistakes),
    }
});
