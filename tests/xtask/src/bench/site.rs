//! A site with many objects.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Result;

/// The namespaces that the objects are spread over.
pub(super) const NAMESPACES: [&str; 5] = ["bench-a", "bench-b", "bench-c", "bench-d", "bench-e"];

/// Writes a site of `components` components that render to `objects` config maps all together.
pub(super) fn write(folder: &Path, components: usize, objects: usize) -> Result<()> {
    let each = objects / components;
    let mut site = String::from(
        "apiVersion: sitewright.dev/v1alpha1\nkind: Site\nmetadata: { name: bench }\nspec:\n  components:\n",
    );
    for index in 0..components {
        writeln!(
            site,
            "    - name: part-{index}\n      blueprint: {{ name: many }}\n      values: {{ count: {each}, part: {index} }}"
        )?;
    }
    let blueprint = folder.join("blueprints/many");
    fs::create_dir_all(blueprint.join("templates"))?;
    fs::write(folder.join("site.yaml"), site)?;
    fs::write(
        blueprint.join("blueprint.yaml"),
        "apiVersion: sitewright.dev/v1alpha1\nkind: Blueprint\nmetadata: { name: many, version: 1.0.0 }\n\
         spec:\n  summary: Many config maps.\n  values: values.schema.json\n  templates: [templates/]\n",
    )?;
    fs::write(
        blueprint.join("values.schema.json"),
        r#"{ "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "properties": { "count": { "type": "integer" }, "part": { "type": "integer" } } }"#,
    )?;
    fs::write(blueprint.join("templates/many.yaml.j2"), template())?;
    Ok(())
}

fn template() -> String {
    let namespaces = NAMESPACES.map(|name| format!("{name:?}")).join(", ");
    format!(
        "{{% set namespaces = [{namespaces}] %}}\n{{% for index in range(values.count) %}}\n---\napiVersion: v1\nkind: ConfigMap\n\
         metadata:\n  name: {{{{ \"settings-\" ~ values.part ~ \"-\" ~ index }}}}\n  namespace: {{{{ namespaces[index % 5] }}}}\n\
         data:\n  index: {{{{ (index ~ \"\") | tojson }}}}\n  color: blue\n  endpoint: https://service.example.org/v1/things\n\
         \u{20} config.ini: |\n    [server]\n    workers = 4\n    listen = 0.0.0.0:8080\n{{% endfor %}}\n"
    )
}
