use std::fs;

use super::*;

/// What vetting one file with this text prints, with the folder's name taken out.
fn vet(text: &str) -> (ExitCode, String) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("all.yaml"), text).expect("written");
    let args = Args {
        path: Some(folder.path().to_owned()),
        quiet: false,
        cluster: Cluster::default(),
        names: MeshNames::default(),
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(&args, &mut out, &mut err).expect("written to memory");
    assert!(err.is_empty());
    let prefix = format!("{}/", folder.path().display());
    (
        code,
        String::from_utf8(out).expect("text").replace(&prefix, ""),
    )
}

#[test]
fn a_good_folder_passes() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: n1}\n";
    assert_eq!(
        vet(text),
        (
            ExitCode::SUCCESS,
            "2 objects in 1 file: 0 errors, 0 warnings\n".to_owned()
        )
    );
}

#[test]
fn warnings_do_not_fail() {
    let text = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p}\nspec: {mtls: {mode: DISABLE}}\n";
    let (code, out) = vet(text);
    assert_eq!(code, ExitCode::SUCCESS);
    insta::assert_snapshot!(out);
}

#[test]
fn every_error_says_where_what_and_what_to_do() {
    let text = "\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {version: 1.0}}
---
a: [
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: shop}
spec: {action: DENY, rulez: [{}]}
---
apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
spec: {clusterIP: 10.96.0.1}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: shop}
spec: {clusterIP: 10.96.0.1}
";
    let (code, out) = vet(text);
    assert_eq!(code, ERRORS.into());
    insta::assert_snapshot!(out);
}

#[test]
fn a_missing_folder_is_a_usage_error() {
    let args = Args {
        path: Some("/nowhere".into()),
        quiet: false,
        cluster: Cluster::default(),
        names: MeshNames::default(),
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    assert_eq!(
        run(&args, &mut out, &mut err).expect("written"),
        USAGE.into()
    );
    assert!(String::from_utf8(err).expect("text").contains("/nowhere"));
}
