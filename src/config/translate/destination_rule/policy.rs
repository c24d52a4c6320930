//! A traffic policy in the model's terms.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_model::{
    Balancing, ConnectionPolicy, HashKey, HashPolicy, HashTable, HttpVersion, LocalityPolicy,
    OutlierPolicy, PortPolicies, RetryShare,
};

use super::keepalive::keepalive;
use super::tls::{Towards, outside};
use crate::config::objects::destination_rule::balancing::{
    ConsistentHash, HttpCookie, LoadBalancer, LocalityLbSetting, Simple,
};
use crate::config::objects::destination_rule::policy::{
    ConnectionPool, OutlierDetection, PortPolicy, RetryBudget, Tls, TrafficPolicy, UpgradePolicy,
};
use crate::config::objects::virtual_service::values::Span;

/// Points of a ring, and entries of a table, that nobody has asked for: Envoy's.
const RING: u32 = 1024;
const TABLE: u32 = 65_537;

/// What holds for a part of a service with these ports: its policy over that of the whole.
pub(super) fn policies(
    whole: Option<&TrafficPolicy>,
    part: Option<&TrafficPolicy>,
    served: &BTreeSet<u16>,
    towards: Towards,
) -> PortPolicies {
    let both = || whole.into_iter().chain(part);
    let named = both().flat_map(|policy| &policy.port_level_settings);
    let named = named.filter_map(number);
    let ports: BTreeSet<u16> = named.filter(|port| served.contains(port)).collect();
    let on = |port: Option<u16>| {
        let nothing = Parts::default();
        let whole = whole.map_or(nothing, |policy| nothing.under(policy, port));
        let fields = part.map_or(whole, |policy| whole.under(policy, port));
        fields.policy(towards)
    };
    PortPolicies {
        any: on(None),
        ports: ports
            .into_iter()
            .map(|port| (port, on(Some(port))))
            .collect(),
    }
}

fn number(port: &PortPolicy) -> Option<u16> {
    port.port.map(|port| port.number.number())
}

/// The fields of a policy, each a whole.
#[derive(Clone, Copy, Default)]
struct Parts<'a> {
    balancer: Option<&'a LoadBalancer>,
    pool: Option<&'a ConnectionPool>,
    outliers: Option<&'a OutlierDetection>,
    budget: Option<&'a RetryBudget>,
    tls: Option<&'a Tls>,
}

impl<'a> Parts<'a> {
    /// With a policy over it, as it is on a port.
    fn under(self, policy: &'a TrafficPolicy, port: Option<u16>) -> Self {
        let over = Self {
            balancer: policy.load_balancer.as_ref().or(self.balancer),
            pool: policy.connection_pool.as_ref().or(self.pool),
            outliers: policy.outlier_detection.as_ref().or(self.outliers),
            budget: policy.retry_budget.as_ref().or(self.budget),
            tls: policy.tls.as_ref().or(self.tls),
        };
        let mut ports = policy.port_level_settings.iter();
        // What a port does not say is not taken over: it is as if nobody had said it.
        match ports.find(|own| port.is_some() && number(own) == port) {
            None => over,
            Some(own) => Self {
                balancer: own.load_balancer.as_ref(),
                pool: own.connection_pool.as_ref(),
                outliers: own.outlier_detection.as_ref(),
                budget: over.budget,
                tls: own.tls.as_ref(),
            },
        }
    }

    fn policy(self, towards: Towards) -> ambit_model::TrafficPolicy {
        let balancer = self.balancer;
        let setting = balancer.and_then(|balancer| balancer.locality_lb_setting.as_ref());
        let outliers = self.outliers.map(outliers);
        // With detection, and nothing said of localities, Istio goes by locality.
        let detects = outliers.is_some().then(LocalityPolicy::default);
        ambit_model::TrafficPolicy {
            balancing: balancer.and_then(balancing),
            locality: setting.map(locality).or(detects),
            warm_up: balancer.and_then(warm_up),
            connections: connections(self.pool, self.budget),
            outliers,
            // Within the mesh it is the mesh's.
            tls: match towards {
                Towards::Mesh => None,
                Towards::Outside => self.tls.and_then(outside),
            },
        }
    }
}

fn balancing(balancer: &LoadBalancer) -> Option<Balancing> {
    if let Some(hash) = &balancer.consistent_hash {
        return Some(match hash_key(hash) {
            Some(by) => Balancing::Hash(HashPolicy {
                by,
                table: hash_table(hash),
            }),
            None => Balancing::Random,
        });
    }
    match balancer.simple? {
        Simple::Unspecified => None,
        Simple::LeastConn | Simple::LeastRequest | Simple::Passthrough => {
            Some(Balancing::LeastRequest)
        }
        Simple::Random => Some(Balancing::Random),
        Simple::RoundRobin => Some(Balancing::RoundRobin),
    }
}

/// What of a request is hashed; none if nothing is, so that chance decides.
pub(super) fn hash_key(hash: &ConsistentHash) -> Option<HashKey> {
    let by_header = hash.http_header_name.as_ref().map(|name| {
        let name = name.to_ascii_lowercase();
        HashKey::Header(name.into())
    });
    let by_cookie = || hash.http_cookie.as_ref().map(cookie);
    let by_address = || {
        hash.use_source_ip
            .filter(|uses| *uses)
            .map(|_| HashKey::SourceIp)
    };
    let by_query = || hash.http_query_parameter_name.clone().map(HashKey::Query);
    by_header
        .or_else(by_cookie)
        .or_else(by_address)
        .or_else(by_query)
}

