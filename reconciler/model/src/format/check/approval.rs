//! What the schema of approvals cannot say.

use super::Part;
use crate::{code::format, diagnostic::Diagnostics, format::approval::Until};

pub(in crate::format) fn check(root: &Part<'_>, mistakes: &mut Diagnostics) {
    let until = root.get("spec").and_then(|spec| spec.get("until")).and_then(Part::into_text);
    // What looks like neither a date nor a time is the schema's to tell.
    if let Some((text, part)) = until.filter(|(text, _)| looks_like_a_date(text))
        && let Err(error) = text.parse::<Until>()
    {
        mistakes.push(
            part.error(format::WRONG_FORM, error.to_string(), "no such day or time")
                .help("write the last day, for example `2026-12-01`"),
        );
    }
}

fn looks_like_a_date(text: &str) -> bool {
    let day = text.get(..10).unwrap_or_default();
    let digit_or_dash = |(index, byte): (usize, u8)| match index {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    day.len() == 10 && day.bytes().enumerate().all(digit_or_dash)
}
