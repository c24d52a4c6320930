//! The schema of `DestinationRule`.

use super::Definition;
use super::schema::Schema;
use crate::config::objects::Kind;

/// Most subsets of one object.
const SUBSETS: u32 = 256;
/// Most ports with a policy of their own.
const PORTS: u32 = 4096;
/// Longest host name.
const HOST: u32 = 253;

pub(super) fn definition() -> Definition {
    Definition {
        kind: Kind::DestinationRule,
        singular: "destinationrule",
        short_name: "dr",
        column: Some(["Host", ".spec.host", "The service that it is for."]),
        spec: spec(),
    }
}

fn spec() -> Schema {
    let subset = Schema::object(
        "A part of the endpoints.",
        [
            (
                "name",
                Schema::text("By which routes name it.").with("minLength", 1),
            ),
            ("labels", texts("Labels that its endpoints have.")),
            (
                "trafficPolicy",
                traffic_policy("What holds for it, over what holds for all."),
            ),
        ],
    );
    let selector = Schema::object(
        "Clients that it is for; not supported.",
        [("matchLabels", texts("Labels that they have."))],
    );
    let host = Schema::text("The service that it is for.")
        .with("minLength", 1)
        .with("maxLength", HOST);
    Schema::object(
        "How requests to a service are spread over its endpoints, and bounded on the way.",
        [
            ("host", host),
            (
                "trafficPolicy",
                traffic_policy("What holds for all endpoints."),
            ),
            (
                "subsets",
                Schema::list(
                    "Parts of the endpoints.",
                    subset.with("required", vec!["name"]),
                )
                .with("maxItems", SUBSETS),
            ),
            (
                "exportTo",
                Schema::list(
                    "Namespaces of whose clients it holds: `.`, `*`, `~` or names.",
                    Schema::text(""),
                ),
            ),
            ("workloadSelector", selector),
        ],
    )
    .with("required", vec!["host"])
}

fn texts(description: &str) -> Schema {
    Schema::map(description, Schema::text(""))
}

fn count(description: &str) -> Schema {
    Schema::number(description).with("minimum", 0)
}

fn percent(description: &str) -> Schema {
    count(description).with("maximum", 100)
}

fn traffic_policy(description: &str) -> Schema {
    let port = Schema::object(
        "What holds on one port in the place of what holds on the others.",
        [
            (
                "port",
                Schema::object(
                    "Which port.",
                    [(
                        "number",
                        Schema::number("Its number.")
                            .with("minimum", 1)
                            .with("maximum", 65535),
                    )],
                )
                .with("required", vec!["number"]),
            ),
            ("loadBalancer", load_balancer()),
            ("connectionPool", connection_pool()),
            ("outlierDetection", outlier_detection()),
            ("tls", tls()),
        ],
    );
    let tunnel = Schema::object(
        "Not supported.",
        [
            ("protocol", Schema::text("")),
            ("targetHost", Schema::text("")),
            ("targetPort", count("")),
        ],
    );
    let proxy_protocol = Schema::object(
        "Not supported.",
        [("version", Schema::word("", &["V1", "V2"]))],
    );
    let retry_budget = Schema::object(
        "Retries as a share of requests.",
        [
            (
                "percent",
                Schema::share("Of a hundred requests in progress; 20 if absent."),
            ),
            (
                "minRetryConcurrency",
                count("However few these are; 3 if absent."),
            ),
        ],
    );
    Schema::object(
        description,
        [
            ("loadBalancer", load_balancer()),
            ("connectionPool", connection_pool()),
            ("outlierDetection", outlier_detection()),
            ("tls", tls()),
            (
                "portLevelSettings",
                Schema::list("By port.", port).with("maxItems", PORTS),
            ),
            ("tunnel", tunnel),
            ("proxyProtocol", proxy_protocol),
            ("retryBudget", retry_budget),
        ],
    )
}

fn load_balancer() -> Schema {
    let simple = Schema::word(
        "Which of the endpoints that are equally near.",
        &[
            "UNSPECIFIED",
            "LEAST_CONN",
            "RANDOM",
            "PASSTHROUGH",
            "ROUND_ROBIN",
            "LEAST_REQUEST",
        ],
    );
    let warmup = Schema::object(
        "How an endpoint that joins others comes to its share.",
        [
            ("duration", Schema::text("How long it takes.")),
            ("minimumPercent", percent("What it begins with; 10.")),
            (
                "aggression",
                Schema::share("How the share grows; 1.").with("maximum", 1_000_000),
            ),
        ],
    );
    Schema::object(
        "How endpoints are picked.",
        [
            ("simple", simple),
            ("consistentHash", consistent_hash()),
            ("localityLbSetting", locality()),
            (
                "warmupDurationSecs",
                Schema::text("The older form of warmup.duration."),
            ),
            ("warmup", warmup),
        ],
    )
}

