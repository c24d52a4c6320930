//! An `AuthorizationPolicy` as a policy about requests, with all of its fields.
//!
//! Nothing is passed over: a rule of which something cannot be read or evaluated is marked as
//! unsupported, so that it allows nothing and refuses everything, and a finding says where that is.

use std::sync::Arc;

use ambit_model::{
    Condition, Operation, PolicyName, PolicyProblem, RequestAction, RequestPolicy, RequestRule,
    Source,
};

use super::{AuthorizationPolicy, PolicyAction, PolicyRule};
use crate::config::problem::Finding;

/// What an object says about requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestReading {
    /// The policy.
    pub policy: RequestPolicy,
    /// What of it could not be read, with the path of its field. The rule of each is marked.
    pub findings: Vec<Finding>,
}

impl AuthorizationPolicy {
    /// Reads it as a policy about requests. CUSTOM refuses what it matches, as there is nobody who
    /// could be asked.
    pub fn for_requests(&self, name: PolicyName) -> RequestReading {
        let action = match self.spec.action {
            PolicyAction::Allow => RequestAction::Allow,
            PolicyAction::Deny | PolicyAction::Custom => RequestAction::Deny,
            PolicyAction::Audit => RequestAction::Audit,
        };
        let mut findings = Vec::new();
        let rules = self.spec.rules.iter().enumerate().map(|(index, rule)| {
            let (rule, problems) = read_rule(rule, &name);
            let place = format!("spec.rules[{index}]");
            findings.extend(problems.into_iter().map(|problem| {
                let problem = problem.within(&place);
                Finding::new(problem.field, problem.what, problem.advice)
            }));
            rule
        });
        let rules = rules.collect();
        let policy = RequestPolicy {
            name,
            action,
            dry_run: self.is_dry_run(),
            rules,
        };
        RequestReading { policy, findings }
    }
}

fn read_rule(written: &PolicyRule, name: &PolicyName) -> (RequestRule, Vec<PolicyProblem>) {
    let mut rule = RequestRule::default();
    let mut problems = Vec::new();
    for (index, from) in written.from.iter().flatten().enumerate() {
        let mut source = Source::default();
        for (field, values) in from.source.fields() {
            let put = source.put(field, &values, &name.namespace);
            let place = || format!("from[{index}].source");
            problems.extend(put.err().map(|problem| problem.within(place())));
        }
        rule.from.push(source);
    }
    for (index, to) in written.to.iter().flatten().enumerate() {
        let mut operation = Operation::default();
        for (field, values) in to.operation.fields() {
            let put = operation.put(field, &values);
            let place = || format!("to[{index}].operation");
            problems.extend(put.err().map(|problem| problem.within(place())));
        }
        rule.to.push(operation);
    }
    for (index, when) in written.when.iter().flatten().enumerate() {
        match Condition::parse(&when.key, &when.values, &when.not_values, &name.namespace) {
            Ok(condition) => rule.when.push(condition),
            Err(problem) => problems.push(problem.within(format_args!("when[{index}]"))),
        }
    }
    rule.unsupported = !problems.is_empty();
    (rule, problems)
}

/// A field's name, and its values as they are written.
type Field = (&'static str, Vec<String>);

impl super::Source {
    fn fields(&self) -> [Field; 12] {
        // Taken apart, so that a field added to the type cannot be forgotten here.
        let Self {
            principals,
            not_principals,
            namespaces,
            not_namespaces,
            service_accounts,
            not_service_accounts,
            ip_blocks,
            not_ip_blocks,
            remote_ip_blocks,
            not_remote_ip_blocks,
            request_principals,
            not_request_principals,
        } = self;
        [
            ("principals", texts(principals)),
            ("notPrincipals", texts(not_principals)),
            ("namespaces", texts(namespaces)),
            ("notNamespaces", texts(not_namespaces)),
            ("serviceAccounts", texts(service_accounts)),
            ("notServiceAccounts", texts(not_service_accounts)),
            ("ipBlocks", texts(ip_blocks)),
            ("notIpBlocks", texts(not_ip_blocks)),
            ("remoteIpBlocks", texts(remote_ip_blocks)),
            ("notRemoteIpBlocks", texts(not_remote_ip_blocks)),
            ("requestPrincipals", texts(request_principals)),
            ("notRequestPrincipals", texts(not_request_principals)),
        ]
    }
}

impl super::Operation {
    fn fields(&self) -> [Field; 8] {
        let Self {
            ports,
            not_ports,
            hosts,
            not_hosts,
            methods,
            not_methods,
            paths,
            not_paths,
        } = self;
        let plain = |list: &[Arc<str>]| list.iter().map(ToString::to_string).collect();
        [
            ("ports", texts(ports)),
            ("notPorts", texts(not_ports)),
            ("hosts", plain(hosts)),
            ("notHosts", plain(not_hosts)),
            ("methods", plain(methods)),
            ("notMethods", plain(not_methods)),
            ("paths", plain(paths)),
            ("notPaths", plain(not_paths)),
        ]
    }
}

fn texts<V: Clone + Into<String>>(values: &[V]) -> Vec<String> {
    values.iter().cloned().map(Into::into).collect()
}

#[cfg(test)]
mod tests;
