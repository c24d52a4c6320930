use serde_json::json;

use super::*;

#[test]
fn of_probed_ports_there_are_only_so_many() {
    let container = |number: u16| {
        let port = json!({"port": number});
        json!({"name": format!("c{number}"), "readinessProbe": {"tcpSocket": port}})
    };
    let containers: Vec<_> = (1..=1000).map(container).collect();
    let pod = json!({"metadata": {"name": "many"}, "spec": {"containers": containers}});
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let ports = pod.probe_ports();
    assert_eq!((ports.len(), ports.last()), (256, Some(&256)));
}
