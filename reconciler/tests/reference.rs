//! The book's page on the command line is the program's own help.
//!
//! `SITEWRIGHT_BLESS=1 cargo test -p sitewright --test reference` writes it anew.

use std::{env, fs, path::Path};

#[test]
fn the_page_in_the_book_is_the_help_of_the_program() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../book/src/cli.md");
    let page = sitewright::cli::reference::page();
    if env::var_os("SITEWRIGHT_BLESS").is_some() {
        fs::write(&path, page).unwrap();
        return;
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == page,
        "book/src/cli.md is not the help of the program; write it anew with\n    \
         SITEWRIGHT_BLESS=1 cargo test -p sitewright --test reference"
    );
}
