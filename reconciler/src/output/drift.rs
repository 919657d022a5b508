//! Drift as text and Markdown: live fields that differ, who wrote them and when, whether they are mended.
//!
//! As JSON it is the [`DriftReport`] itself.

use sitewright_model::{
    object::Shown,
    plan::{Drift, DriftReport, DriftedField, DriftedObject, Mended},
};

use super::{
    field,
    look::{self, Look, paint},
    plan::{Invocation, gates_phrase},
    table::{Cell, Table},
    words,
};

/// One row of the table.
struct Row {
    field: String,
    desired: String,
    live: String,
    by: String,
    since: String,
}

fn rows(object: &DriftedObject, look: &Look) -> Vec<Row> {
    let whole = |desired: &str, live: &str| {
        vec![Row {
            field: "(the object)".to_owned(),
            desired: desired.to_owned(),
            live: live.to_owned(),
            by: "?".to_owned(),
            since: "?".to_owned(),
        }]
    };
    match &object.drift {
        Drift::Deleted => whole("present", "deleted"),
        Drift::Unknown => whole("?", "changed"),
        Drift::Changed { fields } if fields.is_empty() => whole("?", "an immutable field differs"),
        Drift::Changed { fields } => fields.iter().map(|field| row(field, look)).collect(),
    }
}

fn row(drifted: &DriftedField, look: &Look) -> Row {
    let (desired, live) = match (&drifted.desired, &drifted.live) {
        (Shown::Secret, Shown::Secret) => ("(secret)".into(), "(secret, changed)".into()),
        (desired, live) => (field::inline(desired, look), field::inline(live, look)),
    };
    let by = drifted.by.as_ref();
    let unknown = || "?".to_owned();
    Row {
        field: words::clean(&drifted.field),
        desired,
        live,
        by: by.map_or_else(unknown, |by| words::clean(&by.manager)),
        since: by.and_then(|by| by.time.as_deref()).map_or_else(unknown, words::time),
    }
}

fn mended(mended: &Mended) -> String {
    match mended {
        Mended::ByApply => "mended by the next apply".to_owned(),
        Mended::ReportOnly => "left: the policy is to report drift only".to_owned(),
        Mended::Held { gates } => format!("held: {}", gates_phrase(gates)),
    }
}

/// Returns the drift as text: a table for each object, and a summary.
pub fn text(report: &DriftReport, compared: usize, look: &Look, invocation: &Invocation) -> String {
    if report.objects.is_empty() {
        let compared = words::count(compared, "object");
        return format!("{} {compared} compared.\n", paint(look::GOOD, "No drift:"));
    }
    let mut out = String::new();
    for object in &report.objects {
        let id = paint(look::STRONG, words::clean(&object.id.to_string()));
        let more =
            paint(look::DIM, format!("in {} ({})", object.component, mended(&object.mended)));
        out.push_str(&format!("{id}  {more}\n"));
        let heads = ["FIELD", "DESIRED", "LIVE", "BY", "SINCE"];
        let mut table = Table::with_heads(look::DIM, &heads);
        for row in rows(object, look) {
            table.row([
                Cell::from(row.field),
                Cell::new(look::CREATE, row.desired),
                Cell::new(look::DELETE, row.live),
                Cell::from(row.by),
                Cell::from(row.since),
            ]);
        }
        out.push_str(&table.draw(2, look));
        out.push('\n');
    }
    out.push_str(&summary(report, compared));
    if report.objects.iter().any(|object| object.mended == Mended::ByApply) {
        let command = paint(look::CODE, invocation.command("apply", ""));
        out.push_str(&format!("To mend it: {command}\n"));
    }
    out
}

fn summary(report: &DriftReport, compared: usize) -> String {
    let stays = report.objects.iter().filter(|object| object.mended != Mended::ByApply).count();
    let mut text = format!(
        "Drift: {} of {} differ",
        words::number(report.objects.len()),
        words::count(compared, "object")
    );
    if stays > 0 {
        text.push_str(&format!("; an apply leaves {} as they are", words::number(stays)));
    }
    text.push_str(".\n");
    text
}

/// Returns the drift as Markdown: one table.
pub fn markdown(report: &DriftReport, compared: usize) -> String {
    let mut out = format!("### Drift of `{}`\n\n", report.site);
    if report.objects.is_empty() {
        out.push_str(&format!("No drift: {} compared.\n", words::count(compared, "object")));
        return out;
    }
    out.push_str("| object | field | desired | live | by | since | mended |\n");
    out.push_str("|---|---|---|---|---|---|---|\n");
    for object in &report.objects {
        let id = object.id.to_string();
        for row in rows(object, &Look::plain()) {
            let cells = [&id, &row.field, &row.desired, &row.live, &row.by];
            let cells: Vec<String> = cells.iter().map(|cell| super::plan::code(cell)).collect();
            let mended = mended(&object.mended);
            out.push_str(&format!("| {} | {} | {mended} |\n", cells.join(" | "), row.since));
        }
    }
    out.push_str(&format!("\n{}", summary(report, compared)));
    out
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use sitewright_model::plan;

    use super::*;
    use crate::output::plan::sample;

    #[test]
    fn drift_as_text() {
        let report = plan::drift(&sample::everything());
        let text = text(&report, 75, &Look::plain(), &Invocation::new("."));
        insta::assert_snapshot!(strip_str(&text).to_string());
    }

    #[test]
    fn drift_as_markdown() {
        insta::assert_snapshot!(markdown(&plan::drift(&sample::everything()), 75));
    }

    #[test]
    fn no_drift_is_one_line() {
        let report = plan::drift(&sample::quiet());
        let text = text(&report, 3, &Look::plain(), &Invocation::new("."));
        assert_eq!(strip_str(&text).to_string(), "No drift: 3 objects compared.\n");
    }
}
