//! TLS of a destination rule: that of the mesh towards its services, our own towards hosts outside of it.
//!
//! What cannot be followed towards a host outside is no reason to go there without: nothing goes there.
//!
//! Certificates of a user's come from Secrets (`credentialName`), never from files. A Secret is the rule's
//! namespace's, and is handed to waypoints of that namespace only: a rule of another one names nothing there.

use std::sync::Arc;

use ambit_model::{CredentialUse, OutsideTls, ServiceTraffic};

use super::findings::Notes;
use crate::config::credentials::{self, Credentials};
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

/// The fields that say where a certificate or authority is, and what of them cannot be followed.
fn unusable(tls: &Tls) -> Option<Unusable> {
    const SECRET: &str = "leave it out, and write credentialName with a Secret that has it";
    const NO_FILES: &str = "a file in the waypoint's pod, which has none";
    let is_mutual = match tls.mode {
        Some(TlsMode::IstioMutual) => {
            let what = "servers outside of the mesh do not know its authority";
            return Some(("mode", what, "write SIMPLE, or DISABLE for plaintext"));
        }
        None | Some(TlsMode::Disable) => return None,
        Some(TlsMode::Mutual) => true,
        Some(TlsMode::Simple) => false,
    };
    let own = [
        ("clientCertificate", &tls.client_certificate),
        ("privateKey", &tls.private_key),
    ];
    if let Some((name, _)) = own
        .into_iter()
        .find(|(_, path)| is_mutual && is_there(path))
    {
        return Some((name, NO_FILES, SECRET));
    }
    match credentials::named(&Arc::from(""), tls) {
        None if is_mutual => {
            let what = "missing: the waypoint has no certificate of its own for servers outside of the mesh";
            return Some(("credentialName", what, "write the name of a Secret"));
        }
        Some(Err(())) => {
            let what = "no name of a Secret of this object's namespace";
            return Some(("credentialName", what, "write its name alone"));
        }
        Some(Ok(_)) if is_there(&tls.ca_certificates) => {
            let what = "given beside credentialName, whose authorities are believed";
            return Some(("caCertificates", what, "keep one of them"));
        }
        Some(Ok(_)) | None => {}
    }
    if is_there(&tls.ca_certificates) && tls.ca_certificates.as_deref() != Some("system") {
        return Some(("caCertificates", NO_FILES, SECRET));
    }
    is_there(&tls.ca_crl).then_some(("caCrl", NO_FILES, "leave it out"))
}

/// The TLS that is begun with hosts outside; none where they are spoken to as the client does. A Secret is
/// known by its bare name until [`settle`] says whose it is.
pub(super) fn outside(tls: &Tls) -> Option<Arc<OutsideTls>> {
    if matches!(tls.mode, None | Some(TlsMode::Disable)) {
        return None;
    }
    let unusable: Option<Arc<str>> =
        unusable(tls).map(|(field, what, _)| format!("tls.{field}: {what}").into());
    let sni = tls.sni.clone().filter(|sni| !sni.is_empty());
    let named = tls.credential_name.clone().filter(|_| unusable.is_none());
    Some(Arc::new(OutsideTls {
        sni,
        names: tls.subject_alt_names.clone(),
        unverified: tls.insecure_skip_verify == Some(true),
        credential: named.map(|name| CredentialUse {
            name,
            certificate: tls.mode == Some(TlsMode::Mutual),
        }),
        unusable,
    }))
}

/// Says whose Secrets a service's policies name: those of this namespace; or why they are not to be had.
/// True if there are any.
pub(super) fn settle(traffic: &mut ServiceTraffic, namespace: Result<&str, &str>) -> bool {
    let subsets = traffic
        .subsets
        .values_mut()
        .map(|subset| &mut subset.policies);
    let parts = std::iter::once(&mut traffic.whole).chain(subsets);
    let policies = parts.flat_map(|part| part.ports.values_mut().chain([&mut part.any]));
    let mut any = false;
    for tls in policies.filter_map(|policy| policy.tls.as_mut()) {
        if tls.credential.is_none() {
            continue;
        }
        any = true;
        let tls = Arc::make_mut(tls);
        let why = match (namespace, &mut tls.credential) {
            (Ok(namespace), Some(asked)) => {
                asked.name = format!("{namespace}/{}", asked.name).into();
                "tls.credentialName: this version of the waypoint takes no Secrets"
            }
            (Ok(_), None) => continue,
            (Err(why), credential) => {
                *credential = None;
                why
            }
        };
        tls.unusable = Some(why.into());
    }
    any
}

