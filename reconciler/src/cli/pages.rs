//! The pages of the book on errors, which the program carries along.

use sitewright_model::code::Code;

include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// Returns the page of an error.
pub(crate) fn page(code: Code) -> Option<&'static str> {
    let name = code.to_string();
    PAGES.iter().find(|(page, _)| *page == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use sitewright_model::code::machine;

    #[test]
    fn pages_are_carried_along() {
        assert!(super::page(machine::BUG).unwrap().starts_with("# SW0999"));
    }
}
