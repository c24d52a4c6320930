use super::*;

/// Reads a `spec` in YAML; where it is wrong and what is found there, as an author sees it.
fn read(spec: &str) -> Result<ServiceEntry, (String, String)> {
    let text = format!("metadata: {{name: e, namespace: shop}}\nspec: {spec}\n");
    let documents = crate::config::documents::parse_documents(text.as_bytes());
    let document = documents.unwrap().remove(0).unwrap();
    let read = serde_path_to_error::deserialize(&document);
    let object: ServiceEntry =
        read.map_err(|error| (error.path().to_string(), error.inner().to_string()))?;
    object
        .check()
        .map_err(|finding| (finding.field, finding.what))?;
    Ok(object)
}

/// One of hosts and ports, and these fields.
fn entry(fields: &str) -> Result<ServiceEntry, (String, String)> {
    read(&format!(
        "{{hosts: [api.example.com], ports: [{{number: 443, name: tls, protocol: TLS}}], {fields}}}"
    ))
}

#[test]
fn every_field_is_read_and_written_as_it_was() {
    let object = read(
        "
  hosts: [db.example.com, db]
  addresses: [192.0.2.0/24, 2001:db8::1]
  ports: [{number: 80, name: web, protocol: http, targetPort: 8080}, {number: 27017, name: m, protocol: Mongo}]
  location: MESH_INTERNAL
  resolution: STATIC
  endpoints:
  - {address: 192.0.2.7, ports: {web: 8081}, labels: {v: '1'}, network: net1, locality: r/z, weight: 3, serviceAccount: s}
  exportTo: [., other]
  subjectAltNames: ['spiffe://cluster.local/ns/x/sa/y']",
    )
    .unwrap();
    assert_eq!(object.spec.location, Location::MeshInternal);
    assert_eq!(object.spec.ports[0].protocol, Protocol::Http);
    assert_eq!(object.spec.endpoints[0].weight, 3);
    let written = serde_json::to_value(&object).unwrap();
    assert_eq!(written["spec"]["ports"][1]["protocol"], "MONGO");
    let again: ServiceEntry = serde_json::from_value(written).unwrap();
    assert_eq!(again, object);
}

#[test]
fn what_users_write_is_taken() {
    for fields in [
        "resolution: DNS",
        "resolution: DNS, endpoints: [{address: a.example.com}, {address: 192.0.2.1}]",
        "resolution: DNS_ROUND_ROBIN",
        "resolution: NONE, addresses: [192.0.2.0/24]",
        "resolution: STATIC, workloadSelector: {labels: {app: db}}",
        "location: MESH_EXTERNAL",
    ] {
        entry(fields).unwrap_or_else(|wrong| panic!("{fields}: {wrong:?}"));
    }
    for spec in [
        "{hosts: ['*.example.com'], ports: [{number: 443, name: t, protocol: TLS}], resolution: NONE}",
        "{hosts: ['*.example.com'], ports: [{number: 443, name: t}], resolution: DYNAMIC_DNS}",
    ] {
        read(spec).unwrap_or_else(|wrong| panic!("{spec}: {wrong:?}"));
    }
}

#[test]
fn what_is_wrong_is_named_with_its_field() {
    for (fields, field) in [
        ("resolutoin: DNS", "spec.resolutoin"),
        ("resolution: LATER", "spec.resolution"),
        (
            "resolution: DNS, addresses: [192.0.2.0/24]",
            "spec.addresses[0]",
        ),
        ("addresses: [nowhere]", "spec.addresses[0]"),
        ("endpoints: [{address: 192.0.2.1}]", "spec.endpoints"),
        ("resolution: STATIC", "spec.endpoints"),
        (
            "resolution: STATIC, endpoints: [{address: a.example.com}]",
            "spec.endpoints[0].address",
        ),
        (
            "resolution: DNS, endpoints: [{address: 'unix:///s'}]",
            "spec.endpoints[0].address",
        ),
        (
            "resolution: STATIC, endpoints: [{address: 192.0.2.1, ports: {x: 1}}]",
            "spec.endpoints[0].ports",
        ),
        (
            "resolution: DNS_ROUND_ROBIN, endpoints: [{address: 192.0.2.1}, {address: 192.0.2.2}]",
            "spec.endpoints",
        ),
        (
            "resolution: STATIC, endpoints: [{address: 192.0.2.1}], workloadSelector: {labels: {a: b}}",
            "spec.workloadSelector",
        ),
        (
            "resolution: STATIC, workloadSelector: {}",
            "spec.workloadSelector",
        ),
        ("exportTo: ['no good']", "spec.exportTo[0]"),
    ] {
        let (found, what) = entry(fields).expect_err(fields);
        assert!(found.starts_with(field), "{fields}: {found}: {what}");
    }
    let port = "number: 80, name: web";
    for (spec, field) in [
        (format!("{{hosts: [], ports: [{{{port}}}]}}"), "spec.hosts"),
        (
            format!("{{hosts: ['*'], ports: [{{{port}}}]}}"),
            "spec.hosts[0]",
        ),
        (
            format!("{{hosts: ['*.a'], resolution: DNS, ports: [{{{port}}}]}}"),
            "spec.hosts[0]",
        ),
        (
            format!("{{hosts: [a], resolution: DYNAMIC_DNS, ports: [{{{port}}}]}}"),
            "spec.hosts[0]",
        ),
        ("{hosts: [a]}".to_owned(), "spec.ports"),
        (
            format!("{{hosts: [a], ports: [{{{port}}}, {{{port}}}]}}"),
            "spec.ports[1]",
        ),
        (
            format!("{{hosts: [a], ports: [{{{port}, targetPort: 8080}}]}}"),
            "spec.ports[0].targetPort",
        ),
        (
            format!("{{hosts: [a], ports: [{{{port}, protocol: UDP}}]}}"),
            "spec.ports[0].protocol",
        ),
        (
            "{hosts: [a], ports: [{number: 0, name: x}]}".to_owned(),
            "spec.ports[0].number",
        ),
        (
            "{hosts: [a], ports: [{number: 1, name: 'x y'}]}".to_owned(),
            "spec.ports[0].name",
        ),
    ] {
        let (found, what) = read(&spec).expect_err(&spec);
        assert!(found.starts_with(field), "{spec}: {found}: {what}");
    }
}
