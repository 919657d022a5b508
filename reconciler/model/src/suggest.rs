//! The nearest valid name, and lists of names in words.

/// Returns the candidate that `word` was most likely meant to be, if one is near enough.
///
/// Near: the same but for case, `-` and `_`; or a few slips away, swapped letters counted once; or
/// the one begins with the other.
pub fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let wanted = plain(word);
    if wanted.is_empty() {
        return None;
    }
    let same = candidates.clone().into_iter().find(|candidate| plain(candidate) == wanted);
    let slips = |candidate: &str| strsim::osa_distance(&wanted, &plain(candidate));
    let limit = wanted.chars().count().div_ceil(3);
    let near = || {
        let by_slips = candidates.clone().into_iter().map(|name| (slips(name), name));
        by_slips.filter(|(slips, _)| *slips <= limit).min().map(|(_, candidate)| candidate)
    };
    let begins = |candidate: &&str| {
        let candidate = plain(candidate);
        let shorter = candidate.len().min(wanted.len());
        shorter >= 3 && (candidate.starts_with(&wanted) || wanted.starts_with(&candidate))
    };
    same.or_else(near).or_else(|| candidates.clone().into_iter().find(begins))
}

/// Returns "`a`, `b` and `c`"; `join` is the last word between two.
pub fn in_words<T: std::fmt::Display>(names: impl IntoIterator<Item = T>, join: &str) -> String {
    let mut names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.pop() {
        None => "nothing".to_owned(),
        Some(last) if names.is_empty() => last,
        Some(last) => format!("{} {join} {last}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let keys = ["name", "blueprint", "dependsOn", "values", "upstream", "policy"];
        for (word, found) in [
            ("vlaues", "values"),
            ("value", "values"),
            ("depends_on", "dependsOn"),
            ("depends", "dependsOn"),
            ("DependsOn", "dependsOn"),
            ("bluprint", "blueprint"),
            ("polcy", "policy"),
        ] {
            assert_eq!(nearest(word, keys), Some(found), "{word}");
        }
        assert_eq!(nearest("replicas", keys), None);
        assert_eq!(nearest("", keys), None);
        assert_eq!(nearest("-", keys), None);
    }

    #[test]
    fn lists_read_as_words() {
        assert_eq!(in_words(["a"], "or"), "`a`");
        assert_eq!(in_words(["a", "b", "c"], "or"), "`a`, `b` or `c`");
        assert_eq!(in_words([""; 0], "or"), "nothing");
    }
}
