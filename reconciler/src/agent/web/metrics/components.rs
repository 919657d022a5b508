//! Which components have series of their own: a site of hundreds must not fill a Prometheus.

use std::collections::{BTreeMap, BTreeSet};

use sitewright_model::name::ComponentName;

use super::labels::ComponentOf;

/// Components of one site with series of their own; those beyond are counted together.
const MOST: usize = 64;

/// The label of all the others; no component can have that name.
const OTHERS: &str = "(others)";

/// The labels that there are, by site.
#[derive(Default)]
pub(super) struct Components(BTreeMap<String, BTreeSet<String>>);

impl Components {
    /// Returns the labels of a component, and remembers them.
    pub(super) fn label(&mut self, site: &str, component: &ComponentName) -> ComponentOf {
        let known = self.0.entry(site.to_owned()).or_default();
        let named = known.iter().filter(|name| *name != OTHERS).count();
        let is_named = known.contains(component.as_str()) || named < MOST;
        let name = if is_named { component.as_str() } else { OTHERS };
        known.insert(name.to_owned());
        ComponentOf { site: site.to_owned(), component: name.to_owned() }
    }

    /// Forgets components that the site no longer has; returns their labels. A count of the others that nobody is left
    /// for goes with them.
    pub(super) fn keep_to<'c>(
        &mut self,
        site: &str,
        components: impl Iterator<Item = &'c ComponentName>,
    ) -> Vec<ComponentOf> {
        let there: BTreeSet<&str> = components.map(ComponentName::as_str).collect();
        let Some(known) = self.0.get_mut(site) else { return Vec::new() };
        let has_others = there.len() > MOST;
        let is_gone = |name: &str| if name == OTHERS { !has_others } else { !there.contains(name) };
        let (gone, kept) = std::mem::take(known).into_iter().partition(|name| is_gone(name));
        *known = kept;
        labels(site, gone)
    }

    /// Forgets a site; returns its labels.
    pub(super) fn forget(&mut self, site: &str) -> Vec<ComponentOf> {
        labels(site, self.0.remove(site).unwrap_or_default())
    }
}

fn labels(site: &str, names: BTreeSet<String>) -> Vec<ComponentOf> {
    let label = |component| ComponentOf { site: site.to_owned(), component };
    names.into_iter().map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<ComponentName> {
        (0..count).map(|n| format!("c-{n}").parse().unwrap()).collect()
    }

    #[test]
    fn a_site_of_hundreds_has_a_bounded_number_of_series() {
        let mut components = Components::default();
        let all = names(300);
        let labels: BTreeSet<String> =
            all.iter().map(|name| components.label("lab/gpu", name).component).collect();
        assert_eq!(labels.len(), MOST + 1);
        assert!(labels.contains(OTHERS));
        assert_eq!(components.label("lab/gpu", &all[0]).component, "c-0");
        let gone = components.keep_to("lab/gpu", all[..MOST].iter());
        assert_eq!(gone.iter().map(|gone| gone.component.as_str()).collect::<Vec<_>>(), [OTHERS]);
        assert_eq!(components.forget("lab/gpu").len(), MOST);
    }

    #[test]
    fn a_component_that_left_makes_room() {
        let mut components = Components::default();
        let all = names(MOST + 1);
        for name in &all {
            components.label("lab/gpu", name);
        }
        components.keep_to("lab/gpu", all[1..].iter());
        assert_eq!(components.label("lab/gpu", &all[MOST]).component, format!("c-{MOST}"));
    }
}
