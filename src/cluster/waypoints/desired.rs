//! The objects that make a waypoint: from a Gateway, the settings and what the Gateway asks for, in
//! pure functions.
//!
//! All have the Gateway's name, so that the binding of a service needs no look-up, and the Gateway
//! as their owner, so that they go with it. What tells them apart from others' (name, owner, labels,
//! selector) no parameter can change.

mod pod;

use std::collections::BTreeMap;

use kube::api::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::fields::{add, at, is_empty, set};
use super::parameters::Parameters;
use super::settings::WaypointSettings;
use crate::config::objects::gateway::{GROUP, Gateway};
use crate::config::translate::{GATEWAY_NAME, WAYPOINT_PORT};

/// The only container of a waypoint's pod.
pub(super) const CONTAINER: &str = "waypoint";
/// Label with the class of the Gateway that an object was made for.
pub(super) const GATEWAY_CLASS: &str = "gateway.networking.k8s.io/gateway-class-name";
/// Label that tells what we made from what others made for Gateways.
pub(super) const MANAGED: (&str, &str) =
    ("gateway.istio.io/managed", "ambit.mesh-waypoint-controller");

/// Readiness.
const STATUS_PORT: u16 = 15021;

/// The kinds of objects that a waypoint is made of, in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Part {
    ServiceAccount,
    Service,
    Deployment,
    PodDisruptionBudget,
    HorizontalPodAutoscaler,
}

/// An object that is to be there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Desired {
    /// Its kind.
    pub(super) part: Part,
    /// What is applied.
    pub(super) object: Value,
}

impl Part {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [
        Self::ServiceAccount,
        Self::Service,
        Self::Deployment,
        Self::PodDisruptionBudget,
        Self::HorizontalPodAutoscaler,
    ];

    /// Its kind's name.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::ServiceAccount => "ServiceAccount",
            Self::Service => "Service",
            Self::Deployment => "Deployment",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
        }
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::ServiceAccount | Self::Service => "v1",
            Self::Deployment => "apps/v1",
            Self::PodDisruptionBudget => "policy/v1",
            Self::HorizontalPodAutoscaler => "autoscaling/v2",
        }
    }

    /// Key of its overlay.
    fn key(self) -> &'static str {
        match self {
            Self::ServiceAccount => "serviceAccount",
            Self::Service => "service",
            Self::Deployment => "deployment",
            Self::PodDisruptionBudget => "podDisruptionBudget",
            Self::HorizontalPodAutoscaler => "horizontalPodAutoscaler",
        }
    }

    /// How the API server calls it.
    pub(super) fn resource(self) -> ApiResource {
        let version = self.api_version();
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, self.kind()))
    }
}

/// What the objects are made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Design<'a> {
    /// The Gateway.
    pub(super) gateway: &'a Gateway,
    /// Its uid.
    pub(super) uid: &'a str,
    /// The settings.
    pub(super) settings: &'a WaypointSettings,
    /// What it asks for.
    pub(super) parameters: &'a Parameters,
    /// First part of every identity.
    pub(super) trust_domain: &'a str,
}

