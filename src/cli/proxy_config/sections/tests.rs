use super::*;

fn dump() -> Value {
    json!({
        "generation": 1,
        "control_plane": {"connected": true, "rejected": []},
        "certificates": [
            {"identity": "spiffe://cluster.local/ns/shop/sa/web", "serial": "0a",
             "valid_from": "2026-01-01T00:00:00Z", "valid_until": "2026-01-02T00:00:00Z"},
            {"identity": "spiffe://cluster.local/ns/shop/sa/web-2"},
        ],
        "pods": [{}],
        "workloads": [{
            "namespace": "shop", "name": "web-1", "addresses": ["10.0.0.2", "fd00::2"], "node": "n1",
            "protocol": "Hbone", "health": "Healthy", "service_account": "web",
            "applicable_policies": ["shop/a", "shop/b"],
        }],
        "services": [{
            "name": "shop/web.shop.svc.cluster.local",
            "vips": [[{"network": "", "address": "10.96.0.1"}, 32]],
            "ports": [{"service_port": 80, "target_port": 8080, "app_protocol": "Unknown"}],
        }],
        "policies": [{
            "name": "shop/a", "scope": "Namespace", "action": "Allow", "dry_run": false, "rules": [{}, {}],
        }],
    })
}

#[test]
fn every_section_is_a_table() {
    let node = Of::default();
    let mut all = String::new();
    for section in [
        Section::Summary,
        Section::Workloads,
        Section::Services,
        Section::Policies,
        Section::Certificates,
    ] {
        all += &text(&part(&dump(), section, &node), section);
        all.push('\n');
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_pods_certificates_and_connections_are_its_own() {
    let of = Of {
        node: "n1".to_owned(),
        addresses: vec!["10.0.0.2".parse().unwrap()],
        account: Some("/ns/shop/sa/web".to_owned()),
    };
    let certificates = part(&dump(), Section::Certificates, &of);
    assert_eq!(certificates.as_array().unwrap().len(), 1);
    assert_eq!(certificates[0]["serial"], "0a");
    let connections = json!([
        {"id": 1, "source": "10.0.0.2:40000", "destination": "10.0.0.9:80"},
        {"id": 2, "source": "10.0.0.3:40000", "destination": "10.0.0.2:80"},
        {"id": 3, "source": "10.0.0.3:40000", "destination": "10.0.0.9:80"},
    ]);
    let its = part(&connections, Section::Connections, &of);
    let ids: Vec<&Value> = its
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(ids, [1, 2]);
    let all = part(&connections, Section::Connections, &Of::default());
    assert_eq!(all, connections);
}
