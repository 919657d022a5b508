use anstream::adapter::strip_str;

use super::{Invocation, Tally, json, markdown, sample, text};
use crate::output::{Detail, Glyphs, Look};

fn invocation() -> Invocation {
    Invocation::new("sites/lab-gpu")
}

fn plain(plan: &sitewright_model::plan::Plan, look: &Look) -> String {
    strip_str(&text(plan, look, &invocation())).to_string()
}

#[test]
fn everything_as_text() {
    insta::assert_snapshot!(plain(&sample::everything(), &Look::plain()));
}

#[test]
fn everything_on_a_narrow_ascii_terminal() {
    let look = Look { width: 80, glyphs: Glyphs::Ascii, detail: Detail::Folded };
    let text = plain(&sample::everything(), &look);
    assert!(text.is_ascii(), "not ASCII: {text}");
    insta::assert_snapshot!(text);
}

#[test]
fn everything_in_brief() {
    insta::assert_snapshot!(plain(
        &sample::everything(),
        &Look::plain().with_detail(Detail::Brief)
    ));
}

#[test]
fn everything_in_full() {
    insta::assert_snapshot!(plain(&sample::everything(), &Look::plain().with_detail(Detail::Full)));
}

#[test]
fn colours_of_a_first_plan() {
    insta::assert_snapshot!(
        text(&sample::first(), &Look::plain(), &invocation()).replace('\u{1b}', "^[")
    );
}

#[test]
fn an_approval_is_told_where_it_opens_something() {
    insta::assert_snapshot!("approved", plain(&sample::approved(), &Look::plain()));
    insta::assert_snapshot!("approved_markdown", markdown(&sample::approved(), &invocation()));
}

#[test]
fn running_work_is_named_and_what_waits_for_it_says_how_long() {
    insta::assert_snapshot!("drained", plain(&sample::drained(), &Look::plain()));
    insta::assert_snapshot!("drained_markdown", markdown(&sample::drained(), &invocation()));
}

#[test]
fn approvals_that_open_nothing_are_told_where_one_is_waited_for() {
    insta::assert_snapshot!("not_approved", plain(&sample::not_approved(), &Look::plain()));
    let quiet = sample::quiet().with_approvals(&[]);
    assert!(!plain(&quiet, &Look::plain()).contains("approv"));
}

#[test]
fn a_site_in_a_repository_is_not_approved_by_a_file_on_disk() {
    let digest = sample::first().digest;
    let command = |site: &str| Invocation::new(site).approve(&digest);
    assert_eq!(command("https://git.example.edu/lab.git//sites/lab@main"), None);
    assert!(command(".").unwrap().contains(&format!("{} --reason", digest.0)));
    assert!(command("sites/lab").unwrap().contains(" sites/lab --reason"));
}

#[test]
fn nothing_to_do_is_short() {
    insta::assert_snapshot!(plain(&sample::quiet(), &Look::plain()));
}

#[test]
fn everything_as_markdown() {
    insta::assert_snapshot!(markdown(&sample::everything(), &invocation()));
}

#[test]
fn nothing_to_do_as_markdown() {
    insta::assert_snapshot!(markdown(&sample::quiet(), &invocation()));
}

#[test]
fn a_huge_plan_fits_a_comment_and_says_what_is_cut() {
    let page = markdown(&sample::huge(), &invocation());
    assert!(page.len() < super::markdown::LIMIT, "{} bytes", page.len());
    assert!(page.len() > super::markdown::LIMIT / 2, "{} bytes: cut too soon", page.len());
    assert!(page.contains("Cut to fit: the details of"));
    assert!(page.contains("sha256:"), "the digest is never cut");
    assert!(page.contains("**3,600 to update, 1,200 held**"));
}

#[test]
fn a_comment_of_any_length_is_whole_and_ends_with_what_is_cut() {
    let plan = sample::everything();
    let whole = super::markdown(&plan, &invocation());
    for limit in (800..whole.len()).step_by(97) {
        let page = super::markdown_within(&plan, &invocation(), limit);
        assert!(page.len() <= limit, "{limit}: {}", page.len());
        let last = page.trim_end().lines().next_back().unwrap_or_default();
        assert!(page.contains("_Cut to fit"), "{limit}: {last}");
        let count = |text: &str| page.matches(text).count();
        assert_eq!(count("<details"), count("</details>"), "{page}");
        let fences = page.lines().filter(|line| line.starts_with("```")).count();
        assert!(fences.is_multiple_of(2), "{page}");
    }
    assert_eq!(super::markdown_within(&plan, &invocation(), whole.len() + 4_096), whole);
}

#[test]
fn json_is_the_plan_itself() {
    let plan = sample::everything();
    let read: sitewright_model::plan::Plan = serde_json::from_str(&json(&plan)).unwrap();
    assert_eq!(read, plan);
}

#[test]
fn counts_add_up() {
    let plan = sample::everything();
    let tally = Tally::of_plan(&plan);
    let all: usize = plan.components.iter().map(|component| component.changes.len()).sum();
    assert_eq!(tally.applicable() + tally.held + tally.unchanged + tally.record, all);
}