impl Design<'_> {
    /// All objects that are to be there. `running` is how many replicas there are now: within the
    /// autoscaler's bounds it decides.
    pub(super) fn objects(&self, running: Option<u32>) -> Vec<Desired> {
        let scaler = self.scaler();
        let fixed = self.parameters.replicas.unwrap_or(self.settings.replicas);
        let replicas = scaler.as_ref().map_or(fixed, |scaler| {
            let bound = |field: &str, otherwise: u32| {
                let given = scaler.pointer(field).and_then(Value::as_u64);
                given.and_then(|n| n.try_into().ok()).unwrap_or(otherwise)
            };
            let least = bound("/spec/minReplicas", 1);
            let most = bound("/spec/maxReplicas", least).max(least);
            running.unwrap_or(least).clamp(least, most)
        });
        let objects = [
            (Part::ServiceAccount, Some(json!({}))),
            (Part::Service, Some(self.service())),
            (Part::Deployment, Some(self.deployment(replicas))),
            (Part::PodDisruptionBudget, self.budget()),
            (Part::HorizontalPodAutoscaler, scaler),
        ];
        let finished = objects.into_iter().filter_map(|(part, body)| {
            let mut object = self.finished(part, body?);
            if part == Part::Deployment {
                // An overlay's number is one that is asked for, unless there is an autoscaler.
                set(&mut object, &["spec", "replicas"], replicas);
            }
            Some(Desired { part, object })
        });
        finished.collect()
    }

    /// Namespace and name of all of them.
    pub(super) fn place(&self) -> (&str, &str) {
        (self.namespace(), self.name())
    }

    fn name(&self) -> &str {
        &self.gateway.metadata.name
    }

    fn namespace(&self) -> &str {
        self.gateway
            .metadata
            .namespace
            .as_deref()
            .unwrap_or("default")
    }

    /// Labels by which our objects are known.
    fn own_labels(&self) -> BTreeMap<&str, &str> {
        let (managed, by) = MANAGED;
        BTreeMap::from([
            ("app.kubernetes.io/managed-by", "ambit"),
            (GATEWAY_NAME, self.name()),
            (GATEWAY_CLASS, &*self.gateway.spec.gateway_class_name),
            (managed, by),
        ])
    }

    fn pod_labels(&self) -> BTreeMap<&str, &str> {
        let mut labels = self.own_labels();
        labels.extend([
            // A waypoint takes tunnels itself.
            ("ambit.mesh/dataplane-mode", "none"),
            ("istio.io/dataplane-mode", "none"),
            ("service.istio.io/canonical-name", self.name()),
            ("service.istio.io/canonical-revision", "latest"),
        ]);
        labels
    }

    fn selector(&self) -> Value {
        json!({"matchLabels": {GATEWAY_NAME: self.name()}})
    }

    /// With the overlay, and then what no overlay may change.
    fn finished(&self, part: Part, mut object: Value) -> Value {
        let infrastructure = &self.gateway.spec.infrastructure;
        let (labels, annotations) = (&infrastructure.labels, &infrastructure.annotations);
        add(&mut object, &["metadata", "labels"], labels);
        add(&mut object, &["metadata", "annotations"], annotations);
        if part == Part::Deployment {
            let template = at(&mut object, &["spec", "template", "metadata"]);
            add(template, &["labels"], labels);
            add(template, &["annotations"], annotations);
        }
        self.parameters.put_over(part.key(), &mut object);
        set(&mut object, &["apiVersion"], part.api_version());
        set(&mut object, &["kind"], part.kind());
        let metadata = at(&mut object, &["metadata"]);
        set(metadata, &["name"], self.name());
        set(metadata, &["namespace"], self.namespace());
        let owner = json!({
            "apiVersion": format!("{GROUP}/v1"),
            "kind": "Gateway",
            "name": self.name(),
            "uid": self.uid,
            "controller": true,
        });
        set(metadata, &["ownerReferences"], vec![owner]);
        add(metadata, &["labels"], &self.own_labels());
        if part == Part::Deployment {
            let labels = ["spec", "template", "metadata", "labels"];
            add(&mut object, &labels, &self.pod_labels());
        }
        object
    }

    fn service(&self) -> Value {
        json!({
            "metadata": {"annotations": {"networking.istio.io/traffic-distribution": "PreferClose"}},
            "spec": {
                "type": "ClusterIP",
                "selector": {GATEWAY_NAME: self.name()},
                "ports": [
                    {"name": "status-port", "port": STATUS_PORT, "targetPort": STATUS_PORT, "protocol": "TCP"},
                    {"name": "mesh", "port": WAYPOINT_PORT, "targetPort": WAYPOINT_PORT, "protocol": "TCP"},
                ],
            },
        })
    }

    fn deployment(&self, replicas: u32) -> Value {
        let mut pod = self.pod();
        let settings = self.settings;
        for (field, value) in [
            ("nodeSelector", &settings.node_selector),
            ("tolerations", &settings.tolerations),
        ] {
            if !is_empty(value) {
                set(&mut pod, &[field], value.clone());
            }
        }
        if !settings.priority_class_name.is_empty() {
            let name = settings.priority_class_name.as_str();
            set(&mut pod, &["priorityClassName"], name);
        }
        self.mount_outside_roots(&mut pod);
        if !settings.image_pull_secrets.is_empty() {
            let names = settings.image_pull_secrets.iter();
            let names: Vec<Value> = names.map(|name| json!({"name": name})).collect();
            set(&mut pod, &["imagePullSecrets"], names);
        }
        let mut template = json!({"spec": pod});
        if !is_empty(&settings.pod_annotations) {
            let annotations = settings.pod_annotations.clone();
            set(&mut template, &["metadata", "annotations"], annotations);
        }
        json!({"spec": {
            "replicas": replicas,
            "selector": self.selector(),
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"},
            },
            "template": template,
        }})
    }

    fn budget(&self) -> Option<Value> {
        let wanted = self.settings.disruption_budget
            || self.parameters.overlays(Part::PodDisruptionBudget.key());
        // Of a single pod too the node can be drained.
        let body = json!({"spec": {"maxUnavailable": 1, "selector": self.selector()}});
        wanted.then_some(body)
    }

    /// The autoscaler; none where a number of replicas is asked for.
    fn scaler(&self) -> Option<Value> {
        let given = &self.settings.autoscaling;
        let key = Part::HorizontalPodAutoscaler.key();
        let fixed = self.parameters.replicas.is_some();
        if !self.parameters.overlays(key) && (fixed || !given.enabled) {
            return None;
        }
        let mut body = json!({"spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": self.name()},
            "minReplicas": given.min_replicas,
            "maxReplicas": given.max_replicas,
            "metrics": [{"type": "Resource", "resource": {
                "name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": given.target_cpu},
            }}],
        }});
        // Its bounds are asked for before it is finished.
        self.parameters.put_over(key, &mut body);
        Some(body)
    }
}

#[cfg(test)]
mod tests;
