use super::*;

#[test]
fn versions_of_the_mesh_follow_that_of_the_program() {
    let mut versions = Versions {
        client: "0.1.0",
        control_planes: BTreeMap::new(),
        agents: BTreeMap::new(),
    };
    assert_eq!(text(&versions), "ambit 0.1.0\n");
    versions.control_planes.insert("0.1.0".to_owned(), 2);
    versions.agents.insert("unknown".to_owned(), 1);
    let table = "ambit 0.1.0\n               VERSION  PODS\ncontrol plane  0.1.0    2\nagent          unknown  1\n";
    assert_eq!(text(&versions), table);
}
