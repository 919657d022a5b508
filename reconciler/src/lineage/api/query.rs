//! What a request asks, from the text of its query.

use std::collections::BTreeMap;

use sitewright_model::lineage::Grade;

use super::Problem;
use crate::lineage::Form;

/// The longest query, in bytes: two things of the longest kind.
const LONGEST: usize = 16 * 1024;

/// The longest value, in bytes: identities are shorter.
const LONGEST_VALUE: usize = 2_048;

/// The parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    /// Reads the query of a request, which may have the parameters `known`, each once.
    pub(super) fn read(text: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let text = text.unwrap_or_default();
        if text.len() > LONGEST {
            return Err(Problem::bad_question("the query is too long"));
        }
        let mut read = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if !known.contains(&name.as_ref()) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Problem::bad_question(format!(
                    "there is no such parameter here; there is {known}"
                )));
            }
            if value.is_empty() || value.len() > LONGEST_VALUE {
                return Err(Problem::bad_question(format!("`{name}` is empty or too long")));
            }
            let is_twice = read.insert(name.clone().into_owned(), value.into_owned()).is_some();
            if is_twice {
                return Err(Problem::bad_question(format!("`{name}` is there twice")));
            }
        }
        Ok(Self(read))
    }

    /// Returns a parameter that has to be there.
    pub(super) fn needed(&self, name: &str) -> Result<String, Problem> {
        let value = self.0.get(name).cloned();
        value.ok_or_else(|| Problem::bad_question(format!("`{name}` is missing")))
    }

    /// Returns a parameter that may be there.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    /// Returns the worst grade that is followed.
    pub(super) fn limit(&self) -> Result<Grade, Problem> {
        let Some(word) = self.0.get("atLeast") else { return Ok(Grade::Unknown) };
        word.parse().map_err(|_| {
            let words: Vec<String> = Grade::ALL.iter().map(ToString::to_string).collect();
            Problem::bad_question(format!("`atLeast` is one of {}", words.join(", ")))
        })
    }

    /// Returns the form of the answer.
    pub(super) fn form(&self) -> Result<Form, Problem> {
        let Some(word) = self.0.get("form") else { return Ok(Form::Json) };
        Form::of(word).ok_or_else(|| {
            let words = crate::output::lineage::api::FORMS.map(|(word, ..)| word);
            Problem::bad_question(format!("`form` is one of {}", words.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_forms_are() {
        let query = Query::read(Some("thing=a%2Fb+c&atLeast=observed"), &["thing", "atLeast"]);
        let query = query.unwrap();
        assert_eq!(query.needed("thing").unwrap(), "a/b c");
        assert_eq!(query.limit().unwrap(), Grade::Observed);
        assert_eq!(query.form().unwrap(), Form::Json);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let long = format!("thing={}", "x".repeat(LONGEST_VALUE + 1));
        let long_query = "x".repeat(LONGEST + 1);
        for wrong in ["thing=", "thing=a&thing=b", "others=1", &long, &long_query] {
            assert!(Query::read(Some(wrong), &["thing"]).is_err(), "{}", wrong.len());
        }
        let query = Query::read(Some("atLeast=best&form=pdf"), &["atLeast", "form"]).unwrap();
        assert!(query.limit().is_err() && query.form().is_err() && query.needed("thing").is_err());
    }
}
