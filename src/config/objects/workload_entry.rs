//! Istio's `WorkloadEntry`, read strictly: a server that is no pod, for service entries to select.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::metadata::{Labels, Metadata};
use super::names::Name;
use super::service_entry::Endpoint;
use crate::config::problem::Finding;

/// A `WorkloadEntry`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadEntry {
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// The server.
    #[serde(default)]
    pub spec: Endpoint,
}

impl WorkloadEntry {
    /// What no single field shows to be wrong.
    pub fn check(&self) -> Result<(), Finding> {
        let address = &self.spec.address;
        if address.parse::<IpAddr>().is_ok() || Name::new(address).is_ok() {
            return Ok(());
        }
        let what = format!("`{address}` is neither an address nor a host name");
        Err(Finding::new(
            "spec.address",
            what,
            "write where the server is",
        ))
    }

    /// Labels by which it is selected: its own and those of the server, which go first.
    pub fn labels(&self) -> Labels {
        let mut labels = self.metadata.labels.clone();
        labels.extend(self.spec.labels.clone());
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spec: &str) -> Result<WorkloadEntry, String> {
        let text = format!(
            "metadata: {{name: w, namespace: shop, labels: {{app: a, v: '1'}}}}\nspec: {spec}\n"
        );
        let documents = crate::config::documents::parse_documents(text.as_bytes());
        let document = documents.unwrap().remove(0).unwrap();
        let object: WorkloadEntry = serde_json::from_value(document).map_err(|e| e.to_string())?;
        object.check().map_err(|finding| finding.field)?;
        Ok(object)
    }

    #[test]
    fn its_own_labels_and_the_servers_select_it() {
        let object =
            read("{address: 192.0.2.1, labels: {v: '2', tier: b}, ports: {web: 81}}").unwrap();
        let labels: Vec<_> = object.labels().into_iter().collect();
        let expected = [("app", "a"), ("tier", "b"), ("v", "2")];
        assert_eq!(
            labels,
            expected.map(|(name, value)| (name.into(), value.into()))
        );
    }

    #[test]
    fn a_field_that_is_misspelt_or_no_address_is_an_error() {
        assert!(read("{address: vm.example.com}").is_ok());
        assert!(read("{adress: 192.0.2.1}").unwrap_err().contains("adress"));
        for address in ["''", "unix:///socket", "a b"] {
            assert_eq!(
                read(&format!("{{address: {address}}}")).unwrap_err(),
                "spec.address"
            );
        }
    }
}
