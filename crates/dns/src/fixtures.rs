//! Packets and services for this package's tests.

use ambit_model::{
    Change, IpFamilies, LoadBalancing, Mesh, NetworkAddress, Service, ServiceName, Visibility,
};

/// The client's size of answers, version and flags.
pub(crate) const EDNS: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];

/// A question of class `IN` with the number 0x1234 that wants to be followed up.
pub(crate) fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    packet.extend(labels(name));
    packet.extend(kind.to_be_bytes());
    packet.extend([0, 1]);
    packet
}

/// The same with a record of the client about itself.
pub(crate) fn with_edns(name: &str, kind: u16, size: u16) -> Vec<u8> {
    let mut packet = question(name, kind);
    packet[11] = 1;
    packet.extend(EDNS);
    let at = packet.len() - 8;
    packet[at..at + 2].copy_from_slice(&size.to_be_bytes());
    packet
}

/// A name as it travels.
pub(crate) fn labels(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}

/// A record.
pub(crate) fn record(name: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = name.to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend(ttl.to_be_bytes());
    bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    bytes.extend(data);
    bytes
}

/// The answer to a question, with these records.
pub(crate) fn answered(question: &[u8], records: &[Vec<u8>]) -> Vec<u8> {
    let mut packet = question.to_vec();
    packet[2] |= 0x80;
    packet[7] = u8::try_from(records.len()).unwrap();
    packet.extend(records.iter().flatten());
    packet
}

/// A service of this host name with addresses such as `10.0.0.1/32`.
pub(crate) fn service(namespace: &str, host: &str, vips: &[&str]) -> Service {
    let vip = |text: &&str| {
        let (address, length) = text.split_once('/').unwrap();
        let address = NetworkAddress {
            network: "".into(),
            address: address.parse().unwrap(),
        };
        (address, length.parse().unwrap())
    };
    Service {
        name: ServiceName::new(namespace, host),
        short_name: host.into(),
        vips: vips.iter().map(vip).collect(),
        ports: Vec::new(),
        subject_alt_names: Vec::new(),
        waypoint: None,
        load_balancing: LoadBalancing::default(),
        ip_families: IpFamilies::default(),
        traffic: None,
        authentications: Vec::new(),
        visibility: Visibility::Everyone,
        canonical: true,
        dynamic: false,
    }
}

/// A mesh with these services.
pub(crate) fn mesh(services: Vec<Service>) -> Mesh {
    let mut mesh = Mesh::default();
    for service in services {
        mesh.apply(Change::PutService(service.into()));
    }
    mesh
}
