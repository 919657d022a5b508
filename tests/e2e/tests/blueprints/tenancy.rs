//! The blueprint `tenancy`: who is in a project works in it, and sees nothing of another, by the API
//! server's own word.

use sitewright_e2e::{Lab, control_plane};

const SITE: &str = "
apiVersion: sitewright.dev/v1alpha1
kind: Site
metadata: { name: tenants }
spec:
  components:
    - name: projects
      blueprint: { name: tenancy, version: 1.x }
      values:
        people: { ada: { user: ada@example.edu, uid: 10001 }, grace: {}, mallory: {} }
        projects:
          tenant-a: { managers: [ada], members: [grace], gid: 20001 }
          tenant-b: { members: [mallory], viewers: [grace] }
";

/// Whether the API server lets the person do it.
fn may(lab: &Lab, person: &str, verb: &str, what: &str, project: &str) -> bool {
    let name = format!("--as=oidc:{person}");
    let arguments = ["auth", "can-i", verb, what, "-n", project, &name];
    // It ends with 1 where the answer is no.
    lab.control_plane().kubectl(&arguments).is_ok_and(|answer| answer.trim() == "yes")
}

#[test]
fn a_person_works_in_the_projects_that_name_them_and_sees_no_other() {
    let lab = Lab::with_library(control_plane(), "tenants");
    lab.site(SITE);
    lab.apply();

    assert!(may(&lab, "ada@example.edu", "create", "jobs.batch", "tenant-a"));
    assert!(may(&lab, "ada@example.edu", "create", "rolebindings", "tenant-a"));
    assert!(may(&lab, "grace", "create", "jobs.batch", "tenant-a"));
    assert!(!may(&lab, "grace", "create", "rolebindings", "tenant-a"), "no manager");

    // In both, with other rights in each.
    assert!(may(&lab, "grace", "get", "pods", "tenant-b"));
    assert!(!may(&lab, "grace", "create", "jobs.batch", "tenant-b"), "looks only");
    assert!(!may(&lab, "grace", "get", "secrets", "tenant-b"), "looks only");

    for (person, other) in [("ada@example.edu", "tenant-b"), ("mallory", "tenant-a")] {
        for what in ["pods", "secrets", "configmaps", "persistentvolumeclaims", "pods/log"] {
            assert!(!may(&lab, person, "get", what, other), "{person} reads {what} of {other}");
        }
    }
    // The prefix keeps a person from being somebody else.
    let bare = ["auth", "can-i", "get", "pods", "-n", "tenant-a", "--as=grace"];
    assert!(lab.control_plane().kubectl(&bare).is_err());

    let people =
        lab.kubectl(&["get", "cm", "people", "-n", "tenant-a", "-o", "jsonpath={.data.passwd}"]);
    assert!(people.contains("ada:x:10001:10001:"), "{people}");
    assert_eq!(lab.run(&["plan"]).code, 0);
}
