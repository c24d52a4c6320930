use ambit_identity::testing::{Authority, Leaf};
use ambit_kit::metrics::Registry;
use ambit_model::OutsideCredential;
use ambit_wire::delta::Catalog;

use super::super::*;
use crate::config::Settings;
use crate::config::credentials::SecretName;
use crate::config::directory::Scanner;
use crate::serve::tokens::Tokens;

const MESH: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {ambit.mesh/dataplane-mode: ambient}}
";

/// A keeper that has Secrets read, over a folder.
struct Rig {
    folder: tempfile::TempDir,
    scanner: Scanner,
    keeper: Keeper,
    _handle: Handle,
}

impl Rig {
    /// With a rule for each Secret.
    fn new(secrets: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(folder.path(), "cluster.local", None).unwrap();
        let files = ClaimFiles::open(folder.path()).unwrap();
        let settings = Settings {
            reads_credentials: true,
            ..Settings::default()
        };
        let (keeper, handle) = Keeper::new(
            Configuration::new(settings),
            files,
            Callers::Nodes(tokens),
            Metrics::new(&Registry::new()),
            Writers::default(),
        );
        let scanner = Scanner::new(folder.path(), None);
        let mut rig = Self {
            folder,
            scanner,
            keeper,
            _handle: handle,
        };
        rig.name(secrets);
        rig
    }

    /// Rules name these from now on.
    fn name(&mut self, secrets: &[&str]) {
        let rules = secrets.iter().map(|secret| {
            format!(
                "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
                 metadata: {{name: {secret}, namespace: shop}}\n\
                 spec: {{host: {secret}.example.com, trafficPolicy: \
                 {{tls: {{mode: SIMPLE, credentialName: {secret}}}}}}}\n"
            )
        });
        let text = format!("{MESH}{}", rules.collect::<String>());
        std::fs::write(self.folder.path().join("mesh.yaml"), text).unwrap();
        let batch = self.scanner.scan();
        self.keeper.take_batch(batch);
    }

    fn take(&mut self, name: &str, given: Option<OutsideCredential>) {
        let name = SecretName {
            namespace: "shop".into(),
            name: name.into(),
        };
        let given = Ok(given);
        self.keeper.take_secret(Read { name, given });
    }

    /// Those that waypoints are told of, and those that the last publication changed.
    fn told(&self) -> [String; 2] {
        let published = self.keeper.published.borrow();
        let published = published.as_ref().unwrap();
        let all = published.credentials.iter().map(|(name, _)| &**name);
        let mut all: Vec<&str> = all.collect();
        all.sort_unstable();
        let last = published.since(published.sequence - 1).unwrap().next();
        let changed = last.unwrap().credentials.iter().map(|name| &**name);
        [all.join(" "), changed.collect::<Vec<_>>().join(" ")]
    }
}

fn given() -> OutsideCredential {
    Authority::new("ours").papers(&Leaf::of_hosts(&["client.example.com"]))
}

#[tokio::test]
async fn the_secret_that_was_read_is_told_and_one_that_nobody_names_is_not_any_more() {
    let mut rig = Rig::new(&["a", "b"]);
    rig.take("a", Some(given()));
    assert_eq!(rig.told(), ["shop/a", "shop/a"]);
    rig.take("b", None);
    assert_eq!(rig.told(), ["shop/a shop/b", "shop/b"]);
    rig.name(&["b"]);
    assert_eq!(rig.told(), ["shop/b", "shop/a"]);
}

#[tokio::test]
async fn what_a_round_under_way_reads_is_dropped_if_nobody_names_it_any_more() {
    let mut rig = Rig::new(&["a", "b"]);
    rig.take("a", Some(given()));
    rig.name(&["b"]);
    rig.take("a", Some(given()));
    assert_eq!(rig.told(), ["", "shop/a"]);
    rig.take("b", Some(given()));
    assert_eq!(rig.told(), ["shop/b", "shop/b"]);
}

#[tokio::test]
async fn who_reads_hears_of_other_names_and_of_no_other_change() {
    let mut rig = Rig::new(&["a"]);
    let mut wanted = rig.keeper.reading().unwrap().wanted;
    assert_eq!(wanted.borrow_and_update().len(), 1);
    rig.keeper.want_secrets();
    assert!(!wanted.has_changed().unwrap());
    rig.name(&["a", "b"]);
    assert!(wanted.has_changed().unwrap());
    assert_eq!(wanted.borrow_and_update().len(), 2);
}
