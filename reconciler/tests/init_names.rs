//! Names of sites that YAML would take for something else than text.

use std::{fs, process::Command};

#[test]
fn a_site_may_be_called_what_yaml_takes_for_a_number_or_a_truth() {
    for name in ["2024", "1e3", "on", "null", "true", "0x1f", "lab"] {
        let desk = tempfile::tempdir().unwrap();
        let run = |arguments: &[&str]| {
            let output = Command::new(env!("CARGO_BIN_EXE_sitewright"))
                .args(arguments)
                .current_dir(desk.path())
                .env("HOME", desk.path())
                .output()
                .unwrap();
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        };
        run(&["init", name]);
        let site = format!("{name}/sites/{name}");
        let text = fs::read_to_string(desk.path().join(&site).join("site.yaml")).unwrap();
        assert!(text.contains(&format!("metadata: {{ name: \"{name}\" }}")), "{text}");
        run(&["validate", &site]);
    }
}