fn consistent_hash() -> Schema {
    let attribute = Schema::object(
        "",
        [("name", Schema::text("")), ("value", Schema::text(""))],
    );
    let cookie = Schema::object(
        "A cookie that is hashed.",
        [
            ("name", Schema::text("Its name.")),
            ("path", Schema::text("Paths that it is for.")),
            (
                "ttl",
                Schema::text("How long one lives that is given to a client."),
            ),
            (
                "attributes",
                Schema::list("What else is said of that.", attribute),
            ),
        ],
    )
    .with("required", vec!["name"]);
    let ring = Schema::object(
        "Hashes are looked up on a ring.",
        [("minimumRingSize", count("Points that it has at least."))],
    );
    let maglev = Schema::object(
        "Hashes are looked up in a table.",
        [("tableSize", count("Its entries; a prime number."))],
    );
    Schema::object(
        "Endpoints by a hash of the request.",
        [
            ("httpHeaderName", Schema::text("Of a header's value.")),
            ("httpCookie", cookie),
            ("useSourceIp", Schema::truth("Of the client's address.")),
            (
                "httpQueryParameterName",
                Schema::text("Of a parameter's value."),
            ),
            ("ringHash", ring),
            ("maglev", maglev),
            (
                "minimumRingSize",
                count("The older form of ringHash.minimumRingSize."),
            ),
        ],
    )
}

fn locality() -> Schema {
    let distribute = Schema::object(
        "Parts of the requests from a locality.",
        [
            ("from", Schema::text("That locality.")),
            (
                "to",
                Schema::map("Localities with their parts of a hundred.", count("")),
            ),
        ],
    );
    let failover = Schema::object(
        "A region that goes before others.",
        [
            ("from", Schema::text("For this one.")),
            ("to", Schema::text("Which.")),
        ],
    );
    Schema::object(
        "Which endpoints are near.",
        [
            (
                "distribute",
                Schema::list("Parts of the requests by locality.", distribute),
            ),
            (
                "failover",
                Schema::list("Regions that go before others.", failover),
            ),
            (
                "failoverPriority",
                Schema::list(
                    "Labels that endpoints share, the most important first.",
                    Schema::text(""),
                ),
            ),
            ("enabled", Schema::truth("Whether there is a preference.")),
        ],
    )
}

fn connection_pool() -> Schema {
    let keepalive = Schema::object(
        "Probes on connections without a tunnel that are silent.",
        [
            (
                "probes",
                count("Without an answer, after which it is broken."),
            ),
            (
                "time",
                Schema::text("How long it is silent before the first."),
            ),
            ("interval", Schema::text("Between two.")),
        ],
    );
    let tcp = Schema::object(
        "Of connections.",
        [
            ("maxConnections", count("At once, to all endpoints.")),
            (
                "connectTimeout",
                Schema::text("How long making one may take."),
            ),
            ("tcpKeepalive", keepalive),
            (
                "maxConnectionDuration",
                Schema::text("How old a connection may become."),
            ),
            (
                "idleTimeout",
                Schema::text(
                    "After which a connection without a byte is ended that is no HTTP; 1h.",
                ),
            ),
        ],
    );
    let http = Schema::object(
        "Of requests.",
        [
            (
                "http1MaxPendingRequests",
                count("That wait for a connection."),
            ),
            ("http2MaxRequests", count("In flight.")),
            (
                "maxRequestsPerConnection",
                count("After which a connection takes no more."),
            ),
            ("maxRetries", count("At once.")),
            (
                "idleTimeout",
                Schema::text("After which a connection without a request is closed."),
            ),
            (
                "h2UpgradePolicy",
                Schema::word(
                    "Whether endpoints are spoken to by HTTP/2.",
                    &["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"],
                ),
            ),
            (
                "useClientProtocol",
                Schema::truth("Endpoints are spoken to as the client speaks."),
            ),
            (
                "maxConcurrentStreams",
                count("Requests at once on one connection of HTTP/2."),
            ),
        ],
    );
    Schema::object(
        "How much there may be at once, of each replica of a waypoint.",
        [("tcp", tcp), ("http", http)],
    )
}

fn outlier_detection() -> Schema {
    Schema::object(
        "When endpoints are ejected that fail requests one after the other.",
        [
            (
                "splitExternalLocalOriginErrors",
                Schema::truth("Whether what fails without an answer is counted by itself."),
            ),
            (
                "consecutiveLocalOriginFailures",
                count("So many of these; 5 if absent."),
            ),
            (
                "consecutiveErrors",
                count("Old form of consecutiveGatewayErrors."),
            ),
            (
                "consecutiveGatewayErrors",
                count("Answers of 502, 503 and 504; never if absent."),
            ),
            (
                "consecutive5xxErrors",
                count("Answers of 500 to 599; 5 if absent."),
            ),
            (
                "interval",
                Schema::text("How long to be well for to be forgiven one ejection; 10s."),
            ),
            (
                "baseEjectionTime",
                Schema::text("How long the first ejection takes; 30s."),
            ),
            (
                "maxEjectionPercent",
                percent("How many are ejected at most; 10."),
            ),
            (
                "minHealthPercent",
                percent("If fewer are left, ejections are ignored."),
            ),
        ],
    )
}

fn tls() -> Schema {
    let mode = Schema::word(
        "ISTIO_MUTUAL is what happens.",
        &["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"],
    );
    Schema::object(
        "TLS towards endpoints: that of the mesh; towards hosts outside as it is written here.",
        [
            ("mode", mode),
            ("clientCertificate", Schema::text("")),
            ("privateKey", Schema::text("")),
            ("caCertificates", Schema::text("")),
            ("credentialName", Schema::text("")),
            ("subjectAltNames", Schema::list("", Schema::text(""))),
            ("sni", Schema::text("")),
            ("insecureSkipVerify", Schema::truth("")),
            ("caCrl", Schema::text("")),
        ],
    )
}
