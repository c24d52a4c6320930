//! `make conformance`: the official conformance suite of Gateway API, its parts for a mesh, against
//! a waypoint of ours; its report is written where the documentation has it.
//!
//! The suite judges traffic alone, and compares neither `Location` nor rewritten paths nor statuses:
//! those are asserted by scenarios of ours. A cluster without a mesh passes some of its tests too,
//! so that only all of them together say something.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use ambit_e2e::cluster::Cluster;
use anyhow::{Context as _, Result, bail, ensure};

/// The namespace that the suite makes, or takes if it is there.
const NAMESPACE: &str = "gateway-conformance-mesh";
/// The suite's tests share one report; each may wait half a minute for consistency.
const SUITE: Duration = Duration::from_secs(2400);
const READY: Duration = Duration::from_secs(120);

/// Everything that the suite asks of a mesh: its extended features, and those of the tests that
/// are in no profile.
const FEATURES: [&str; 17] = [
    "Mesh",
    "HTTPRoute",
    "GRPCRoute",
    "MeshClusterIPMatching",
    "MeshConsumerRoute",
    "MeshHTTPRouteBackendRequestHeaderModification",
    "MeshHTTPRouteNamedRouteRule",
    "MeshHTTPRouteQueryParamMatching",
    "MeshHTTPRouteRedirectPath",
    "MeshHTTPRouteRedirectPort",
    "MeshHTTPRouteRewritePath",
    "MeshHTTPRouteSchemeRedirect",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteParentRefPort",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
];
/// Tests that these make it run: 7 and 7 of MESH-HTTP, one more of MESH-GRPC, 7 of no profile.
const TESTS: usize = 22;

const WAYPOINT: &str = "\
apiVersion: v1
kind: Namespace
metadata:
  name: gateway-conformance-mesh
  labels: {ambit.mesh/dataplane-mode: ambient, ambit.mesh/use-waypoint: waypoint}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: gateway-conformance-mesh}
spec:
  gatewayClassName: ambit-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
";

/// Runs the suite, writes its report to `report`, and answers what passed.
pub(crate) fn run(cluster: &Cluster, report: &Path) -> Result<String> {
    cluster.install_gateway_api()?;
    cluster.kubectl.apply_text("", WAYPOINT)?;
    let judged = judge(cluster, report);
    let clear = ["delete", "namespace", NAMESPACE, "--ignore-not-found"];
    cluster.kubectl.run_within(READY, &clear)?;
    judged
}

fn judge(cluster: &Cluster, report: &Path) -> Result<String> {
    let programmed = ["-n", NAMESPACE, "wait", "gateway/waypoint"];
    let until = ["--for=condition=Programmed", "--timeout=100s"];
    cluster
        .kubectl
        .run_within(READY, &[&programmed[..], &until].concat())?;
    // The suite replaces the labels of its namespace by its own and these.
    let labels = "ambit.mesh/dataplane-mode=ambient,ambit.mesh/use-waypoint=waypoint";
    let written = cluster.dir().join("conformance.yaml");
    let flags = [
        "-gateway-class=".to_owned(),
        "-conformance-profiles=MESH-HTTP,MESH-GRPC".to_owned(),
        format!("-supported-features={}", FEATURES.join(",")),
        format!("-namespace-labels={labels}"),
        format!("-report-output={}", written.display()),
        "-organization=ambit".to_owned(),
        "-project=ambit".to_owned(),
        "-url=https://ambit.mesh".to_owned(),
        format!("-version=v{}", env!("CARGO_PKG_VERSION")),
        "-contact=https://ambit.mesh".to_owned(),
    ];
    let said = cluster.conformance(&flags, SUITE)?;
    let log = cluster.dir().join("conformance.log");
    fs::write(&log, format!("{}{}", said.out, said.err))
        .with_context(|| format!("writing {}", log.display()))?;
    let tests = results(&said.out);
    let failed: Vec<_> = tests
        .iter()
        .filter(|(_, passed)| !**passed)
        .map(|(name, _)| *name)
        .collect();
    let log = log.display();
    if !said.status.success() || !failed.is_empty() {
        bail!("failed: {}; the suite's words: {log}", failed.join(", "));
    }
    ensure!(
        tests.len() == TESTS,
        "{} tests ran, not {TESTS}; the suite's words: {log}",
        tests.len()
    );
    fs::copy(&written, report).with_context(|| format!("writing {}", report.display()))?;
    Ok(format!("{TESTS} tests passed: {}", report.display()))
}

/// The suite's tests that ran, and whether each has passed.
fn results(output: &str) -> BTreeMap<&str, bool> {
    let lines = output.lines().map(str::trim_start);
    let results = lines.filter_map(|line| {
        let (verdict, rest) = line.strip_prefix("--- ")?.split_once(": ")?;
        let (name, _seconds) = rest.strip_prefix("TestConformance/")?.split_once(' ')?;
        // Parts of a test say no more than the test.
        (verdict != "SKIP" && !name.contains('/')).then_some((name, verdict == "PASS"))
    });
    results.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_from_the_suites_output() {
        let output = "\
            --- FAIL: TestConformance (3.0s)\n\
            \x20   --- PASS: TestConformance/MeshBasic (1.00s)\n\
            \x20       --- PASS: TestConformance/MeshBasic/part (1.00s)\n\
            \x20   --- SKIP: TestConformance/Other (0.00s)\n\
            \x20   --- FAIL: TestConformance/MeshPorts (0.00s)\n";
        let wanted = BTreeMap::from([("MeshBasic", true), ("MeshPorts", false)]);
        assert_eq!(results(output), wanted);
    }
}
