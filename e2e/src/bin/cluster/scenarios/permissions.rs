//! The table of docs/permissions.md is what the API server allows: no more, no less.

use std::collections::BTreeSet;
use std::time::Duration;

use ambit_e2e::cluster::{Cluster, SYSTEM};
use anyhow::{Context as _, Result, ensure};

const DOCUMENT: &str = include_str!("../../../../../docs/permissions.md");
const ACCOUNTS: [&str; 3] = ["ambit-control-plane", "ambit-node-agent", "ambit-uninstall"];
/// A namespace that is none of ours; what is allowed there is allowed everywhere.
const ELSEWHERE: &str = "default";
const LIMIT: Duration = Duration::from_secs(60);
/// What the document calls everywhere.
const ALL: &str = "all";

/// Something that an account may do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    resource: String,
    names: String,
    verbs: BTreeSet<String>,
}

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let _uninstall = Uninstall::bring(cluster)?;
    let of_everybody = allowed(cluster, "system:serviceaccount:default:default", ELSEWHERE)?;
    let mut count = 0_usize;
    for account in ACCOUNTS {
        let user = format!("system:serviceaccount:{SYSTEM}:{account}");
        let elsewhere = &allowed(cluster, &user, ELSEWHERE)? - &of_everybody;
        let here = &(&allowed(cluster, &user, SYSTEM)? - &of_everybody) - &elsewhere;
        for (namespace, rights) in [(ALL, elsewhere), (SYSTEM, here)] {
            let written = written(account, namespace);
            let silent: Vec<_> = rights.difference(&written).collect();
            ensure!(
                silent.is_empty(),
                "{account} may, unwritten, in {namespace}: {silent:?}"
            );
            let missing: Vec<_> = written.difference(&rights).collect();
            ensure!(
                missing.is_empty(),
                "{account} may not, in {namespace}: {missing:?}"
            );
            count = count.saturating_add(rights.len());
        }
    }
    Ok(format!(
        "{count} rights of {} accounts, all written down",
        ACCOUNTS.len()
    ))
}

/// The account of an uninstall, which is there only while one runs, until this is dropped.
struct Uninstall<'a> {
    cluster: &'a Cluster,
    objects: String,
}

impl<'a> Uninstall<'a> {
    fn bring(cluster: &'a Cluster) -> Result<Self> {
        let rendered = cluster.release.rendered(Some("uninstall.yaml"))?;
        let documents = rendered.split("\n---\n");
        let account = documents.filter(|document| !document.contains("\nkind: Job\n"));
        let objects = account.collect::<Vec<_>>().join("\n---\n");
        let there = Self { cluster, objects };
        cluster.kubectl.apply_text(SYSTEM, &there.objects)?;
        Ok(there)
    }
}

impl Drop for Uninstall<'_> {
    fn drop(&mut self) {
        let kubectl = &self.cluster.kubectl;
        let delete = ["-n", SYSTEM, "delete", "--ignore-not-found", "-f", "-"];
        if let Err(error) = kubectl.tell(&delete, self.objects.as_bytes(), LIMIT) {
            eprintln!("the account of the uninstall is still there: {error:#}");
        }
    }
}

/// What the API server says that a user may do.
fn allowed(cluster: &Cluster, user: &str, namespace: &str) -> Result<BTreeSet<Right>> {
    let user = format!("--as={user}");
    let list = [
        "auth",
        "can-i",
        "--list",
        "--no-headers",
        &user,
        "-n",
        namespace,
    ];
    let said = cluster.kubectl.run(&list)?;
    // Lines without a resource are URLs such as /healthz.
    let lines = said.lines().filter(|line| !line.starts_with(' '));
    lines
        .map(|line| read(line).with_context(|| format!("reading {line:?}")))
        .collect()
}

/// Reads `RESOURCE [URLS] [NAMES] [VERBS]`.
fn read(line: &str) -> Option<Right> {
    let (resource, rest) = line.split_once('[')?;
    let mut lists = rest
        .split('[')
        .map(|list| list.split(']').next().unwrap_or_default());
    let (_urls, names, verbs) = (lists.next()?, lists.next()?, lists.next()?);
    Some(Right {
        resource: resource.trim().to_owned(),
        names: names.to_owned(),
        verbs: verbs.split_whitespace().map(str::to_owned).collect(),
    })
}

/// What the document says.
fn written(account: &str, namespace: &str) -> BTreeSet<Right> {
    let rows = DOCUMENT.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [of, place, resource, names, verbs, _] = cells.as_slice() else {
            return None;
        };
        (*of == account && *place == namespace).then(|| Right {
            resource: (*resource).to_owned(),
            names: (*names).to_owned(),
            verbs: verbs.split_whitespace().map(str::to_owned).collect(),
        })
    });
    rows.collect()
}
