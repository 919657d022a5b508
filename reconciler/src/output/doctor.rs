//! What `doctor` found, as text and JSON.

use schemars::JsonSchema;
use serde::Serialize;
use sitewright_model::diagnostic::{Diagnostic, Severity};

use super::{
    look::{self, Look, paint},
    words,
};

/// The name and version of the JSON form.
pub const FORMAT: &str = "sitewright.dev/doctor/v1";

/// Everything that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Doctor {
    /// Always [`FORMAT`].
    pub format: String,
    /// What was looked at, in the order it was.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was looked at.
    pub what: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// The number of the error, for example `SW0901`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Further facts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Well.
    Ok,
    /// It works, and should be looked at.
    Warn,
    /// It stands in the way.
    Fail,
}

impl Check {
    /// Makes a check that found all well.
    pub fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            verdict: Verdict::Ok,
            found: found.into(),
            code: None,
            notes: Vec::new(),
            fix: None,
        }
    }

    /// Makes a check that found something wrong.
    pub fn wrong(what: impl Into<String>, diagnostic: &Diagnostic) -> Self {
        let place = &diagnostic.place;
        let at = place.span.as_ref().map(|span| format!("at {span}"));
        let object = place.object.as_ref().map(|object| format!("of {object}"));
        let mut notes: Vec<String> = at.into_iter().chain(object).collect();
        notes.extend(diagnostic.notes.iter().cloned());
        Self {
            what: what.into(),
            verdict: match diagnostic.severity {
                Severity::Warning => Verdict::Warn,
                Severity::Error => Verdict::Fail,
            },
            found: diagnostic.message.clone(),
            code: Some(diagnostic.code.to_string()),
            notes,
            fix: diagnostic.help.clone(),
        }
    }
}

impl Doctor {
    /// Makes the result of checks.
    pub fn new(checks: Vec<Check>) -> Self {
        Self { format: FORMAT.to_owned(), checks }
    }

    /// Returns the worst verdict.
    pub fn verdict(&self) -> Verdict {
        self.checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Ok)
    }
}

/// Returns the findings as text.
pub fn text(doctor: &Doctor, look: &Look) -> String {
    let width = doctor.checks.iter().map(|check| check.what.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for check in &doctor.checks {
        let glyphs = look.glyphs;
        let (mark, style) = match check.verdict {
            Verdict::Ok => (glyphs.ok(), look::GOOD),
            Verdict::Warn => (glyphs.warn(), look::WARN),
            Verdict::Fail => (glyphs.fail(), look::FAIL),
        };
        let what = format!("{:<width$}", words::clean(&check.what));
        let mark = paint(style, format!("{mark:<2}"));
        out.push_str(&format!("{mark} {what}  {}", words::clean(&check.found)));
        if let Some(code) = &check.code {
            out.push_str(&format!("  {}", paint(look::DIM, code)));
        }
        out.push('\n');
        let fix = check.fix.iter().map(|fix| format!("to mend it: {fix}"));
        for text in check.notes.iter().cloned().chain(fix) {
            let room = look.prose_width().saturating_sub(width + 5).max(40);
            for line in words::wrap(&words::clean(&text), room) {
                out.push_str(&format!("{}{line}\n", " ".repeat(width + 5)));
            }
        }
    }
    out.push_str(&format!("\n{}\n", summary(doctor)));
    out
}

fn summary(doctor: &Doctor) -> String {
    let count =
        |verdict: Verdict| doctor.checks.iter().filter(|check| check.verdict == verdict).count();
    match (count(Verdict::Fail), count(Verdict::Warn)) {
        (0, 0) => paint(look::GOOD, "All is well."),
        (0, warnings) => format!("{} to look at.", words::count(warnings, "thing")),
        (failures, _) => {
            paint(look::FAIL, format!("{} in the way.", words::count(failures, "thing")))
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use anstream::adapter::strip_str;
    use sitewright_model::{
        code::{cluster, format, machine},
        diagnostic::FileSpan,
    };

    use super::*;

    pub(in crate::output) fn sample() -> Doctor {
        let helm = Diagnostic::warning(machine::PROGRAM_MISSING, "helm is not installed")
            .help("install helm 3.14 or newer, or set SITEWRIGHT_HELM; sites without charts do not need it");
        let span = FileSpan {
            file: "sites/lab/site.yaml".into(),
            text: "kind: Sit\n".into(),
            range: 6..9,
        };
        let site = Diagnostic::error(format::WRONG_KIND, "`kind` is not `Site`")
            .at(span, "expected `Site`")
            .help("write `Site`");
        let cluster =
            Diagnostic::error(cluster::UNREACHABLE, "https://10.0.0.1:6443 does not answer")
                .note("connection refused")
                .help("check the address in the kubeconfig");
        Doctor::new(vec![
            Check::ok("git", "2.47.1"),
            Check::wrong("helm", &helm),
            Check::wrong("site", &site),
            Check::wrong("cluster", &cluster),
        ])
    }

    #[test]
    fn findings_as_text() {
        insta::assert_snapshot!(strip_str(&text(&sample(), &Look::plain())).to_string());
    }
}
