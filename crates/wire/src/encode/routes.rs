//! Routes of a service: a frame, and in pieces what there may be thousands of.

use ambit_model::{HttpRoutes, PortRoutes, RouteList, ServiceRoutes};
use bytes::Bytes;
use serde::Serialize;

use crate::waypoint;

/// The message that stands for the routes of a service.
pub fn routes_to_wire(routes: &ServiceRoutes) -> waypoint::ServiceRoutes {
    waypoint::ServiceRoutes {
        frame: piece(&frame(routes)),
        http: routes.http_lists().map(list).collect(),
    }
}

/// The same without what is in its lists for requests.
fn frame(routes: &ServiceRoutes) -> ServiceRoutes {
    let of_port = |port: &PortRoutes| PortRoutes {
        producer: port.producer.as_ref().map(frame_of_list),
        consumers: port
            .consumers
            .iter()
            .map(|(namespace, list)| (namespace.clone(), frame_of_list(list)))
            .collect(),
    };
    let ports = routes.ports.iter();
    ServiceRoutes {
        service: routes.service.clone(),
        ports: ports
            .map(|(number, port)| (*number, of_port(port)))
            .collect(),
    }
}

fn frame_of_list(list: &RouteList) -> RouteList {
    match list {
        RouteList::Http(_) => RouteList::Http(HttpRoutes::default()),
        RouteList::Tls(_) | RouteList::Tcp(_) => list.clone(),
    }
}

fn list(http: &HttpRoutes) -> waypoint::HttpRoutes {
    waypoint::HttpRoutes {
        rules: http.rules.iter().map(|rule| piece(&**rule)).collect(),
        matches: http.matches.iter().map(|one| piece(&*one.when)).collect(),
        leads_to: http.matches.iter().map(|one| one.rule).collect(),
    }
}

fn piece(part: &impl Serialize) -> Bytes {
    // No type of the model has a map whose keys are not texts or numbers: this does not fail.
    serde_json::to_vec(part).unwrap_or_default().into()
}
