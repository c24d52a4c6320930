//! TLS of a destination rule: that of the mesh towards its services, our own towards hosts outside of it.
//!
//! What cannot be followed towards a host outside is no reason to go there without: nothing goes there.

use std::sync::Arc;

use ambit_model::OutsideTls;

use super::findings::Notes;
use crate::config::objects::destination_rule::policy::{Tls, TlsMode};
use crate::config::objects::names::Name;

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Towards {
    /// Services of the cluster.
    Mesh,
    /// Hosts outside of the mesh.
    Outside,
}

/// A field that cannot be followed towards hosts outside: its name, what is wrong, what to do.
type Unusable = (&'static str, &'static str, &'static str);

/// The fields that say where a certificate or authority is.
fn unusable(tls: &Tls) -> Option<Unusable> {
    const ROOTS: &str = "leave it out: servers are verified by the authorities of the waypoint's system and of its --outside-roots";
    const NO_FILES: &str = "a file in the waypoint's pod, which has none";
    match tls.mode {
        Some(TlsMode::Mutual) => {
            let what = "the waypoint has no certificate to show to servers outside of the mesh";
            let advice =
                "write SIMPLE, or let the client itself speak TLS to a port of protocol TLS";
            return Some(("mode", what, advice));
        }
        Some(TlsMode::IstioMutual) => {
            let what = "servers outside of the mesh do not know its authority";
            return Some(("mode", what, "write SIMPLE, or DISABLE for plaintext"));
        }
        None | Some(TlsMode::Disable) => return None,
        Some(TlsMode::Simple) => {}
    }
    if tls.credential_name.is_some() {
        let what = "secrets are not handed to waypoints";
        return Some(("credentialName", what, ROOTS));
    }
    let is_file = |path: &Option<Arc<str>>| {
        let path = path.as_deref().unwrap_or_default();
        !path.is_empty() && path != "system"
    };
    if is_file(&tls.ca_certificates) {
        return Some(("caCertificates", NO_FILES, ROOTS));
    }
    is_file(&tls.ca_crl).then_some(("caCrl", NO_FILES, "leave it out"))
}

/// The TLS that is begun with hosts outside; none where they are spoken to as the client does.
pub(super) fn outside(tls: &Tls) -> Option<Arc<OutsideTls>> {
    if matches!(tls.mode, None | Some(TlsMode::Disable)) {
        return None;
    }
    let unusable = unusable(tls).map(|(field, what, _)| format!("tls.{field}: {what}").into());
    let sni = tls.sni.clone().filter(|sni| !sni.is_empty());
    Some(Arc::new(OutsideTls {
        sni,
        names: tls.subject_alt_names.clone(),
        unverified: tls.insecure_skip_verify == Some(true),
        unusable,
    }))
}

/// What of it is not followed as it is written.
pub(super) fn findings(field: &str, tls: &Tls, towards: Towards, notes: &mut Notes) {
    match towards {
        Towards::Mesh => of_mesh(field, tls, notes),
        Towards::Outside => of_outside(field, tls, notes),
    }
}

fn of_outside(field: &str, tls: &Tls, notes: &mut Notes) {
    if let Some((name, what, advice)) = unusable(tls) {
        let what = format!("{what}: nothing is sent to the host");
        notes.wrong(format!("{field}.{name}"), &what, advice);
    }
    if matches!(tls.mode, None | Some(TlsMode::Disable)) {
        return;
    }
    for (index, name) in tls.subject_alt_names.iter().enumerate() {
        let is_name = name.contains(':') || Name::new(name.trim_end_matches('.')).is_ok();
        if !is_name {
            let what = "neither a host name nor a URI, so that no certificate has it";
            let field = format!("{field}.subjectAltNames[{index}]");
            notes.warn(field, what, "write the whole name, without `*`");
        }
    }
    if tls.insecure_skip_verify == Some(true) {
        let what =
            "whoever answers is believed: anybody on the way can read and change what is sent";
        let field = format!("{field}.insecureSkipVerify");
        notes.warn(
            field,
            what,
            "leave it out, and give the waypoint the server's authority",
        );
    }
}

fn of_mesh(field: &str, tls: &Tls, notes: &mut Notes) {
    const OURS: &str = "leave tls out, or write ISTIO_MUTUAL";
    let mode = format!("{field}.mode");
    match tls.mode {
        Some(TlsMode::IstioMutual) => {}
        None | Some(TlsMode::Disable) => {
            let what =
                "endpoints in the mesh are reached by mutual TLS all the same, others in plaintext";
            notes.warn(mode, what, OURS);
        }
        Some(TlsMode::Simple | TlsMode::Mutual) => {
            let what =
                "TLS to a service of the cluster is that of the mesh; none is begun for the server";
            notes.wrong(
                mode,
                what,
                "leave tls out, or let the client speak TLS to a port of protocol TLS",
            );
        }
    }
    let names = !tls.subject_alt_names.is_empty();
    if names && tls.mode == Some(TlsMode::IstioMutual) {
        let what = "an endpoint has to prove the identity of its own pod, and no other";
        notes.warn(format!("{field}.subjectAltNames"), what, "leave it out");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ambit_model::PortPolicies;
    use serde_json::{Value, json};

    use super::super::policy::policies;
    use super::*;
    use crate::config::objects::destination_rule::policy::TrafficPolicy;

    fn read(policy: Value) -> TrafficPolicy {
        serde_json::from_value(policy).unwrap()
    }

    fn made(whole: Value, subset: Option<Value>, towards: Towards) -> PortPolicies {
        let (whole, subset) = (read(whole), subset.map(read));
        let ports = BTreeSet::from([80, 443]);
        policies(Some(&whole), subset.as_ref(), &ports, towards)
    }

    fn simple(sni: &str) -> Value {
        json!({"tls": {"mode": "SIMPLE", "sni": sni}})
    }

    fn sni(policy: &ambit_model::TrafficPolicy) -> Option<&str> {
        policy.tls.as_ref()?.sni.as_deref()
    }

    #[test]
    fn tls_is_begun_outside_of_the_mesh_and_never_within() {
        let made_so = |towards| made(simple("a.example.com"), None, towards);
        assert_eq!(sni(&made_so(Towards::Outside).any), Some("a.example.com"));
        assert_eq!(made_so(Towards::Mesh).any.tls, None);
    }

    #[test]
    fn a_port_says_all_of_it_and_a_subset_goes_over_the_whole() {
        let whole = json!({
            "tls": {"mode": "SIMPLE", "sni": "a"},
            "portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": "DISABLE"}}, {"port": {"number": 443}}],
        });
        let of_whole = made(whole.clone(), None, Towards::Outside);
        assert_eq!(sni(&of_whole.any), Some("a"));
        assert_eq!(of_whole.on(80).tls, None);
        assert_eq!(of_whole.on(443).tls, None);
        let of_subset = made(simple("a"), Some(simple("b")), Towards::Outside);
        assert_eq!(sni(&of_subset.any), Some("b"));
        let taken_over = made(simple("a"), Some(json!({})), Towards::Outside);
        assert_eq!(sni(&taken_over.any), Some("a"));
    }

    #[test]
    fn what_cannot_be_followed_sends_nothing_and_is_said() {
        for (tls, field) in [
            (json!({"mode": "MUTUAL", "credentialName": "c"}), "mode"),
            (json!({"mode": "ISTIO_MUTUAL"}), "mode"),
            (
                json!({"mode": "SIMPLE", "credentialName": "c"}),
                "credentialName",
            ),
            (
                json!({"mode": "SIMPLE", "caCertificates": "/etc/a.pem"}),
                "caCertificates",
            ),
            (json!({"mode": "SIMPLE", "caCrl": "/etc/a.crl"}), "caCrl"),
        ] {
            let tls = read(json!({ "tls": tls })).tls.unwrap();
            let made = outside(&tls).unwrap();
            assert!(
                made.unusable
                    .as_deref()
                    .is_some_and(|why| why.contains(field)),
                "{field}"
            );
            let mut notes = Notes::default();
            findings("f", &tls, Towards::Outside, &mut notes);
            let said = format!("{notes:?}");
            assert!(
                said.contains(&format!("f.{field}")) && said.contains("Error"),
                "{said}"
            );
        }
        for (tls, said) in [
            (json!({"mode": "SIMPLE"}), ""),
            (json!({"mode": "DISABLE"}), ""),
            (json!({"mode": "SIMPLE", "caCertificates": "system"}), ""),
            (
                json!({"mode": "SIMPLE", "subjectAltNames": ["a.example.com", "spiffe://d/a"]}),
                "",
            ),
            (
                json!({"mode": "SIMPLE", "subjectAltNames": ["*.example.com"]}),
                "subjectAltNames[0]",
            ),
            (
                json!({"mode": "SIMPLE", "insecureSkipVerify": true}),
                "insecureSkipVerify",
            ),
        ] {
            let tls = read(json!({ "tls": tls })).tls.unwrap();
            assert!(outside(&tls).is_none_or(|made| made.unusable.is_none()));
            let mut notes = Notes::default();
            findings("f", &tls, Towards::Outside, &mut notes);
            let all = format!("{notes:?}");
            assert_eq!(said.is_empty(), all == "Notes([])", "{all}");
            assert!(all.contains(said), "{all}");
        }
    }
}
