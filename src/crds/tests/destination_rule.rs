//! Places of the schema of destination rules, and the names that the types know there.

use std::collections::BTreeSet;

use super::names;
use crate::config::objects::destination_rule as dr;
use crate::config::objects::destination_rule::{balancing, policy};

type Pairs = Vec<(String, BTreeSet<String>)>;

pub(super) fn pairs() -> Pairs {
    let spec = "/properties/spec";
    let subset = format!("{spec}/properties/subsets/items");
    let mut pairs = vec![
        (spec.to_owned(), names::<dr::DestinationRuleSpec>()),
        (subset.clone(), names::<dr::Subset>()),
        (
            format!("{spec}/properties/workloadSelector"),
            names::<dr::ClientSelector>(),
        ),
    ];
    for place in [spec, &subset] {
        traffic_policy(&format!("{place}/properties/trafficPolicy"), &mut pairs);
    }
    pairs
}

fn traffic_policy(place: &str, pairs: &mut Pairs) {
    let at = |field: &str| format!("{place}/properties/{field}");
    pairs.push((place.to_owned(), names::<policy::TrafficPolicy>()));
    pairs.push((at("tunnel"), names::<policy::Tunnel>()));
    pairs.push((at("proxyProtocol"), names::<policy::ProxyProtocol>()));
    pairs.push((
        at("proxyProtocol/properties/version"),
        names::<policy::ProxyVersion>(),
    ));
    pairs.push((at("retryBudget"), names::<policy::RetryBudget>()));
    let port = at("portLevelSettings/items");
    pairs.push((
        format!("{port}/properties/port"),
        names::<policy::PortNumber>(),
    ));
    pairs.push((port.clone(), names::<policy::PortPolicy>()));
    for place in [place, &port] {
        part(place, pairs);
    }
}

fn part(place: &str, pairs: &mut Pairs) {
    let at = |field: &str| format!("{place}/properties/{field}");
    let mut add = |place: String, names: BTreeSet<String>| pairs.push((place, names));
    let balancer = at("loadBalancer");
    let of_balancer = |field: &str| format!("{balancer}/properties/{field}");
    add(of_balancer("simple"), names::<balancing::Simple>());
    add(of_balancer("warmup"), names::<balancing::Warmup>());
    let hash = of_balancer("consistentHash");
    let of_hash = |field: &str| format!("{hash}/properties/{field}");
    add(of_hash("httpCookie"), names::<balancing::HttpCookie>());
    let attributes = of_hash("httpCookie/properties/attributes/items");
    add(attributes, names::<balancing::CookieAttribute>());
    add(of_hash("ringHash"), names::<balancing::RingHash>());
    add(of_hash("maglev"), names::<balancing::Maglev>());
    add(hash, names::<balancing::ConsistentHash>());
    let locality = of_balancer("localityLbSetting");
    let of_locality = |field: &str| format!("{locality}/properties/{field}/items");
    add(of_locality("distribute"), names::<balancing::Distribute>());
    add(of_locality("failover"), names::<balancing::Failover>());
    add(locality, names::<balancing::LocalityLbSetting>());
    add(balancer, names::<balancing::LoadBalancer>());
    let pool = at("connectionPool");
    let of_pool = |field: &str| format!("{pool}/properties/{field}");
    add(
        of_pool("tcp/properties/tcpKeepalive"),
        names::<policy::Keepalive>(),
    );
    add(of_pool("tcp"), names::<policy::TcpPool>());
    add(
        of_pool("http/properties/h2UpgradePolicy"),
        names::<policy::UpgradePolicy>(),
    );
    add(of_pool("http"), names::<policy::HttpPool>());
    add(pool, names::<policy::ConnectionPool>());
    add(at("outlierDetection"), names::<policy::OutlierDetection>());
    add(at("tls/properties/mode"), names::<policy::TlsMode>());
    add(at("tls"), names::<policy::Tls>());
}
