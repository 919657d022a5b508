//! A plan that a person names by its digest, or by the digest's first digits.

use std::str::FromStr;

use sitewright_model::{
    code,
    diagnostic::Diagnostic,
    plan::{Plan, PlanDigest},
};

use super::site::SiteArgument;
use crate::{
    cli::{Context, Failure},
    plans,
};

/// Hexadecimal digits of a digest that are enough to name a plan.
const DIGITS: usize = 12;

/// The digits by which a person names a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedPlan(String);

impl FromStr for NamedPlan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
        if !(DIGITS..=64).contains(&hex.len()) || !hex.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Err(format!(
                "expected `sha256:` and {DIGITS} to 64 hexadecimal digits, as `sitewright plan` shows them"
            ));
        }
        Ok(Self(hex))
    }
}

impl NamedPlan {
    /// Returns the digest of `plan`; an error that tells what is different where another one was named.
    pub(super) fn of(
        &self,
        context: &Context,
        plan: &Plan,
        site: &SiteArgument,
    ) -> Result<PlanDigest, Failure> {
        let Self(hex) = self;
        if plan.digest.0.hex().starts_with(hex.as_str()) {
            return Ok(plan.digest);
        }
        let mut diagnostic = Diagnostic::error(
            code::apply::PLAN_CHANGED,
            format!("the plan is now {}, not sha256:{hex}", plan.digest.0),
        )
        .note("nothing was changed")
        .help(format!(
            "look at the new plan with `{}`, and approve that one",
            site.invocation().command("plan", "")
        ));
        if let Some(old) = context.cache_dir().ok().and_then(|cache| plans::recall(&cache, hex)) {
            for difference in plans::differences(&old, plan) {
                diagnostic = diagnostic.note(difference);
            }
        }
        plans::remember(&context.cache_dir()?, plan);
        Err(diagnostic.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_may_be_shortened_to_twelve_digits() {
        let named = |text: &str| text.parse::<NamedPlan>();
        assert_eq!(named("sha256:1F3C9E2A01BC").unwrap().0, "1f3c9e2a01bc");
        assert!(named("1f3c9e2a01b").is_err());
        assert!(named("sha256:xyzxyzxyzxyz").is_err());
    }
}