/// Where it is said what is wrong with Secrets.
#[derive(Clone, Copy)]
pub(super) struct Secrets<'a> {
    /// Whether they are read.
    pub(super) are_read: bool,
    /// Of the rule.
    pub(super) namespace: &'a Arc<str>,
    /// Those that were read.
    pub(super) known: &'a Credentials,
}

/// Why Secrets are not had where they are not read, and what to do.
pub(super) const NOT_READ: (&str, &str) = (
    "the control plane reads no Secrets",
    "set outside.credentials.enabled in the chart (--outside-credentials), or leave it out: servers are then \
     verified by the authorities of the waypoint's system and of its --outside-roots",
);

impl Secrets<'_> {
    fn note(self, field: &str, tls: &Tls, notes: &mut Notes) {
        let Some(Ok(secret)) = credentials::named(self.namespace, tls) else {
            return;
        };
        let field = format!("{field}.credentialName");
        if !self.are_read {
            let (what, advice) = NOT_READ;
            let what = format!("{what}: nothing is sent to the host");
            notes.wrong(field, &what, advice);
        } else if let Some(what) = self.known.problem(&secret, tls) {
            let advice = "put tls.crt, tls.key and ca.crt into it, in PEM; ca.crt alone for SIMPLE";
            notes.warn(field, &what, advice);
        }
    }
}

/// What of it is not followed as it is written.
pub(super) fn findings(
    field: &str,
    tls: &Tls,
    towards: Towards,
    secrets: Secrets<'_>,
    notes: &mut Notes,
) {
    match towards {
        Towards::Mesh => of_mesh(field, tls, notes),
        Towards::Outside => {
            of_outside(field, tls, notes);
            if unusable(tls).is_none() {
                secrets.note(field, tls, notes);
            }
        }
    }
}

fn of_outside(field: &str, tls: &Tls, notes: &mut Notes) {
    if let Some((name, what, advice)) = unusable(tls) {
        let what = format!("{what}: nothing is sent to the host");
        notes.wrong(format!("{field}.{name}"), &what, advice);
    }
    if matches!(tls.mode, None | Some(TlsMode::Disable)) {
        for name in said(tls) {
            let what = "is not looked at with DISABLE, which no mode means too: no TLS is begun";
            let advice = "write SIMPLE or MUTUAL as mode, or leave it out";
            notes.warn(format!("{field}.{name}"), what, advice);
        }
        return;
    }
    if tls.mode == Some(TlsMode::Simple) {
        let own = [
            ("clientCertificate", &tls.client_certificate),
            ("privateKey", &tls.private_key),
        ];
        for (name, _) in own.into_iter().filter(|(_, path)| is_there(path)) {
            let what = "is not looked at with SIMPLE, by which the server sees no certificate";
            let advice =
                "leave it out, or write MUTUAL and credentialName with a Secret that has it";
            notes.warn(format!("{field}.{name}"), what, advice);
        }
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
    if tls.mode == Some(TlsMode::IstioMutual) {
        not_of_mesh(field, tls, notes);
    }
}

/// What nobody looks at where the certificates are those of the mesh.
fn not_of_mesh(field: &str, tls: &Tls, notes: &mut Notes) {
    for name in said(tls) {
        let what = match name {
            "sni" => "is not sent: tunnels of the mesh name no server",
            "subjectAltNames" | "insecureSkipVerify" => {
                "an endpoint has to prove the identity of its own pod, and no other"
            }
            _ => "is not looked at: the certificates and authorities are those of the mesh",
        };
        notes.warn(format!("{field}.{name}"), what, "leave it out");
    }
}

/// Fields beside the mode that say something.
fn said(tls: &Tls) -> impl Iterator<Item = &'static str> + use<> {
    let fields = [
        ("sni", is_there(&tls.sni)),
        ("subjectAltNames", !tls.subject_alt_names.is_empty()),
        ("credentialName", is_there(&tls.credential_name)),
        ("clientCertificate", is_there(&tls.client_certificate)),
        ("privateKey", is_there(&tls.private_key)),
        ("caCertificates", is_there(&tls.ca_certificates)),
        ("caCrl", is_there(&tls.ca_crl)),
        ("insecureSkipVerify", tls.insecure_skip_verify == Some(true)),
    ];
    let fields = fields.into_iter().filter(|(_, is_said)| *is_said);
    fields.map(|(name, _)| name)
}

