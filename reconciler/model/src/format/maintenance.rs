//! Maintenance windows as a site writes them: when changes may hurt running work.

use std::{fmt, str::FromStr};

use jiff::civil::{Date, DateTime, Weekday};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::blueprint::Hazard;

/// A time in which changes may hurt running work, by the clock on the wall of its time zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [
    { "days": ["Sat"], "from": "06:00", "to": "10:00", "timezone": "Europe/Zurich" },
    { "from": "22:00", "to": "02:00", "timezone": "UTC" },
]))]
pub struct MaintenanceWindow {
    /// The days on which it opens; default every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true))]
    pub days: Vec<Day>,
    /// When it opens.
    #[schemars(
        with = "String",
        regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"),
        extend("patternErrorMessage" = "a time from `00:00` to `23:59`, both numbers with two digits")
    )]
    pub from: ClockTime,
    /// When it closes; a time before `from` is one of the next day.
    #[schemars(
        with = "String",
        regex(pattern = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"),
        extend("patternErrorMessage" = "a time from `00:00` to `24:00`, both numbers with two digits")
    )]
    pub to: ClockTime,
    /// The time zone, by its name in the IANA database.
    #[schemars(extend("examples" = ["Europe/Zurich", "UTC"]))]
    pub timezone: String,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl From<Day> for Weekday {
    fn from(day: Day) -> Self {
        match day {
            Day::Mon => Self::Monday,
            Day::Tue => Self::Tuesday,
            Day::Wed => Self::Wednesday,
            Day::Thu => Self::Thursday,
            Day::Fri => Self::Friday,
            Day::Sat => Self::Saturday,
            Day::Sun => Self::Sunday,
        }
    }
}

/// From which hazard on a change waits for a maintenance window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WindowFrom {
    /// Whatever hurts running work waits (default).
    #[default]
    RestartsPods,
    /// Restarted pods do not wait.
    EvictsJobs,
    /// Only rebooted nodes and destroyed data wait.
    RebootsNode,
    /// Nothing waits for a window.
    Never,
}

impl WindowFrom {
    /// Returns the least hazard that waits; none where nothing does.
    pub fn hazard(self) -> Option<Hazard> {
        match self {
            Self::RestartsPods => Some(Hazard::RestartsPods),
            Self::EvictsJobs => Some(Hazard::EvictsJobs),
            Self::RebootsNode => Some(Hazard::RebootsNode),
            Self::Never => None,
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A time of day to the minute, written `HH:MM`; `24:00` is the end of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClockTime {
    hour: i8,
    minute: i8,
}

/// The text is not a time of day.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a time: expected `HH:MM`, from `00:00` to `24:00`")]
pub struct NotAClockTime(String);

impl ClockTime {
    /// Returns the time on `date`; none beyond the last day that there is.
    pub fn on(self, date: Date) -> Option<DateTime> {
        match self.hour {
            24 => Some(date.tomorrow().ok()?.at(0, 0, 0, 0)),
            hour => Some(date.at(hour, self.minute, 0, 0)),
        }
    }
}

impl FromStr for ClockTime {
    type Err = NotAClockTime;

    fn from_str(text: &str) -> Result<Self, NotAClockTime> {
        let two_digits = |text: &str| {
            let fits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            fits.then(|| text.parse::<i8>().ok()).flatten()
        };
        let numbers = text.split_once(':');
        let numbers =
            numbers.and_then(|(hour, minute)| Some((two_digits(hour)?, two_digits(minute)?)));
        match numbers {
            Some((hour @ 0..24, minute @ 0..60)) | Some((hour @ 24, minute @ 0)) => {
                Ok(Self { hour, minute })
            }
            _ => Err(NotAClockTime(text.to_owned())),
        }
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

impl Serialize for ClockTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClockTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_of_a_window_is_shown_at_its_place() {
        let text = "apiVersion: sitewright.dev/v1alpha1\nkind: Site\nmetadata: { name: lab }\nspec:\n  components: []\n  policy:\n    maintenance:\n      \
                    - { days: [Saturday, Sun, Sun], from: \"6:00\", to: \"24:30\", timezone: Zurich }\n      \
                    - { days: Sat, from: \"06:00\", to: \"06:00\", timezone: Mars/Olympus }\n      \
                    - { from: 22:00, until: 02:00, timezone: UTC }\n    window: restarts\n";
        let mistakes = crate::format::site::parse("site.yaml", text).unwrap_err();
        insta::assert_snapshot!(crate::report::render(&mistakes, crate::report::Style::default()));
    }

    #[test]
    fn a_window_is_read_with_and_without_quotes() {
        let text = "apiVersion: sitewright.dev/v1alpha1\nkind: Site\nmetadata: { name: lab }\nspec:\n  components: []\n  policy: { maintenance: [{ from: 22:00, to: \"02:00\", timezone: UTC }] }\n";
        let site = crate::format::site::parse("site.yaml", text).unwrap().value;
        let [window] = site.spec.policy.maintenance.as_slice() else { panic!("{site:?}") };
        assert_eq!(format!("{} {}", window.from, window.to), "22:00 02:00");
        assert!(window.days.is_empty());
        assert_eq!(site.spec.policy.window, WindowFrom::RestartsPods);
    }

    #[test]
    fn times_are_written_with_two_digits_up_to_the_end_of_the_day() {
        for text in ["00:00", "06:05", "23:59", "24:00"] {
            assert_eq!(text.parse::<ClockTime>().unwrap().to_string(), text);
        }
        for text in ["6:00", "06:60", "24:01", "25:00", "0600", "06:00:00", "+1:00", ""] {
            assert!(text.parse::<ClockTime>().is_err(), "{text}");
        }
    }
}
