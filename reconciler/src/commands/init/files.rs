//! The files of a new site repository.

use sitewright_model::name::SiteName;

use super::Ci;

include!(concat!(env!("OUT_DIR"), "/scaffold.rs"));

const SITE: &str = include_str!("site.yaml");
const README: &str = include_str!("readme.md");
const GITHUB: &str = include_str!("github.yml");
const GITLAB: &str = include_str!("gitlab.yml");
const GITIGNORE: &str = "# What a site never needs in git: credentials and copies of clusters.\nkubeconfig\n*.kubeconfig\n.cache/\n";

/// Returns every file with its path within the repository.
pub(super) fn all(name: &SiteName, ci: Ci) -> Vec<(String, String)> {
    let fill = |text: &str| text.replace("SITE_NAME", name.as_str());
    let mut files = vec![
        ("README.md".to_owned(), fill(README)),
        (".gitignore".to_owned(), GITIGNORE.to_owned()),
        (format!("sites/{name}/site.yaml"), fill(SITE)),
    ];
    files.extend(SCAFFOLD.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
    match ci {
        Ci::Github => files.push((".github/workflows/sitewright.yml".to_owned(), fill(GITHUB))),
        Ci::Gitlab => files.push((".gitlab-ci.yml".to_owned(), fill(GITLAB))),
        Ci::None => {}
    }
    files.sort_unstable();
    files
}
