//! How many pods each policy applies to.

use std::collections::HashMap;

use ambit_model::TunnelProtocol;

use crate::config::Configuration;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::translate::{self, Inputs};

/// Pods of every policy.
#[derive(Debug, Default)]
pub(super) struct Reach(HashMap<ObjectKey, Pods>);

#[derive(Clone, Copy, Debug, Default)]
struct Pods {
    all: usize,
    captured: usize,
}

impl Reach {
    /// Counts them, in one walk over all pods.
    pub(super) fn of(configuration: &Configuration) -> Self {
        let mut reach = Self::default();
        let inputs = configuration.inputs();
        for (key, object) in configuration.objects.of_kind(Kind::Pod) {
            let Object::Pod(pod) = object else { continue };
            let Some(workload) = configuration.mesh.workload(&inputs.workload_uid(key)) else {
                continue;
            };
            let captured = workload.protocol == TunnelProtocol::Hbone;
            for policy in authorization_policies(&inputs, workload) {
                reach.count(policy, captured);
            }
            let labels = &pod.metadata.labels;
            let deciding = translate::deciding_peer_authentication(&inputs, &key.namespace, labels);
            if let Some(policy) = deciding {
                reach.count(policy, captured);
            }
        }
        reach
    }

    fn count(&mut self, policy: ObjectKey, captured: bool) {
        let pods = self.0.entry(policy).or_default();
        pods.all += 1;
        pods.captured += usize::from(captured);
    }

    /// The number in words.
    pub(super) fn words(&self, policy: &ObjectKey) -> String {
        let Pods { all, captured } = self.0.get(policy).copied().unwrap_or_default();
        match (all, captured) {
            (0, _) => "no pod now.".to_owned(),
            (1, 1) => "1 pod, which is captured.".to_owned(),
            (1, _) => "1 pod, which is not captured: nothing is enforced there.".to_owned(),
            (all, captured) if all == captured => format!("{all} pods, all of them captured."),
            (all, 0) => format!("{all} pods, none of them captured: nothing is enforced there."),
            (all, captured) => {
                format!("{all} pods; {captured} of them are captured, the others not protected.")
            }
        }
    }
}

/// Policies of that kind which the workload lists.
fn authorization_policies<'a>(
    inputs: &'a Inputs<'_>,
    workload: &'a ambit_model::Workload,
) -> impl Iterator<Item = ObjectKey> + 'a {
    let names = workload.applicable_policies.iter().flatten();
    let keys = names.map(|name| {
        let (namespace, name) = (name.namespace.clone(), name.name.clone());
        ObjectKey::new(Kind::AuthorizationPolicy, namespace, name)
    });
    keys.filter(|key| inputs.objects.get(key).is_some())
}
