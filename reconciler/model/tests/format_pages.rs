//! The examples on the pages SW01xx of the book are what is printed.
//!
//! A page gives the file in a block `yaml,site`, `yaml,blueprint` or `json,values`, and the report in
//! a block `text`. `SITEWRIGHT_BLESS=1 cargo test -p sitewright-model --test format_pages` writes the
//! reports anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the book has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "the book is files; the ban is for the model itself"
)]

use std::{env, fs, path::Path};

use sitewright_model::{
    code,
    diagnostic::Diagnostics,
    format::{blueprint, site},
    report,
    values::{self, ValuesSchema},
};

#[test]
fn every_example_of_a_format_error_is_what_is_printed() {
    let errors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../book/src/errors");
    for code in code::format::ALL {
        let path = errors.join(format!("{code}.md"));
        let page = fs::read_to_string(&path).unwrap();
        let Some(mistakes) = mistakes(&page) else { continue };
        assert!(
            mistakes.0.iter().any(|mistake| mistake.code == *code),
            "{code}: the example gives {mistakes}"
        );
        let expected = with_report(&page, &report::render(&mistakes, report::Style::default()));
        if env::var_os("SITEWRIGHT_BLESS").is_some() {
            fs::write(&path, &expected).unwrap();
        }
        let page = fs::read_to_string(&path).unwrap();
        assert_eq!(page, expected, "book/src/errors/{code}.md is not what is printed");
    }
}

/// Returns what the example on `page` gives; none where it has no file.
fn mistakes(page: &str) -> Option<Diagnostics> {
    let schema =
        block(page, "json,values").map(|text| ValuesSchema::parse("values.schema.json", text));
    let schema = match schema.transpose() {
        Ok(schema) => schema,
        Err(mistakes) => return Some(mistakes),
    };
    if let Some(text) = block(page, "yaml,blueprint") {
        return Some(blueprint::parse("blueprint.yaml", text).unwrap_err());
    }
    let site = site::parse("site.yaml", block(page, "yaml,site")?);
    let resolve = |site| -> Result<(), Diagnostics> {
        let site: sitewright_model::format::Located<site::Site> = site;
        let component = site.value.spec.components.first().unwrap();
        values::resolve(schema.as_ref(), &site, component).map(|_| ())
    };
    Some(site.and_then(resolve).unwrap_err())
}

/// Returns the text of the first block with this info string.
fn block<'a>(page: &'a str, info: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(&format!("\n```{info}\n"))?;
    rest.split_once("```\n").map(|(text, _)| text)
}

/// Returns `page` with `report` in its block `text`.
fn with_report(page: &str, report: &str) -> String {
    let (before, rest) = page.split_once("\n```text\n").unwrap();
    let (_, after) = rest.split_once("```\n").unwrap();
    format!("{before}\n```text\n{report}```\n{after}")
}
