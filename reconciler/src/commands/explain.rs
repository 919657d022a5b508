use clap::Args;
use sitewright_model::{
    code::{self, Code, machine},
    diagnostic::Diagnostic,
};

use crate::{
    cli::{Context, Exit, Failure, page},
    output::look::{self, paint},
};

/// Show what an error means and the way out: its page of the book
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Explain {
    /// The number, for example SW0401 or 401
    #[arg(value_name = "CODE", required_unless_present = "list")]
    number: Option<String>,
    /// List all numbers
    #[arg(long, conflicts_with = "number")]
    list: bool,
}

const EXAMPLES: &str = "\
Examples:
  sitewright explain SW0401
  sitewright explain --list";

impl Explain {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let text = match self.number {
            Some(number) => explained(&number)?,
            None => list(),
        };
        context.print(&text)?;
        Ok(Exit::Success)
    }
}

fn explained(number: &str) -> Result<String, Diagnostic> {
    let code = find(number).ok_or_else(|| {
        Diagnostic::error(machine::UNKNOWN_NUMBER, format!("no error has the number `{number}`"))
            .help("`sitewright explain --list` lists them all")
    })?;
    let page = page(code).map_or_else(|| format!("# {code} {}\n", code.title), str::to_owned);
    Ok(drawn(&page))
}

/// Finds `SW0401`, `sw401`, `0401` and `401`.
fn find(number: &str) -> Option<Code> {
    let digits = number.trim().trim_start_matches(['S', 's']).trim_start_matches(['W', 'w']);
    let wanted: u16 = digits.parse().ok()?;
    code::all().into_iter().find(|code| code.number == wanted)
}

fn list() -> String {
    let line = |code: Code| format!("{}  {}\n", paint(look::STRONG, code), code.title);
    code::all().into_iter().map(line).collect()
}

/// Sets off headings and code of a page; Markdown is readable as it is otherwise.
fn drawn(page: &str) -> String {
    let mut in_code = false;
    let mut text = String::new();
    for line in page.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
            continue;
        }
        let drawn = if in_code {
            format!("    {}", paint(look::CODE, line))
        } else if line.starts_with('#') {
            paint(look::STRONG, line.trim_start_matches('#').trim_start())
        } else {
            line.to_owned()
        };
        text.push_str(drawn.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_as_people_write_them() {
        for number in ["SW0401", "sw0401", "0401", "401"] {
            assert_eq!(find(number).unwrap().number, 401);
        }
        assert_eq!(find("SW9998"), None);
    }
}
