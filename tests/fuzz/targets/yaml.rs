//! Any text: read, located, written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sitewright_fuzz::{check_report, pointers};
use sitewright_model::yaml;

fuzz_target!(|bytes: &[u8]| {
    let text = match yaml::text_of("fuzz.yaml", bytes) {
        Ok(text) => text,
        Err(mistakes) => return check_report(&mistakes),
    };
    let fast = yaml::parse_values(text);
    match yaml::parse_documents("fuzz.yaml", text) {
        Ok(documents) => {
            let fast = fast.expect("what people may write, programs may write");
            assert_eq!(fast.len(), documents.len());
            for (document, fast) in documents.iter().zip(&fast) {
                assert_eq!(&document.value, fast);
                for pointer in pointers(&document.value) {
                    let span = document.span(&pointer).expect("every value has a place");
                    assert!(document.text().get(span).is_some(), "{pointer}");
                }
                let written = yaml::to_yaml(&document.value);
                let again = yaml::parse_values(&written).expect("what we write can be read");
                let again = again.into_iter().next().unwrap_or_default();
                assert_eq!(again, document.value, "{written}");
            }
        }
        Err(mistakes) => check_report(&mistakes),
    }
});
