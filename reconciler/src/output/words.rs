//! Words and numbers for people: counts, durations, and text that cannot harm a terminal.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
pub use sitewright_model::terminal::clean;
use sitewright_model::zone;

/// Returns `count` with thousands set apart, for example `12,345`.
pub fn number(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns `count` and the noun in the right number: `1 object`, `3 objects`.
pub fn count(count: usize, one: &str) -> String {
    match (count, one.strip_suffix('y')) {
        (1, _) => format!("1 {one}"),
        (_, Some(stem)) if !stem.ends_with(['a', 'e', 'o', 'u']) => {
            format!("{} {stem}ies", number(count))
        }
        _ => format!("{} {one}s", number(count)),
    }
}

/// Returns how many changes wait: `1 change is held`, `3 changes are held`.
pub fn held(changes: usize) -> String {
    let verb = if changes == 1 { "is" } else { "are" };
    format!("{} {verb} held", count(changes, "change"))
}

/// Returns a duration as people say it: `850 ms`, `12 s`, `3 min 05 s`, `2 h 10 min`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Returns a number of bytes as people say it: `512 B`, `12.3 MiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// Returns `text` cut to at most `room` characters; what was cut is marked by `mark`.
pub fn cut(text: &str, room: usize, mark: &str) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept = room.saturating_sub(mark.chars().count());
    let mut out: String = text.chars().take(kept).collect();
    out.push_str(mark);
    out
}

/// Returns `text` broken at white space into lines of at most `room` characters; words are not broken.
pub fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let length = line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && length > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Returns the items as a list of words: `a`, `a and b`, `a, b and c`.
pub fn list<T: AsRef<str>>(items: &[T]) -> String {
    match items {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [head @ .., last] => {
            let head: Vec<&str> = head.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", head.join(", "), last.as_ref())
        }
    }
}

/// Returns a time (RFC 3339) as people read it, to the minute: `2026-11-03 14:02 UTC`; other text as it is.
pub fn time(text: &str) -> String {
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => clean(text),
    }
}

/// Returns a time by the clock of a time zone, for example `Sat 2026-11-28 06:00 Europe/Zurich`; by UTC where the zone
/// is not known.
pub fn time_in(time: Timestamp, timezone: &str) -> String {
    match zone::get(timezone) {
        Some(zone) => {
            let shown = zone.to_datetime(time).strftime("%a %Y-%m-%d %H:%M").to_string();
            format!("{shown} {timezone}")
        }
        None => time.strftime("%a %Y-%m-%d %H:%M UTC").to_string(),
    }
}

/// Returns how long it is from `now` to a later time: `in 5 min`, `in 3 h 05 min`, `in 2 days 17 h`.
pub fn until(now: Timestamp, later: Timestamp) -> String {
    let minutes = later.duration_since(now).max(SignedDuration::ZERO).as_mins();
    match minutes {
        0 => "in less than a minute".to_owned(),
        1..60 => format!("in {minutes} min"),
        60..2880 => format!("in {} h {:02} min", minutes / 60, minutes % 60),
        _ => format!("in {} days {} h", minutes / 1440, minutes % 1440 / 60),
    }
}

/// Returns how long it is from `since` to now: `for 5 min`, `for 3 h 05 min`, `for 2 days 17 h`.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let minutes = now.duration_since(since).as_mins().max(0);
    match minutes {
        0 => "for less than a minute".to_owned(),
        1..60 => format!("for {minutes} min"),
        60..2880 => format!("for {} h {:02} min", minutes / 60, minutes % 60),
        _ => format!("for {} days {} h", minutes / 1440, minutes % 1440 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_as_sentences() {
        assert_eq!(count(1, "object"), "1 object");
        assert_eq!(count(12_345, "object"), "12,345 objects");
        assert_eq!(count(2, "policy"), "2 policies");
        assert_eq!(count(2, "day"), "2 days");
        assert_eq!((held(1), held(2)), ("1 change is held".into(), "2 changes are held".into()));
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(duration(Duration::from_millis(850)), "850 ms");
        assert_eq!(duration(Duration::from_secs(185)), "3 min 05 s");
        assert_eq!(duration(Duration::from_secs(7800)), "2 h 10 min");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(12_897_485), "12.3 MiB");
        assert_eq!(bytes(3 << 40), "3.0 TiB");
    }

    #[test]
    fn long_text_is_cut_with_a_mark_and_wrapped_at_words() {
        assert_eq!(cut("abcdef", 4, "…"), "abc…");
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
    }

    #[test]
    fn a_time_is_told_by_the_clock_of_its_zone_and_from_now() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let opens = time("2026-11-28T05:00:00Z");
        assert_eq!(time_in(opens, "Europe/Zurich"), "Sat 2026-11-28 06:00 Europe/Zurich");
        assert_eq!(time_in(opens, "Mars/Olympus"), "Sat 2026-11-28 05:00 UTC");
        for (now, told) in [
            ("2026-11-25T12:00:00Z", "in 2 days 17 h"),
            ("2026-11-28T01:55:00Z", "in 3 h 05 min"),
            ("2026-11-28T04:55:00Z", "in 5 min"),
            ("2026-11-28T04:59:30Z", "in less than a minute"),
        ] {
            assert_eq!(until(time(now), opens), told);
        }
    }

    #[test]
    fn times_are_read_to_the_minute() {
        assert_eq!(time("2026-11-03T14:02:59Z"), "2026-11-03 14:02 UTC");
        assert_eq!(time("soon"), "soon");
    }
}
