//! The cases: policies, and what becomes of requests under them.

/// The server's answer.
pub(super) const ALLOWED: u16 = 200;
/// Ours.
pub(super) const DENIED: u16 = 403;
/// A request that has more than one reading.
const MALFORMED: u16 = 400;

/// Some policies, and what they make of requests and connections.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Namespace, annotations and spec of each.
    pub(super) policies: &'static [(&'static str, &'static str, &'static str)],
    /// Who asks, the lines of a head, and the status.
    pub(super) asks: &'static [(&'static str, &'static str, u16)],
    /// Who connects to a port that is not HTTP, and whether that is served.
    pub(super) connections: &'static [(&'static str, bool)],
}

const fn case(
    name: &'static str,
    policies: &'static [(&'static str, &'static str, &'static str)],
    asks: &'static [(&'static str, &'static str, u16)],
) -> Case {
    Case {
        name,
        policies,
        asks,
        connections: &[],
    }
}

/// The cases.
pub(super) const CASES: &[Case] = &[
    case(
        "methods",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, rules: [{to: [{operation: {methods: [GET, HEAD]}}]}]",
        )],
        &[
            ("client", "GET / HTTP/1.1\r\nHost: server", ALLOWED),
            (
                "client",
                "POST / HTTP/1.1\r\nHost: server\r\nContent-Length: 0",
                DENIED,
            ),
        ],
    ),
    case(
        "not-methods",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, action: DENY, rules: [{to: [{operation: {notMethods: [GET]}}]}]",
        )],
        &[
            ("client", "GET / HTTP/1.1\r\nHost: server", ALLOWED),
            ("client", "DELETE / HTTP/1.1\r\nHost: server", DENIED),
        ],
    ),
    case(
        "method-override",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, action: DENY, rules: [{to: [{operation: {methods: [DELETE]}}]}]",
        )],
        &[
            (
                "client",
                "DELETE / HTTP/1.1\r\nHost: server\r\nX-HTTP-Method-Override: GET",
                DENIED,
            ),
            (
                "client",
                "DELETE / HTTP/1.1\r\nHost: server\r\nX-HTTP-Method: GET",
                DENIED,
            ),
            ("client", "GET / HTTP/1.1\r\nHost: server", ALLOWED),
        ],
    ),
    case(
        "paths",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, rules: [{to: [{operation: {paths: [/exact, /below/*, '*.css']}}]}]",
        )],
        &[
            ("client", "GET /exact HTTP/1.1\r\nHost: server", ALLOWED),
            (
                "client",
                "GET /exact?q=/x HTTP/1.1\r\nHost: server",
                ALLOWED,
            ),
            ("client", "GET /exact/ HTTP/1.1\r\nHost: server", DENIED),
            ("client", "GET /below/a/b HTTP/1.1\r\nHost: server", ALLOWED),
            ("client", "GET /below HTTP/1.1\r\nHost: server", DENIED),
            ("client", "GET /a/b.css HTTP/1.1\r\nHost: server", ALLOWED),
            (
                "client",
                "GET /a/b.js?x=.css HTTP/1.1\r\nHost: server",
                DENIED,
            ),
            ("client", "GET /EXACT HTTP/1.1\r\nHost: server", DENIED),
        ],
    ),
    case(
        "templates",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, rules: [{to: [{operation: {paths: ['/orders/{*}/items', '/files/{**}']}}]}]",
        )],
        &[
            (
                "client",
                "GET /orders/7/items HTTP/1.1\r\nHost: server",
                ALLOWED,
            ),
            (
                "client",
                "GET /orders/7/8/items HTTP/1.1\r\nHost: server",
                DENIED,
            ),
            (
                "client",
                "GET /orders//items HTTP/1.1\r\nHost: server",
                DENIED,
            ),
            (
                "client",
                "GET /files/a/b/c HTTP/1.1\r\nHost: server",
                ALLOWED,
            ),
        ],
    ),
    case(
        "path-tricks",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, action: DENY, rules: [{to: [{operation: {paths: [/admin, /admin/*]}}]}]",
        )],
        &[
            ("client", "GET /admin HTTP/1.1\r\nHost: server", DENIED),
            ("client", "GET /%61dmin HTTP/1.1\r\nHost: server", DENIED),
            ("client", "GET /x/../admin HTTP/1.1\r\nHost: server", DENIED),
            (
                "client",
                "GET /x/%2e%2e/admin HTTP/1.1\r\nHost: server",
                DENIED,
            ),
            ("client", "GET /./admin HTTP/1.1\r\nHost: server", DENIED),
            (
                "client",
                "GET /%2e/admin/x HTTP/1.1\r\nHost: server",
                DENIED,
            ),
            ("client", "GET /admin?x HTTP/1.1\r\nHost: server", DENIED),
            (
                "client",
                "GET http://server/admin HTTP/1.1\r\nHost: server",
                DENIED,
            ),
            (
                "client",
                "GET http://server/x/../admin HTTP/1.1\r\nHost: server",
                DENIED,
            ),
            // These are other paths, for the server too, which is sent what was judged.
            (
                "client",
                "GET /x/..;/admin HTTP/1.1\r\nHost: server",
                ALLOWED,
            ),
            ("client", "GET //admin HTTP/1.1\r\nHost: server", ALLOWED),
            ("client", "GET /Admin HTTP/1.1\r\nHost: server", ALLOWED),
        ],
    ),
    case(
        "path-tricks-allow",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, rules: [{to: [{operation: {paths: [/public/*]}}]}]",
        )],
        &[
            ("client", "GET /public/a HTTP/1.1\r\nHost: server", ALLOWED),
            (
                "client",
                "GET /public/../admin HTTP/1.1\r\nHost: server",
                DENIED,
            ),
            (
                "client",
                "GET /public/%2e%2e/admin HTTP/1.1\r\nHost: server",
                DENIED,
            ),
            (
                "client",
                "GET /public\\..\\admin HTTP/1.1\r\nHost: server",
                DENIED,
            ),
            ("client", "GET //public/a HTTP/1.1\r\nHost: server", DENIED),
            ("client", "GET /x?/public/ HTTP/1.1\r\nHost: server", DENIED),
        ],
    ),
    case(
        "hosts",
        &[(
            "shop",
            "",
            "targetRefs: [{kind: Service, group: '', name: server}], rules: [{to: [{operation: {hosts: [server, '*.example.com']}}]}]",
        )],
        &[
            ("client", "GET / HTTP/1.1\r\nHost: server", ALLOWED),
            ("client", "GET / HTTP/1.1\r\nHost: SERVER", ALLOWED),
            ("client", "GET / HTTP/1.1\r\nHost: server:80", ALLOWED),
            ("client", "GET / HTTP/1.1\r\nHost: a.Example.Com", ALLOWED),
            ("client", "GET / HTTP/1.1\r\nHost: other", DENIED),
            ("client", "GET / HTTP/1.1\r\nHost: server.", DENIED),
            (
                "client",
                "GET http://other/ HTTP/1.1\r\nHost: server",
                DENIED,
            ),
        ],
    ),
    case(
        "host-tricks",
        &[(
            "shop",
            "",
            "targetRefs: [{kind: Service, group: '', name: server}], action: DENY, rules: [{to: [{operation: {hosts: [inner]}}]}]",
        )],
        &[
            ("client", "GET / HTTP/1.1\r\nHost: inner", DENIED),
            ("client", "GET / HTTP/1.1\r\nHost: InNeR:8080", DENIED),
            (
                "client",
                "GET http://inner/ HTTP/1.1\r\nHost: server",
                DENIED,
            ),
            (
                "client",
                "GET / HTTP/1.1\r\nHost: server\r\nX-Forwarded-Host: inner",
                ALLOWED,
            ),
            (
                "client",
                "GET / HTTP/1.1\r\nHost: server\r\nHost: inner",
                MALFORMED,
            ),
        ],
    ),
    case(
        "headers",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, rules: [{when: [{key: 'request.headers[x-team]', values: [blue, 'green*']}]}]",
        )],
        &[
            (
                "client",
                "GET / HTTP/1.1\r\nHost: server\r\nX-Team: blue",
                ALLOWED,
            ),
            (
                "client",
                "GET / HTTP/1.1\r\nHost: server\r\nx-team: green-1",
                ALLOWED,
            ),
            (
                "client",
                "GET / HTTP/1.1\r\nHost: server\r\nx-team: red",
                DENIED,
            ),
            ("client", "GET / HTTP/1.1\r\nHost: server", DENIED),
            (
                "client",
                "GET / HTTP/1.1\r\nHost: server\r\nx-team: Blue",
                DENIED,
            ),
            (
                "client",
                "GET / HTTP/1.1\r\nHost: server\r\nx-team: red\r\nx-team: blue",
                DENIED,
            ),
        ],
    ),
    case(
        "header-tricks",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, action: DENY, rules: [{when: [{key: 'request.headers[x-role]', values: [root, 'root,*', '*,root']}]}]",
        )],
        &[
            (
                "client",
                "GET / HTTP/1.1\r\nHost: server\r\nX-ROLE: root",
                DENIED,
            ),
            (
                "client",
                "GET / HTTP/1.1\r\nHost: server\r\nx-role:   root  ",
                DENIED,
            ),
            (
                "client",
                "GET / HTTP/1.1\r\nHost: server\r\nx-role: user\r\nx-role: root",
                DENIED,
            ),
            (
                "client",
                "GET / HTTP/1.1\r\nHost: server\r\nx-role: root\r\nx-role: user",
                DENIED,
            ),
            (
                "client",
                "GET / HTTP/1.1\r\nHost: server\r\nx-role: user",
                ALLOWED,
            ),
        ],
    ),
    case(
        "header-absent",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, action: DENY, rules: [{when: [{key: 'request.headers[x-signed]', notValues: ['*']}]}]",
        )],
        &[
            (
                "client",
                "GET / HTTP/1.1\r\nHost: server\r\nx-signed: yes",
                ALLOWED,
            ),
            (
                "client",
                "GET / HTTP/1.1\r\nHost: server\r\nx-signed:",
                DENIED,
            ),
            ("client", "GET / HTTP/1.1\r\nHost: server", DENIED),
            (
                "client",
                "GET / HTTP/1.1\r\nHost: server\r\nx-signed: yes\r\nConnection: x-signed",
                DENIED,
            ),
        ],
    ),
    case(
        "principals",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}], to: [{operation: {methods: [GET]}}]}]",
        )],
        &[
            ("client", "GET / HTTP/1.1\r\nHost: server", ALLOWED),
            ("other", "GET / HTTP/1.1\r\nHost: server", DENIED),
            (
                "client",
                "POST / HTTP/1.1\r\nHost: server\r\nContent-Length: 0",
                DENIED,
            ),
            (
                "other",
                "GET / HTTP/1.1\r\nHost: server\r\nX-Forwarded-Client-Cert: URI=spiffe://cluster.local/ns/shop/sa/client",
                DENIED,
            ),
        ],
    ),
    case(
        "service-accounts",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, rules: [{from: [{source: {serviceAccounts: [other]}}], to: [{operation: {paths: [/a]}}]}]",
        )],
        &[
            ("other", "GET /a HTTP/1.1\r\nHost: server", ALLOWED),
            ("client", "GET /a HTTP/1.1\r\nHost: server", DENIED),
        ],
    ),
    case(
        "namespaces",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, action: DENY, rules: [{from: [{source: {notNamespaces: [shop]}}], to: [{operation: {paths: ['*']}}]}, {from: [{source: {namespaces: [shop]}}], to: [{operation: {paths: [/x]}}]}]",
        )],
        &[
            ("client", "GET /a HTTP/1.1\r\nHost: server", ALLOWED),
            ("client", "GET /x HTTP/1.1\r\nHost: server", DENIED),
        ],
    ),
    case(
        "ip-blocks",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, rules: [{from: [{source: {ipBlocks: [CLIENT_IP]}}], to: [{operation: {methods: [GET]}}]}]",
        )],
        &[
            ("client", "GET / HTTP/1.1\r\nHost: server", ALLOWED),
            ("other", "GET / HTTP/1.1\r\nHost: server", DENIED),
            (
                "other",
                "GET / HTTP/1.1\r\nHost: server\r\nX-Forwarded-For: CLIENT_IP",
                DENIED,
            ),
        ],
    ),
    case(
        "remote-ip",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, rules: [{from: [{source: {remoteIpBlocks: [CLIENT_IP]}}]}]",
        )],
        &[
            ("client", "GET / HTTP/1.1\r\nHost: server", ALLOWED),
            (
                "other",
                "GET / HTTP/1.1\r\nHost: server\r\nX-Forwarded-For: 10.0.0.1",
                DENIED,
            ),
        ],
    ),
    case(
        "ports-of-pods",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, rules: [{to: [{operation: {ports: ['8080'], methods: [GET]}}]}]",
        )],
        &[
            ("client", "GET / HTTP/1.1\r\nHost: server", ALLOWED),
            (
                "client",
                "POST / HTTP/1.1\r\nHost: server\r\nContent-Length: 0",
                DENIED,
            ),
        ],
    ),
    case(
        "ports-of-services",
        &[(
            "shop",
            "",
            "targetRefs: [{kind: Service, group: '', name: server}], rules: [{to: [{operation: {ports: ['80'], methods: [GET]}}]}]",
        )],
        &[
            ("client", "GET / HTTP/1.1\r\nHost: server", ALLOWED),
            (
                "client",
                "POST / HTTP/1.1\r\nHost: server\r\nContent-Length: 0",
                DENIED,
            ),
        ],
    ),
    case(
        "deny-before-allow",
        &[
            (
                "shop",
                "",
                "selector: {matchLabels: {app: server}}, rules: [{to: [{operation: {paths: ['/a*']}}]}]",
            ),
            (
                "shop",
                "",
                "selector: {matchLabels: {app: server}}, action: DENY, rules: [{to: [{operation: {paths: [/ab]}}]}]",
            ),
        ],
        &[
            ("client", "GET /a HTTP/1.1\r\nHost: server", ALLOWED),
            ("client", "GET /ab HTTP/1.1\r\nHost: server", DENIED),
            ("client", "GET /b HTTP/1.1\r\nHost: server", DENIED),
        ],
    ),
    case(
        "one-allow-of-several",
        &[
            (
                "shop",
                "",
                "selector: {matchLabels: {app: server}}, rules: [{to: [{operation: {paths: [/a]}}]}]",
            ),
            ("shop", "", "rules: [{to: [{operation: {paths: [/b]}}]}]"),
        ],
        &[
            ("client", "GET /a HTTP/1.1\r\nHost: server", ALLOWED),
            ("client", "GET /b HTTP/1.1\r\nHost: server", ALLOWED),
            ("client", "GET /c HTTP/1.1\r\nHost: server", DENIED),
        ],
    ),
    case(
        "empty-allow",
        &[("shop", "", "selector: {matchLabels: {app: server}}")],
        &[("client", "GET / HTTP/1.1\r\nHost: server", DENIED)],
    ),
    case(
        "allow-everything",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, rules: [{}]",
        )],
        &[("client", "GET / HTTP/1.1\r\nHost: server", ALLOWED)],
    ),
    case(
        "target-service",
        &[(
            "shop",
            "",
            "targetRefs: [{kind: Service, group: '', name: server}], action: DENY, rules: [{to: [{operation: {paths: [/x]}}]}]",
        )],
        &[
            ("client", "GET /x HTTP/1.1\r\nHost: server", DENIED),
            ("client", "GET /y HTTP/1.1\r\nHost: server", ALLOWED),
        ],
    ),
    case(
        "target-gateway",
        &[(
            "shop",
            "",
            "targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: waypoint}], rules: [{from: [{source: {principals: ['*/sa/client']}}], to: [{operation: {methods: [GET]}}]}]",
        )],
        &[
            ("client", "GET / HTTP/1.1\r\nHost: server", ALLOWED),
            ("other", "GET / HTTP/1.1\r\nHost: server", DENIED),
        ],
    ),
    case(
        "target-class",
        &[(
            "istio-system",
            "",
            "targetRefs: [{kind: GatewayClass, group: gateway.networking.k8s.io, name: ambit-waypoint}], action: DENY, rules: [{to: [{operation: {paths: [/x]}}]}]",
        )],
        &[
            ("client", "GET /x HTTP/1.1\r\nHost: server", DENIED),
            ("client", "GET /y HTTP/1.1\r\nHost: server", ALLOWED),
        ],
    ),
    case(
        "both-places",
        &[
            (
                "shop",
                "",
                "targetRefs: [{kind: Service, group: '', name: server}], rules: [{to: [{operation: {methods: [GET]}}]}]",
            ),
            (
                "shop",
                "",
                "selector: {matchLabels: {app: server}}, rules: [{to: [{operation: {paths: [/a]}}]}]",
            ),
        ],
        &[
            ("client", "GET /a HTTP/1.1\r\nHost: server", ALLOWED),
            ("client", "GET /b HTTP/1.1\r\nHost: server", DENIED),
            (
                "client",
                "POST /a HTTP/1.1\r\nHost: server\r\nContent-Length: 0",
                DENIED,
            ),
        ],
    ),
    case(
        "root-namespace",
        &[(
            "istio-system",
            "",
            "action: DENY, rules: [{to: [{operation: {paths: [/x]}}], from: [{source: {serviceAccounts: [shop/client]}}]}]",
        )],
        &[
            ("client", "GET /x HTTP/1.1\r\nHost: server", DENIED),
            ("other", "GET /x HTTP/1.1\r\nHost: server", ALLOWED),
            ("client", "GET / HTTP/1.1\r\nHost: server", ALLOWED),
        ],
    ),
    case(
        "dry-run",
        &[(
            "shop",
            "istio.io/dry-run: 'true'",
            "selector: {matchLabels: {app: server}}, action: DENY, rules: [{to: [{operation: {paths: [/x]}}]}]",
        )],
        &[("client", "GET /x HTTP/1.1\r\nHost: server", ALLOWED)],
    ),
    case(
        "audit",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, action: AUDIT, rules: [{}]",
        )],
        &[("client", "GET / HTTP/1.1\r\nHost: server", ALLOWED)],
    ),
    case(
        "pseudo-headers",
        &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, rules: [{when: [{key: 'request.headers[:method]', values: [GET]}]}]",
        )],
        &[("client", "GET / HTTP/1.1\r\nHost: server", DENIED)],
    ),
    Case {
        name: "connections",
        policies: &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, rules: [{from: [{source: {serviceAccounts: [client]}}], to: [{operation: {ports: ['9000']}}, {operation: {methods: [GET]}}]}, {from: [{source: {serviceAccounts: [other]}}], to: [{operation: {methods: [GET]}}]}]",
        )],
        asks: &[
            ("client", "GET / HTTP/1.1\r\nHost: server", ALLOWED),
            ("other", "GET / HTTP/1.1\r\nHost: server", ALLOWED),
        ],
        // Whoever may send requests only may not connect otherwise. One rule with such a field passes over
        // connections as a whole.
        connections: &[("client", false), ("other", false)],
    },
    Case {
        name: "connections-denied",
        policies: &[(
            "shop",
            "",
            "selector: {matchLabels: {app: server}}, action: DENY, rules: [{from: [{source: {serviceAccounts: [other]}}], to: [{operation: {paths: [/x]}}]}]",
        )],
        asks: &[("other", "GET / HTTP/1.1\r\nHost: server", ALLOWED)],
        connections: &[("client", true), ("other", false)],
    },
];
