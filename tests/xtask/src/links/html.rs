//! Anchors and links of the HTML that mdBook writes: attributes in double quotes, `&amp;` the one entity in them.

use super::Page;

/// Returns the anchors and links of one page.
pub(super) fn page(html: &str) -> Page {
    let values = |name| attribute(html, name).map(|value| value.replace("&amp;", "&"));
    Page {
        anchors: values(" id=\"").collect(),
        links: values(" href=\"").chain(values(" src=\"")).map(|link| decode(&link)).collect(),
    }
}

fn attribute<'a>(html: &'a str, name: &'static str) -> impl Iterator<Item = &'a str> {
    html.split(name).skip(1).filter_map(|rest| rest.split('"').next())
}

/// Decodes `%20` and the like.
fn decode(link: &str) -> String {
    let mut parts = link.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(part.bytes().skip(2));
            }
            None => bytes.extend([b"%", part.as_bytes()].concat()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_anchors_and_links() {
        let html = r##"<h2 id="gates"><a class="header" href="#gates">Gates</a></h2>
            <img alt="" src="a%20b.svg"><a href="plan.html?x=1&amp;y=2">plan</a>"##;
        assert_eq!(page(html).anchors, ["gates"]);
        assert_eq!(page(html).links, ["#gates", "plan.html?x=1&y=2", "a b.svg"]);
    }
}