/// Whether a field says something: an empty text is as none.
fn is_there(text: &Option<Arc<str>>) -> bool {
    text.as_deref().is_some_and(|text| !text.is_empty())
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

    fn read_secrets<'a>(namespace: &'a Arc<str>, known: &'a Credentials) -> Secrets<'a> {
        Secrets {
            are_read: true,
            namespace,
            known,
        }
    }

    #[test]
    fn a_secret_is_asked_for_by_namespace_and_name_or_not_at_all() {
        for (mode, certificate) in [("SIMPLE", false), ("MUTUAL", true)] {
            let tls = json!({"tls": {"mode": mode, "credentialName": "c"}});
            let traffic = ServiceTraffic {
                whole: made(tls, None, Towards::Outside),
                ..ServiceTraffic::default()
            };
            let of = |namespace| {
                let mut traffic = traffic.clone();
                assert!(settle(&mut traffic, namespace));
                traffic.whole.any.tls.unwrap()
            };
            let asked = CredentialUse {
                name: "shop/c".into(),
                certificate,
            };
            let usable = of(Ok("shop"));
            assert_eq!(usable.credential, Some(asked));
            // A waypoint that does not know of credentials sends nothing.
            assert!(usable.unusable.is_some());
            let refused = of(Err("why"));
            assert_eq!(
                (&refused.credential, refused.unusable.as_deref()),
                (&None, Some("why"))
            );
        }
        let mut plain = ServiceTraffic {
            whole: made(simple("a"), None, Towards::Outside),
            ..ServiceTraffic::default()
        };
        assert!(!settle(&mut plain, Ok("shop")));
        assert_eq!(plain.whole.any.tls.unwrap().unusable, None);
    }

    #[test]
    fn what_cannot_be_followed_sends_nothing_and_is_said() {
        let (shop, known) = (Arc::from("shop"), Credentials::default());
        for (tls, field) in [
            (
                json!({"mode": "MUTUAL", "clientCertificate": "/c.pem", "privateKey": "/k.pem"}),
                "clientCertificate",
            ),
            (json!({"mode": "ISTIO_MUTUAL"}), "mode"),
            (
                json!({"mode": "SIMPLE", "credentialName": "other/c"}),
                "credentialName",
            ),
            (
                json!({"mode": "SIMPLE", "credentialName": "c", "caCertificates": "system"}),
                "caCertificates",
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
            findings(
                "f",
                &tls,
                Towards::Outside,
                read_secrets(&shop, &known),
                &mut notes,
            );
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
            (
                json!({"mode": "SIMPLE", "clientCertificate": "/c.pem"}),
                "f.clientCertificate",
            ),
            (
                json!({"mode": "SIMPLE", "privateKey": "/k.pem"}),
                "f.privateKey",
            ),
            (
                json!({"mode": "SIMPLE", "clientCertificate": "", "privateKey": ""}),
                "",
            ),
        ] {
            let tls = read(json!({ "tls": tls })).tls.unwrap();
            assert!(outside(&tls).is_none_or(|made| made.unusable.is_none()));
            let mut notes = Notes::default();
            findings(
                "f",
                &tls,
                Towards::Outside,
                read_secrets(&shop, &known),
                &mut notes,
            );
            let all = format!("{notes:?}");
            assert_eq!(said.is_empty(), all == "Notes([])", "{all}");
            assert!(all.contains(said), "{all}");
        }
    }

    #[test]
    fn what_is_beside_a_mode_that_leaves_it_out_is_said_field_by_field() {
        let (shop, known) = (Arc::from("shop"), Credentials::default());
        for (name, value, empty) in [
            ("sni", json!("a"), json!("")),
            ("subjectAltNames", json!(["spiffe://d/a"]), json!([])),
            ("credentialName", json!("c"), json!("")),
            ("clientCertificate", json!("/c.pem"), json!("")),
            ("privateKey", json!("/k.pem"), json!("")),
            ("caCertificates", json!("/a.pem"), json!("")),
            ("caCrl", json!("/a.crl"), json!("")),
            ("insecureSkipVerify", json!(true), json!(false)),
        ] {
            let said = |mode: &Value, towards: Towards, value: &Value| {
                let mut tls = json!({ name: value });
                if !mode.is_null() {
                    tls["mode"] = mode.clone();
                }
                let tls = read(json!({ "tls": tls })).tls.unwrap();
                let mut notes = Notes::default();
                let secrets = read_secrets(&shop, &known);
                findings("f", &tls, towards, secrets, &mut notes);
                format!("{notes:?}")
            };
            for (mode, towards) in [
                (json!("ISTIO_MUTUAL"), Towards::Mesh),
                (json!("DISABLE"), Towards::Outside),
                (json!(null), Towards::Outside),
            ] {
                let told = said(&mode, towards, &value);
                assert!(told.contains(&format!("\"f.{name}\"")), "{name}: {told}");
                assert!(
                    told.contains("Warning") && told.contains("leave it out"),
                    "{told}"
                );
                assert_eq!(told.matches("Finding").count(), 1, "{told}");
                assert_eq!(said(&mode, towards, &empty), "Notes([])", "{name}");
            }
        }
    }
}
