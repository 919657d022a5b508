//! The names that someone most likely meant.

/// How many names a message offers at most.
const OFFERED: usize = 3;

/// How alike two names must be, 0 to 1, to be offered; below this, offers are noise.
const ALIKE: f64 = 0.75;

/// Returns how alike two names are: by their beginnings, or by how few keys were mistyped.
fn likeness(a: &str, b: &str) -> f64 {
    // One swapped pair in three letters scores 0.67 by keys; the bonus lets it pass.
    strsim::jaro_winkler(a, b).max(strsim::normalized_damerau_levenshtein(a, b) + 0.1)
}

/// Returns up to three of `candidates` that are most like `name`, the likeliest first.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Vec<&'a str> {
    let mut scored: Vec<(f64, &str)> = candidates
        .into_iter()
        .map(|candidate| (likeness(name, candidate), candidate))
        .filter(|(score, _)| *score >= ALIKE)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup();
    scored.into_iter().take(OFFERED).map(|(_, candidate)| candidate).collect()
}

/// Returns a sentence that offers `names`, or none if there are none.
pub(crate) fn did_you_mean(names: &[String]) -> Option<String> {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => None,
        Some((last, [])) => Some(format!("did you mean {last}?")),
        Some((last, rest)) => Some(format!("did you mean {} or {last}?", rest.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_name_and_noise_finds_nothing() {
        assert_eq!(nearest("lab-gup", ["lab-gpu", "tiny", "README.md"]), ["lab-gpu"]);
        assert_eq!(nearest("lba", ["lab", "other"]), ["lab"]);
        assert!(nearest("zzz", ["lab-gpu", "tiny"]).is_empty());
    }

    #[test]
    fn offers_read_as_a_sentence() {
        let names = |list: &[&str]| list.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        assert_eq!(did_you_mean(&names(&[])), None);
        assert_eq!(did_you_mean(&names(&["a"])).unwrap(), "did you mean `a`?");
        assert_eq!(did_you_mean(&names(&["a", "b"])).unwrap(), "did you mean `a` or `b`?");
    }
}
