//! Anchors and links of Markdown as we write it: `[text](target)`, `[name]: target`, no HTML.

use super::Page;

/// Returns the anchors (as GitHub and mdBook make them) and links of one page.
pub(super) fn page(markdown: &str) -> Page {
    let mut page = Page::default();
    let mut in_code = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if in_code {
            continue;
        } else if let Some(heading) = line.strip_prefix('#') {
            page.anchors.push(anchor(heading.trim_start_matches('#').trim()));
        }
        if !in_code {
            page.links.extend(links(&without_code(line)));
        }
    }
    page
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
}

/// Returns `line` without what stands between back-ticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

fn links(line: &str) -> Vec<String> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let definition = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .map(|(_, target)| target.trim());
    inline.chain(definition).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_headings_and_links_outside_code() {
        let text =
            "## `plan` in two steps\n[a](b.md#c) and `[not](one)`\n```\n# [x](y)\n```\n[n]: d.md\n";
        let page = page(text);
        assert_eq!(page.anchors, ["plan-in-two-steps"]);
        assert_eq!(page.links, ["b.md#c", "d.md"]);
    }
}
