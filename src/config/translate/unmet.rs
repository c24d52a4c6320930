//! Values of policies that nothing ever meets, so that a DENY would refuse nothing in silence: principals of other
//! trust domains, and paths that are not written in the form in which paths are compared.

use ambit_route::normal_form;

use super::trust_domain::LOCAL;
use crate::config::objects::authorization_policy::{Attribute, AuthorizationPolicy};
use crate::config::problem::{Finding, Severity};

/// What is said of a policy in a mesh of this trust domain.
pub(super) fn findings(
    object: &AuthorizationPolicy,
    trust_domain: &str,
) -> Vec<(Severity, Finding)> {
    let mut findings = Vec::new();
    let mut say = |field: String, said: Option<(String, String)>| {
        let found = said.map(|(what, advice)| Finding::new(field, what, advice));
        findings.extend(found.map(|finding| (Severity::Warning, finding)));
    };
    for (index, rule) in object.spec.rules.iter().enumerate() {
        let rule_field = format!("spec.rules[{index}]");
        for (entry, from) in rule.from.iter().flatten().enumerate() {
            let source = &from.source;
            for (name, list) in [
                ("principals", &source.principals),
                ("notPrincipals", &source.not_principals),
            ] {
                for (place, pattern) in list.iter().enumerate() {
                    let field = format!("{rule_field}.from[{entry}].source.{name}[{place}]");
                    say(
                        field,
                        principal(&String::from(pattern.clone()), trust_domain),
                    );
                }
            }
        }
        for (entry, to) in rule.to.iter().flatten().enumerate() {
            let operation = &to.operation;
            for (name, list) in [
                ("paths", &operation.paths),
                ("notPaths", &operation.not_paths),
            ] {
                for (place, value) in list.iter().enumerate() {
                    let field = format!("{rule_field}.to[{entry}].operation.{name}[{place}]");
                    say(field, path(value));
                }
            }
        }
        let conditions = rule.when.iter().flatten().enumerate();
        let is_principal = |key: &str| Attribute::of(key) == Some(Attribute::SourcePrincipal);
        for (entry, condition) in conditions.filter(|(_, one)| is_principal(&one.key)) {
            for (name, list) in [
                ("values", &condition.values),
                ("notValues", &condition.not_values),
            ] {
                for (place, value) in list.iter().enumerate() {
                    let field = format!("{rule_field}.when[{entry}].{name}[{place}]");
                    say(field, principal(value, trust_domain));
                }
            }
        }
    }
    findings
}

/// What is said of a principal, and what to do.
fn principal(value: &str, trust_domain: &str) -> Option<(String, String)> {
    let named = value.strip_prefix("spiffe://").unwrap_or(value);
    let (domain, _) = named.split_once('/')?;
    let is_foreign = ![LOCAL, trust_domain].contains(&domain) && !domain.contains('*');
    is_foreign.then(|| {
        let what = format!(
            "`{value}` is of the trust domain {domain}; nobody in the mesh, which is {trust_domain}, is ever called so"
        );
        let advice = format!("begin with `{LOCAL}/`, which stands for the mesh's own");
        (what, advice)
    })
}

/// The same of a path: requests are judged by their normal form.
fn path(value: &str) -> Option<(String, String)> {
    if value.contains(['{', '}']) {
        return None;
    }
    // Something that any path may have in the place of the star.
    const ANY: &str = "x";
    let (begin, end) = (value.starts_with('*'), value.ends_with('*'));
    let inner = value.trim_matches('*');
    let whole = match (begin, end) {
        (true, _) => format!("/{ANY}{inner}"),
        (false, true) => format!("{inner}{ANY}"),
        (false, false) => inner.to_owned(),
    };
    let normal = normal_form(&whole)?;
    let written = match (begin, end) {
        (true, _) => normal
            .strip_prefix(&format!("/{ANY}"))
            .map(|it| format!("*{it}")),
        (false, true) => normal.strip_suffix(ANY).map(|it| format!("{it}*")),
        (false, false) => Some(normal),
    };
    let what = format!(
        "`{value}` is never met, unless paths are not normalized (NONE): requests are judged by the normal form of theirs"
    );
    let advice = written.map_or_else(
        || "write it without `.` and `..` as segments".to_owned(),
        |written| format!("write `{written}`"),
    );
    Some((what, advice))
}
