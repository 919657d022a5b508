use jiff::{SignedDuration, Timestamp, civil::DateTime};
use proptest::prelude::*;

use super::*;
use crate::format::maintenance::Day;

fn window(days: &[Day], from: &str, to: &str, timezone: &str) -> MaintenanceWindow {
    MaintenanceWindow {
        days: days.to_vec(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        timezone: timezone.into(),
    }
}

fn one(days: &[Day], from: &str, to: &str, timezone: &str) -> Calendar {
    Calendar::new(&[window(days, from, to, timezone)])
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Returns when the calendar is next open after `now`, and until when.
fn next(calendar: &Calendar, now: &str) -> (String, String) {
    let opens = calendar.next_opening(time(now)).unwrap().at;
    (opens.to_string(), calendar.closes_at(opens).unwrap().to_string())
}

fn span(start: &str, end: &str) -> (String, String) {
    (start.to_owned(), end.to_owned())
}

#[test]
fn a_window_opens_on_its_days_by_the_clock_of_its_zone() {
    let calendar = one(&[Day::Sat], "06:00", "10:00", "Europe/Zurich");
    let winter = next(&calendar, "2026-11-25T12:00:00Z");
    assert_eq!(winter, span("2026-11-28T05:00:00Z", "2026-11-28T09:00:00Z"));
    let summer = next(&calendar, "2026-07-01T12:00:00Z");
    assert_eq!(summer, span("2026-07-04T04:00:00Z", "2026-07-04T08:00:00Z"));
    for (now, open) in [
        ("2026-11-28T04:59:59Z", false),
        ("2026-11-28T05:00:00Z", true),
        ("2026-11-28T08:59:59.999Z", true),
        ("2026-11-28T09:00:00Z", false),
        ("2026-11-29T06:00:00Z", false),
    ] {
        assert_eq!(calendar.is_open(time(now)), open, "{now}");
        assert_eq!(calendar.closes_at(time(now)).is_some(), open, "{now}");
    }
}

#[test]
fn a_window_across_midnight_belongs_to_the_day_on_which_it_opens() {
    let calendar = one(&[Day::Sat], "22:00", "02:00", "UTC");
    assert!(!calendar.is_open(time("2026-11-28T01:00:00Z")), "the night to Saturday");
    assert!(calendar.is_open(time("2026-11-29T01:00:00Z")), "the night to Sunday");
    let whole = one(&[Day::Sun], "00:00", "24:00", "UTC");
    let day = next(&whole, "2026-11-25T00:00:00Z");
    assert_eq!(day, span("2026-11-29T00:00:00Z", "2026-11-30T00:00:00Z"));
}

/// In Zurich the clock goes from 02:00 to 03:00 on 29 March 2026, at 01:00 UTC.
#[test]
fn where_the_clock_is_set_forward_a_window_begins_and_ends_at_the_change() {
    let next = |from, to| next(&one(&[], from, to, "Europe/Zurich"), "2026-03-28T12:00:00Z");
    assert_eq!(next("02:30", "04:00"), span("2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"));
    assert_eq!(next("01:00", "02:30"), span("2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"));
    assert_eq!(next("02:00", "03:30"), span("2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"));
    let skipped = next("02:15", "02:45");
    assert_eq!(skipped, span("2026-03-30T00:15:00Z", "2026-03-30T00:45:00Z"), "the day after");
}

/// In Zurich the clock goes from 03:00 back to 02:00 on 25 October 2026, at 01:00 UTC.
#[test]
fn where_the_clock_is_set_back_a_window_has_both_passes() {
    let next = |from, to| next(&one(&[], from, to, "Europe/Zurich"), "2026-10-24T12:00:00Z");
    assert_eq!(next("02:15", "02:45"), span("2026-10-25T00:15:00Z", "2026-10-25T01:45:00Z"));
    assert_eq!(next("01:00", "02:30"), span("2026-10-24T23:00:00Z", "2026-10-25T01:30:00Z"));
    assert_eq!(next("01:00", "02:00"), span("2026-10-24T23:00:00Z", "2026-10-25T00:00:00Z"));
    assert_eq!(next("03:00", "04:00"), span("2026-10-25T02:00:00Z", "2026-10-25T03:00:00Z"));
}

#[test]
fn windows_that_touch_close_together_and_those_that_cover_the_week_never() {
    let calendar = Calendar::new(&[
        window(&[Day::Sat], "20:00", "24:00", "UTC"),
        window(&[Day::Sun], "00:00", "04:00", "UTC"),
    ]);
    let night = next(&calendar, "2026-11-25T00:00:00Z");
    assert_eq!(night, span("2026-11-28T20:00:00Z", "2026-11-29T04:00:00Z"));
    let always = one(&[], "00:00", "24:00", "Europe/Zurich");
    assert!(always.is_open(time("2026-11-25T00:00:00Z")));
    assert_eq!(always.closes_at(time("2026-11-25T00:00:00Z")), None);
}

#[test]
fn of_several_windows_the_first_to_open_is_told() {
    let calendar = Calendar::new(&[
        window(&[Day::Sun], "06:00", "10:00", "UTC"),
        window(&[Day::Sat], "06:00", "10:00", "America/New_York"),
    ]);
    let opening = calendar.next_opening(time("2026-11-25T00:00:00Z")).unwrap();
    assert_eq!(opening.timezone, "America/New_York");
    assert_eq!(opening.at, time("2026-11-28T11:00:00Z"));
}

#[test]
fn a_zone_that_is_not_known_never_opens() {
    let calendar = one(&[], "00:00", "24:00", "Mars/Olympus");
    assert!(!calendar.is_open(time("2026-11-25T00:00:00Z")));
    assert_eq!(calendar.next_opening(time("2026-11-25T00:00:00Z")), None);
}

// === against a clock that is watched minute by minute ===

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// Minutes that are watched, and those of them in the middle about which the calendar is asked.
const WATCHED: usize = 6 * 24 * 60;
const ASKED: std::ops::Range<usize> = 2 * 24 * 60..4 * 24 * 60;

/// A zone, and an instant near which its clock is set.
const CHANGES: [(&str, &str); 12] = [
    ("Europe/Zurich", "2026-03-29T01:00:00Z"),
    ("Europe/Zurich", "2026-10-25T01:00:00Z"),
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    // by half an hour
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    // at midnight
    ("America/Havana", "2026-03-08T05:00:00Z"),
    ("America/Havana", "2026-11-01T05:00:00Z"),
    ("Africa/Cairo", "2026-04-23T22:00:00Z"),
    // a whole day was left out
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("Asia/Kathmandu", "2026-06-01T00:00:00Z"),
    ("UTC", "2026-06-01T00:00:00Z"),
];

/// What the clock on the wall shows, minute by minute.
fn watch(zone: &TimeZone, change: Timestamp) -> Vec<(Timestamp, DateTime)> {
    let half = i64::try_from(WATCHED / 2).unwrap();
    let start = change - SignedDuration::from_mins(half);
    let at = |minute: usize| start + MINUTE * i32::try_from(minute).unwrap();
    (0..WATCHED).map(|minute| (at(minute), zone.to_datetime(at(minute)))).collect()
}

/// Returns for each minute whether the window is open: from the first that shows a time within it to the last.
fn watched(window: &MaintenanceWindow, clock: &[(Timestamp, DateTime)]) -> Vec<bool> {
    let mut open = vec![false; clock.len()];
    let first = clock[0].1.date().yesterday().unwrap();
    for day in first.series(1.day()).take(WATCHED / (24 * 60) + 4) {
        let days: Vec<Weekday> = window.days.iter().map(|day| Weekday::from(*day)).collect();
        if !days.is_empty() && !days.contains(&day.weekday()) {
            continue;
        }
        let last = if window.to > window.from { day } else { day.tomorrow().unwrap() };
        let (from, to) = (window.from.on(day).unwrap(), window.to.on(last).unwrap());
        let shows = |(_, shown): &(Timestamp, DateTime)| from <= *shown && *shown < to;
        let minutes = clock.iter().position(shows).zip(clock.iter().rposition(shows));
        if let Some((first, last)) = minutes {
            open[first..=last].fill(true);
        }
    }
    open
}

fn windows() -> impl Strategy<Value = MaintenanceWindow> {
    let days = proptest::sample::subsequence(
        vec![Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun],
        0..7,
    );
    // Near midnight and in the small hours clocks are set.
    let minute = || prop_oneof![3 => 0..240_u32, 1 => 0..1440_u32, 1 => 1380..1440_u32];
    (days, minute(), minute()).prop_filter_map("no time", |(days, from, to)| {
        let text = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
        (from != to).then(|| window(&days, &text(from), &text(to), ""))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_calendar_says_what_a_watched_clock_shows(
        windows in prop::collection::vec(windows(), 1..4),
        place in 0..CHANGES.len(),
    ) {
        let (timezone, change) = CHANGES[place];
        let mut windows = windows;
        windows.iter_mut().for_each(|window| window.timezone = timezone.to_owned());
        let calendar = Calendar::new(&windows);
        let clock = watch(&zone::get(timezone).unwrap(), time(change));
        let each: Vec<Vec<bool>> = windows.iter().map(|window| watched(window, &clock)).collect();
        let open: Vec<bool> =
            (0..clock.len()).map(|minute| each.iter().any(|open| open[minute])).collect();
        // Where it turns, and now and then.
        let turns = |minute: &usize| (minute - 1..=minute + 1).any(|at| open[at] != open[*minute]);
        for minute in ASKED.filter(|minute| turns(minute) || minute % 61 == 0) {
            let now = clock[minute].0;
            prop_assert_eq!(calendar.is_open(now), open[minute], "{}", now);
            let turn = (minute..clock.len()).find(|later| open[*later] != open[minute]);
            let turn = turn.map(|minute| clock[minute].0);
            let said = match open[minute] {
                true => calendar.closes_at(now),
                false => calendar.next_opening(now).map(|opening| opening.at),
            };
            match (turn, said) {
                (Some(turn), said) => prop_assert_eq!(Some(turn), said, "{}", now),
                // It turns after what was watched, or never.
                (None, said) => prop_assert!(said.is_none_or(|said| said > clock[WATCHED - 1].0)),
            }
        }
    }
}
