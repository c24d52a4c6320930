use super::*;

#[test]
fn it_is_kubectls_plugin_under_that_name() {
    for (program, name) in [
        ("/usr/local/bin/kubectl-ambit", "kubectl ambit"),
        ("kubectl-ambit.exe", "kubectl ambit"),
        ("/usr/local/bin/ambit", "ambit"),
    ] {
        assert_eq!(called(Some(OsStr::new(program))), name);
    }
    assert_eq!(called(None), "ambit");
}
