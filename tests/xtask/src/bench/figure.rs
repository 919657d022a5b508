//! One measured figure beside the one to reach.

use serde::Serialize;

/// One measured figure.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    /// What was measured.
    pub(super) what: String,
    /// The figure.
    pub(super) measured: f64,
    /// Its unit.
    pub(super) unit: &'static str,
    /// What the design wants.
    pub(super) reach: Option<Reach>,
}

/// What the design wants of a figure.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Reach {
    /// So much or less.
    AtMost(f64),
    /// So much or more.
    AtLeast(f64),
}

impl Figure {
    pub(super) fn new(what: impl Into<String>, measured: f64, unit: &'static str) -> Self {
        Self { what: what.into(), measured, unit, reach: None }
    }

    #[must_use]
    pub(super) fn reach(mut self, reach: Reach) -> Self {
        self.reach = Some(reach);
        self
    }

    fn verdict(&self) -> String {
        let (wanted, met) = match self.reach {
            None => return String::new(),
            Some(Reach::AtMost(most)) => {
                (format!("<= {most} {}", self.unit), self.measured <= most)
            }
            Some(Reach::AtLeast(least)) => {
                (format!(">= {least} {}", self.unit), self.measured >= least)
            }
        };
        format!("{wanted:<16} {}", if met { "reached" } else { "NOT reached" })
    }
}

/// Prints the table.
#[expect(clippy::print_stdout, reason = "the table is the result")]
pub(super) fn print(figures: &[Figure]) {
    println!("{:<58} {:>12} {:<9} reach", "what", "measured", "");
    for figure in figures {
        println!(
            "{:<58} {:>12.2} {:<9} {}",
            figure.what,
            figure.measured,
            figure.unit,
            figure.verdict()
        );
    }
}
