//! What a repository of many sites costs.

use crate::{repo::Repo, support::open};

#[test]
fn a_thousand_sites_are_told_apart_by_their_trees() {
    let repo = Repo::new();
    for number in 0..1000 {
        repo.write(&format!("sites/lab-{number}/site.yaml"), format!("name: lab-{number}\n"));
    }
    repo.commit("first");
    let ids = || {
        let snapshot = open(&repo.at("", "main")).unwrap();
        let id = |number| snapshot.tree_id(&format!("sites/lab-{number}")).unwrap().unwrap();
        (0..1000).map(id).collect::<Vec<_>>()
    };
    let before = ids();
    repo.write("sites/lab-7/site.yaml", "changed\n").commit("second");
    let after = ids();
    let moved: Vec<_> = (0..1000).filter(|&number| before[number] != after[number]).collect();
    assert_eq!(moved, [7]);
}
