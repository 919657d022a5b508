//! What may be shown of a text that cannot be read, and so has no places yet.
//!
//! A file with values of a component in it may hold secrets anywhere below them. Where the file can be
//! read, the index tells where that is ([`super::Document::hide`]). Where it cannot, this goes by lines:
//! what stands behind a private key, and on the lines that lie below it, is blotted out. In doubt more is.

/// Returns `text` with all that lies under a private key blotted out; lines and lengths stay.
pub(super) fn blot(text: &str, is_private: &dyn Fn(&str) -> bool) -> String {
    let mut blotted = String::with_capacity(text.len());
    let mut region: Option<Region> = None;
    for line in text.split_inclusive('\n') {
        region = region.filter(|region| region.holds(line));
        let shown = match &mut region {
            Some(region) => {
                region.read(line);
                0
            }
            None => match keys(line).find(|key| is_private(key.word)) {
                Some(key) => {
                    let is_comment = content(line).1.starts_with('#');
                    region = (!is_comment).then(|| Region::of(line, &key));
                    key.end
                }
                None => line.len(),
            },
        };
        let (shown, hidden) = line.split_at(shown);
        blotted.push_str(shown);
        blotted.push_str(&hide(hidden));
    }
    blotted
}

/// Returns as many asterisks as `text` has bytes; line ends stay.
pub(super) fn hide(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }).collect()
}

/// The lines below a private key.
struct Region {
    /// What lies below is further to the right.
    column: usize,
    /// A list in block form may stand in the column of its key.
    list: bool,
    /// Brackets that are open, as far as can be counted without reading.
    open: i64,
}

impl Region {
    fn of(line: &str, key: &Key<'_>) -> Self {
        let (column, _) = content(line);
        let before = line.get(..key.start).unwrap_or_default();
        let in_block = before.chars().all(|char| matches!(char, ' ' | '-'));
        let column = if in_block { key.start } else { column };
        let mut region = Self { column, list: in_block, open: 0 };
        region.read(line.get(key.end..).unwrap_or_default());
        region
    }

    fn read(&mut self, line: &str) {
        let count = |set: [char; 2]| line.matches(set).count() as i64;
        self.open = (self.open + count(['{', '[']) - count(['}', ']'])).max(0);
    }

    /// A line that is not further to the right ends the region only where it is a line of its own: a
    /// key or an item.
    fn holds(&self, line: &str) -> bool {
        let (column, content) = content(line);
        let is_item = content == "-" || content.starts_with("- ");
        let is_key = keys(content).next().is_some_and(|key| key.start <= 1);
        let is_own = is_item || is_key || content.starts_with(['#', '.']) || content == "---";
        self.open > 0
            || column > self.column
            || (self.list && column == self.column && is_item)
            || !is_own
    }
}

/// Returns the column of the first character of a line, and the line from there without its end.
fn content(line: &str) -> (usize, &str) {
    let content = line.trim_start_matches(' ');
    (line.len() - content.len(), content.trim_end())
}

/// A word that stands where a key may.
struct Key<'t> {
    word: &'t str,
    start: usize,
    /// The end of the colon.
    end: usize,
}

fn keys(line: &str) -> impl Iterator<Item = Key<'_>> {
    line.match_indices(':').filter_map(|(colon, _)| {
        let before = line.get(..colon)?.trim_end();
        let is_followed = line
            .get(colon + 1..)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        let quote = before.chars().last().filter(|last| matches!(last, '"' | '\''));
        let start = match quote {
            Some(quote) => before.get(..before.len() - 1)?.rfind(quote)? + 1,
            None if is_followed => {
                let ends = |char: char| {
                    char.is_whitespace() || matches!(char, '{' | '[' | ',' | '"' | '\'')
                };
                before.rfind(ends).map_or(0, |end| end + 1)
            }
            None => return None,
        };
        let word = before.get(start..)?.trim_end_matches(['"', '\'']);
        (!word.is_empty()).then_some(Key { word, start, end: colon + 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blotted(text: &str) -> String {
        let known = ["spec", "components", "name", "blueprint", "policy"];
        blot(text, &|key| !known.contains(&key))
    }

    #[test]
    fn what_lies_under_a_private_key_is_blotted_in_every_style() {
        for text in [
            "values:\n  password: canary\n",
            "- values:\n    password: canary\n  name: a\n",
            "values: { password: canary }\n",
            "- { name: a, values: { password: canary }, blueprint: { name: b } }\n",
            "- { name: a, values: { password: [\n canary ] } }\n",
            "- {name: a, \"values\": {password: \"x\ncanary\"}}\n",
            "values:\n- canary\n- name: canary\n",
            "values:\n\n  name: canary\n",
            "values:\n  password: |\n    x\n\n    name: canary\n",
            "vales:\n  name: canary\n",
            "- name: a\n  vales: canary\n",
            "- name: a\n  values: @canary\n  # password: canary\n",
        ] {
            let blotted = blotted(text);
            assert!(!blotted.contains("canary"), "{text}{blotted}");
            assert_eq!(blotted.len(), text.len());
        }
    }

    #[test]
    fn what_lies_beside_is_shown() {
        let text = "spec:\n  components:\n  - name: a\n    values: { x: 1 }\n    blueprint: b\n  - { name: b, values: { x: 1 } }\n  - { name: c }\n  - name: d\n    values:\n      y: 2\n  policy: e\n";
        let blotted = blotted(text);
        for shown in
            ["blueprint: b", "- { name: b, values:", "- { name: c }", "name: d", "policy: e"]
        {
            assert!(blotted.contains(shown), "{shown} in {blotted}");
        }
    }
}
