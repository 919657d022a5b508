//! A site with many objects.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Result;

/// The namespaces that the objects are spread over.
pub(super) const NAMESPACES: [&str; 5] = ["bench-a", "bench-b", "bench-c", "bench-d", "bench-e"];

/// Writes a site of `components` components that render to `objects` config maps all together.
pub(super) fn write(folder: &Path, components: usize, objects: usize) -> Result<()> {
    write_with(folder, components, objects, 0)
}

/// As [`write()`], with one object of the first component that has `mark` in it.
pub(super) fn write_with(
    folder: &Path,
    components: usize,
    objects: usize,
    mark: u32,
) -> Result<()> {
    let each = objects / components;
    let mut site = String::from(
        "apiVersion: sitewright.dev/v1alpha1\nkind: Site\nmetadata: { name: bench }\nspec:\n  components:\n",
    );
    for index in 0..components {
        let mark = if index == 0 { mark } else { 0 };
        writeln!(
            site,
            "    - name: part-{index}\n      blueprint: {{ name: many }}\n      values: {{ count: {each}, part: {index}, mark: {mark} }}"
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
            "properties": { "count": { "type": "integer" }, "part": { "type": "integer" },
                "mark": { "type": "integer" } } }"#,
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
         \u{20} config.ini: |\n    [server]\n    workers = 4\n    listen = 0.0.0.0:8080\n\
         {{% if index == 0 %}}\u{20} mark: {{{{ (values.mark ~ \"\") | tojson }}}}\n{{% endif %}}{{% endfor %}}\n"
    )
}
