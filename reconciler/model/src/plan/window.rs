//! Maintenance windows: whether one is open, when the next one opens, when the open one closes.
//!
//! A window is a span of the clock on the wall of its time zone. Where daylight saving sets the clock forward, what
//! begins or ends within the hour that does not exist does so at the change: from 02:30 to 04:00 is then from 03:00
//! to 04:00, and from 02:15 to 02:45 is no time at all, so it does not open that day. Where the clock is set back,
//! the window has both passes of the hour, and all that is between them. The days of a window are those on which it
//! opens: from 22:00 to 02:00 on Saturday ends on Sunday.

use jiff::{
    SignedDuration, Timestamp, ToSpan,
    civil::{Date, DateTime, Weekday},
    tz::{AmbiguousOffset, TimeZone},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    format::maintenance::{ClockTime, MaintenanceWindow},
    zone,
};

/// Days that are looked at, from yesterday on: two weeks, since a window of one day a week may lie in an hour that
/// does not exist this week.
const DAYS: usize = 16;
/// What is open for longer than this does not close: windows come back every week.
const FOREVER: SignedDuration = SignedDuration::from_hours(8 * 24);

/// When a maintenance window opens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Opening {
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// The time zone of the window.
    pub timezone: String,
}

/// The maintenance windows of a site, with the rules of their time zones.
#[derive(Clone, Debug)]
pub struct Calendar {
    windows: Vec<Window>,
}

#[derive(Clone, Debug)]
struct Window {
    /// On which days it opens; empty: on every day.
    days: Vec<Weekday>,
    from: ClockTime,
    to: ClockTime,
    zone: TimeZone,
    name: String,
}

/// One time that a window is open; at its end it no longer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    start: Timestamp,
    end: Timestamp,
}

impl Open {
    fn has(&self, now: Timestamp) -> bool {
        self.start <= now && now < self.end
    }
}

// === impl Calendar ===

impl Calendar {
    /// Makes the calendar of `windows`; one whose time zone is not known never opens.
    pub fn new(windows: &[MaintenanceWindow]) -> Self {
        Self { windows: windows.iter().filter_map(Window::new).collect() }
    }

    /// Returns whether a window is open at `now`.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.around(now).any(|(open, _)| open.has(now))
    }

    /// Returns the first time after `now` at which a window opens; none where none does within two weeks.
    pub fn next_opening(&self, now: Timestamp) -> Option<Opening> {
        let later = self.around(now).filter(|(open, _)| open.start > now);
        let (open, window) = later.min_by(|(one, _), (other, _)| one.start.cmp(&other.start))?;
        Some(Opening { at: open.start, timezone: window.name.clone() })
    }

    /// Returns when the windows that are open at `now` close, with those that open before they do; none where none
    /// is open, or where one is open at any time.
    pub fn closes_at(&self, now: Timestamp) -> Option<Timestamp> {
        let all: Vec<Open> = self.around(now).map(|(open, _)| open).collect();
        let mut end = now;
        while let Some(further) = all.iter().filter(|open| open.has(end)).map(|open| open.end).max()
        {
            end = further;
        }
        (end > now && end.duration_since(now) <= FOREVER).then_some(end)
    }

    /// Returns the times around `now` and soon after it that windows are open.
    fn around(&self, now: Timestamp) -> impl Iterator<Item = (Open, &Window)> {
        let of = move |window| Window::around(window, now).map(move |open| (open, window));
        self.windows.iter().flat_map(of)
    }
}

// === impl Window ===

impl Window {
    fn new(window: &MaintenanceWindow) -> Option<Self> {
        let MaintenanceWindow { days, from, to, timezone } = window;
        Some(Self {
            days: days.iter().map(|day| Weekday::from(*day)).collect(),
            from: *from,
            to: *to,
            zone: zone::get(timezone)?,
            name: timezone.clone(),
        })
    }

    fn around(&self, now: Timestamp) -> impl Iterator<Item = Open> {
        let today = self.zone.to_datetime(now).date();
        let first = today.yesterday().unwrap_or(today);
        first.series(1.day()).take(DAYS).filter_map(|day| self.on(day))
    }

    /// Returns when it is open, where it opens on `day`.
    fn on(&self, day: Date) -> Option<Open> {
        if !self.days.is_empty() && !self.days.contains(&day.weekday()) {
            return None;
        }
        let last = if self.to > self.from { day } else { day.tomorrow().ok()? };
        let start = begins(&self.zone, self.from.on(day)?)?;
        let end = ends(&self.zone, self.to.on(last)?)?;
        (start < end).then_some(Open { start, end })
    }
}

/// Returns the first instant at which the clock shows `time` or, where it leaves that out, what comes after.
fn begins(zone: &TimeZone, time: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Gap { .. } => change(zone, time),
        _ => zone.to_ambiguous_timestamp(time).earlier().ok(),
    }
}

/// Returns the instant from which on the clock no longer shows what is before `time`.
fn ends(zone: &TimeZone, time: DateTime) -> Option<Timestamp> {
    let last = time.checked_sub(1.nanosecond()).ok()?;
    match zone.to_ambiguous_timestamp(last).offset() {
        AmbiguousOffset::Gap { .. } => change(zone, last),
        _ => zone.to_ambiguous_timestamp(last).later().ok()?.checked_add(1.nanosecond()).ok(),
    }
}

/// Returns the instant at which the clock is set forward, past `time`.
fn change(zone: &TimeZone, time: DateTime) -> Option<Timestamp> {
    let before = zone.to_ambiguous_timestamp(time).earlier().ok()?;
    zone.following(before).next().map(|change| change.timestamp())
}

#[cfg(test)]
mod tests;