fn cookie(cookie: &HttpCookie) -> HashKey {
    let text = |text: &Option<Arc<str>>| text.clone().unwrap_or_else(|| "".into());
    let attributes = cookie.attributes.iter();
    HashKey::Cookie {
        name: text(&cookie.name),
        path: text(&cookie.path),
        ttl: cookie.ttl.map(Span::length),
        attributes: attributes
            .map(|one| (text(&one.name), text(&one.value)))
            .collect(),
    }
}

fn hash_table(hash: &ConsistentHash) -> HashTable {
    let size = |given: Option<u64>, default| {
        let given = given.filter(|size| *size > 0);
        given.map_or(default, |size| u32::try_from(size).unwrap_or(u32::MAX))
    };
    match (&hash.maglev, &hash.ring_hash) {
        (Some(maglev), _) => HashTable::Maglev(size(maglev.table_size, TABLE)),
        (None, ring) => {
            let ring = ring.as_ref().and_then(|ring| ring.minimum_ring_size);
            HashTable::Ring(size(ring.or(hash.minimum_ring_size), RING))
        }
    }
}

fn warm_up(balancer: &LoadBalancer) -> Option<std::time::Duration> {
    let warmup = balancer.warmup.as_ref();
    let warmup = warmup.and_then(|warmup| warmup.duration);
    warmup.or(balancer.warmup_duration_secs)?.limit()
}

fn locality(setting: &LocalityLbSetting) -> LocalityPolicy {
    let distribute = setting.distribute.iter();
    let failover = setting.failover.iter();
    LocalityPolicy {
        disabled: setting.enabled == Some(false),
        distribute: distribute
            .map(|one| (Arc::clone(&one.from), one.to.clone()))
            .collect(),
        failover: failover
            .map(|one| (Arc::clone(&one.from), Arc::clone(&one.to)))
            .collect(),
        priority: setting.failover_priority.clone(),
    }
}

/// A number of 0 is none, as in Istio.
fn connections(pool: Option<&ConnectionPool>, budget: Option<&RetryBudget>) -> ConnectionPolicy {
    let (tcp, http) = (
        pool.and_then(|pool| pool.tcp.as_ref()),
        pool.and_then(|pool| pool.http.as_ref()),
    );
    let bound = |number: Option<u32>| number.filter(|number| *number > 0);
    ConnectionPolicy {
        connections: bound(tcp.and_then(|tcp| tcp.max_connections)),
        pending: bound(http.and_then(|http| http.http1_max_pending_requests)),
        requests: bound(http.and_then(|http| http.http2_max_requests)),
        retries: bound(http.and_then(|http| http.max_retries)),
        retry_share: budget.map(retry_share),
        requests_each: bound(http.and_then(|http| http.max_requests_per_connection)),
        streams_each: bound(http.and_then(|http| http.max_concurrent_streams)),
        connect_timeout: tcp.and_then(|tcp| tcp.connect_timeout?.limit()),
        idle_timeout: http.and_then(|http| http.idle_timeout?.limit()),
        silence: tcp.and_then(|tcp| Some(tcp.idle_timeout?.length())),
        lifetime: tcp.and_then(|tcp| tcp.max_connection_duration?.limit()),
        keepalive: tcp
            .and_then(|tcp| tcp.tcp_keepalive.as_ref())
            .map(keepalive),
        http: match http {
            Some(http) if http.use_client_protocol => HttpVersion::OfClient,
            Some(http) if http.h2_upgrade_policy == Some(UpgradePolicy::Upgrade) => {
                HttpVersion::Http2
            }
            _ => HttpVersion::OfPort,
        },
    }
}

/// Of a hundred requests twenty, and three at least, if nothing else is said: Istio's.
fn retry_share(budget: &RetryBudget) -> RetryShare {
    let percent = budget.percent.as_ref().and_then(serde_json::Number::as_f64);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to a hundred"
    )]
    let percent = percent.map_or(20, |percent| percent.clamp(0.0, 100.0).round() as u32);
    RetryShare {
        percent,
        minimum: budget.min_retry_concurrency.unwrap_or(3),
    }
}

/// What is absent, or 0 of what cannot be that, is as in Istio.
fn outliers(given: &OutlierDetection) -> OutlierPolicy {
    let default = OutlierPolicy::default();
    let span = |span: Option<Span>, default| span.and_then(Span::limit).unwrap_or(default);
    OutlierPolicy {
        consecutive_5xx: given.consecutive_5xx.unwrap_or(default.consecutive_5xx),
        consecutive_gateway: given
            .consecutive_gateway
            .or_else(|| given.consecutive.filter(|number| *number > 0))
            .unwrap_or(default.consecutive_gateway),
        split_local_origin: given.split_local_origin,
        consecutive_local_origin: given
            .consecutive_local_origin
            .filter(|number| *number > 0)
            .unwrap_or(default.consecutive_local_origin),
        interval: span(given.interval, default.interval),
        base_ejection_time: span(given.base_ejection_time, default.base_ejection_time),
        max_ejection_percent: match given.max_ejection_percent {
            0 => default.max_ejection_percent,
            percent => percent,
        },
        min_health_percent: given.min_health_percent,
    }
}
