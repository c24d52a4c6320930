//! What is said of a `ServiceEntry` or a `WorkloadEntry` on itself, and which addresses stand for the
//! hosts of the former.

use std::collections::BTreeMap;

use super::Shown;
use super::istio::{TrafficStatus, message, reconciled, verdict};
use crate::config::objects::service_entry::ServiceEntry;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::problem::{Finding, Problem, Severity};
use crate::config::translate::{self, Binding, Bound, RecordedAddress, RouteCondition, WhyRefused};
use crate::config::waypoints::report::WAYPOINT_BOUND;
use crate::config::{CaptureRecord, Configuration};

/// Addresses that are to stand in the status of service entries.
pub(super) type Addresses = BTreeMap<ObjectKey, Vec<RecordedAddress>>;

impl Configuration {
    /// What is to stand in `status.addresses` of each; nothing where that is not recorded there.
    pub(super) fn addresses_to_record(&self) -> Addresses {
        match self.settings.captures {
            CaptureRecord::Annotations => {
                let recorded = translate::recorded_addresses(&self.inputs());
                recorded.into_iter().collect()
            }
            CaptureRecord::Reports => Addresses::new(),
        }
    }

    /// What is to be said of a service entry now.
    pub(super) fn said_of_entry(
        &self,
        key: &ObjectKey,
        shown: &Shown,
        unread: Option<&Problem>,
        addresses: &Addresses,
    ) -> TrafficStatus {
        let object = self.objects.service_entry(key);
        let mut said = TrafficStatus::of(shown, unread, object, |entry| {
            let findings = self.findings_of_entry(key);
            let services = self.inputs().service_entry(key).services;
            let names: Vec<&str> = services
                .iter()
                .map(|service| &*service.name.hostname)
                .collect();
            let place = match names.is_empty() {
                true => "No host of it counts.".to_owned(),
                false => format!("In force for {}.", names.join(", ")),
            };
            let is_in_force = !names.is_empty();
            let accepted = verdict(is_in_force, true, &findings);
            let mut conditions = reconciled(is_in_force, accepted, message(place, &findings));
            conditions.extend(self.bound(key, entry));
            (conditions, findings)
        });
        said.addresses = addresses.get(key).cloned();
        said
    }

    /// What is to be said of a workload entry now.
    pub(super) fn said_of_workload_entry(
        &self,
        key: &ObjectKey,
        shown: &Shown,
        unread: Option<&Problem>,
    ) -> TrafficStatus {
        let object = self.objects.workload_entry(key);
        TrafficStatus::of(shown, unread, object, |object| {
            let findings = self.findings_of_entry(key);
            let labels = object.labels();
            let entries = self.objects.entries_selecting(&key.namespace, &labels);
            let names: Vec<String> = entries.map(|(key, _)| key.to_string()).collect();
            let place = match names.is_empty() {
                true => "It serves nothing.".to_owned(),
                false => format!("Serves {}.", names.join(", ")),
            };
            let accepted = verdict(!names.is_empty(), !names.is_empty(), &findings);
            let conditions = reconciled(!names.is_empty(), accepted, message(place, &findings));
            (conditions, findings)
        })
    }

    /// What is wrong with service entries and workload entries.
    pub(in crate::config) fn entry_findings(&self) -> Vec<(ObjectKey, Severity, Finding)> {
        let kinds = [Kind::ServiceEntry, Kind::WorkloadEntry].into_iter();
        let keys = kinds.flat_map(|kind| self.objects.of_kind(kind));
        let findings = keys.flat_map(|(key, object)| {
            let found = translate::findings_of(&self.inputs(), object).into_iter();
            found.map(|(severity, finding)| (key.clone(), severity, finding))
        });
        findings.collect()
    }

    /// Also that somebody else has one of its hosts.
    fn findings_of_entry(&self, key: &ObjectKey) -> Vec<(Severity, Finding)> {
        let object = self.objects.get(key).map(AsRef::as_ref);
        let mut findings =
            object.map_or_else(Vec::new, |o| translate::findings_of(&self.inputs(), o));
        if let Some(Object::ServiceEntry(entry)) = object {
            for (index, owner, host) in self.inputs().hosts_of_others(key, entry) {
                let what = format!("{host} is a host of {owner}, which is older");
                let field = format!("spec.hosts[{index}]");
                let finding = Finding::new(field, what, "put both into one object");
                findings.push((Severity::Error, finding));
            }
        }
        findings
    }

    fn bound(&self, key: &ObjectKey, entry: &ServiceEntry) -> Option<RouteCondition> {
        let told = |holds, reason, message: String| {
            Some(RouteCondition::new(WAYPOINT_BOUND, holds, reason, message))
        };
        let bound = translate::binding(
            &self.objects,
            Bound::Service,
            &entry.metadata,
            &key.namespace,
        );
        let needs = entry
            .spec
            .hosts
            .iter()
            .any(|host| translate::Way::of(entry, host) == translate::Way::Named);
        match bound {
            Binding::To(gateway) => {
                let message = format!("Traffic goes through waypoint {gateway}.");
                told(true, "WaypointAccepted", message)
            }
            Binding::Refused(gateway, why) => {
                let reason = match why {
                    WhyRefused::Missing => "WaypointMissing",
                    WhyRefused::NotAWaypoint => "NotAWaypoint",
                    WhyRefused::NotAdmitted => "AttachmentDenied",
                };
                let why = why.words();
                let message = format!("Waypoint {gateway}: {why}; until then traffic is refused.");
                told(false, reason, message)
            }
            Binding::Free | Binding::OutOfScope(_) if needs => {
                let message = "A host with a `*` is served by a waypoint alone: label the ServiceEntry or \
                               its namespace with istio.io/use-waypoint.";
                told(false, "WaypointMissing", message.to_owned())
            }
            Binding::Free | Binding::OutOfScope(_) => None,
        }
    }
}
