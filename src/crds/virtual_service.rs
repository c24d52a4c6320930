//! The schema of `VirtualService`.

use super::Definition;
use super::schema::Schema;
use crate::config::objects::Kind;

/// Most rules of one kind.
const RULES: u32 = 512;
/// Longest host name.
const HOST: u32 = 253;

pub(super) fn definition() -> Definition {
    Definition {
        kind: Kind::VirtualService,
        singular: "virtualservice",
        short_name: "vs",
        column: Some(["Hosts", ".spec.hosts", "Whose traffic it is for."]),
        spec: spec(),
    }
}

fn spec() -> Schema {
    let texts = |description| Schema::list(description, Schema::text(""));
    let rules = |description, rule: Schema| Schema::list(description, rule).with("maxItems", RULES);
    Schema::object(
        "Where traffic of services goes, and what happens to it on the way.",
        [
            ("hosts", texts("Whose traffic it is for.")),
            (
                "gateways",
                texts("Where it holds; `mesh` if absent, and nothing else here."),
            ),
            (
                "http",
                rules("For requests, the first that matches.", http()),
            ),
            (
                "tls",
                rules("For TLS connections that are passed through.", tls()),
            ),
            ("tcp", rules("For connections.", tcp())),
            (
                "exportTo",
                texts("Namespaces of whose clients it holds: `.`, `*`, `~` or names."),
            ),
        ],
    )
}

fn port(description: &str) -> Schema {
    Schema::number(description)
        .with("minimum", 1)
        .with("maximum", 65535)
}

fn weight() -> Schema {
    Schema::number("Its share of the rule's traffic.").with("minimum", 0)
}

fn duration(description: &str) -> Schema {
    Schema::text(description)
}

fn texts(description: &str) -> Schema {
    Schema::list(description, Schema::text(""))
}

fn string_match(description: &str) -> Schema {
    Schema::object(
        description,
        [
            ("exact", Schema::text("Equal.")),
            ("prefix", Schema::text("Begins with.")),
            (
                "regex",
                Schema::text("An expression (RE2) matches all of it."),
            ),
        ],
    )
}

fn string_matches(description: &str) -> Schema {
    Schema::map(description, string_match(""))
}

fn percentage(description: &str) -> Schema {
    let value = Schema::share("From 0 to 100.");
    Schema::object(description, [("value", value)])
}

fn destination(description: &str) -> Schema {
    let number = port("Its number.");
    Schema::object(
        description,
        [
            (
                "host",
                Schema::text("A service.")
                    .with("minLength", 1)
                    .with("maxLength", HOST),
            ),
            ("subset", Schema::text("A part of its endpoints.")),
            (
                "port",
                Schema::object("Its port.", [("number", number)]).with("required", vec!["number"]),
            ),
        ],
    )
    .with("required", vec!["host"])
}

fn http() -> Schema {
    let mirror = Schema::object(
        "A copy of requests.",
        [
            ("destination", destination("Where it goes.")),
            (
                "percentage",
                percentage("How many are copied; all if absent."),
            ),
        ],
    );
    let delegate = Schema::object(
        "Another one that says what becomes of these requests.",
        [
            ("name", Schema::text("Its name.")),
            ("namespace", Schema::text("Its namespace.")),
        ],
    );
    Schema::object(
        "",
        [
            ("name", Schema::text("Name of the rule, for logs.")),
            (
                "match",
                Schema::list("Any of these; none means every request.", http_match()),
            ),
            (
                "route",
                Schema::list("Where requests go, by weight.", weighted()),
            ),
            ("redirect", redirect()),
            ("directResponse", direct_response()),
            ("delegate", delegate.with("required", vec!["name"])),
            ("rewrite", rewrite()),
            ("timeout", duration("How long all of it may take.")),
            ("retries", retries()),
            ("fault", fault()),
            ("mirror", destination("Where a copy goes.")),
            (
                "mirrors",
                Schema::list("Copies.", mirror.with("required", vec!["destination"])),
            ),
            (
                "mirrorPercent",
                Schema::number("Old form of mirrorPercentage.").with("minimum", 0),
            ),
            (
                "mirror_percent",
                Schema::number("Another spelling of mirrorPercent.").with("minimum", 0),
            ),
            (
                "mirrorPercentage",
                percentage("How many are copied; all if absent."),
            ),
            ("corsPolicy", cors()),
            ("headers", headers()),
        ],
    )
}

fn http_match() -> Schema {
    Schema::object(
        "",
        [
            ("name", Schema::text("Name of the match.")),
            ("uri", string_match("The path.")),
            ("scheme", string_match("The scheme.")),
            ("method", string_match("The method.")),
            (
                "authority",
                string_match("The host, with its port if one was given."),
            ),
            (
                "headers",
                string_matches("Headers; an empty test is that they are there."),
            ),
            ("port", port("Port of the service.")),
            (
                "sourceLabels",
                Schema::map("Labels of the client's pod.", Schema::text("")),
            ),
            ("gateways", texts("Where it holds.")),
            ("queryParams", string_matches("Parameters of the query.")),
            (
                "ignoreUriCase",
                Schema::truth("Whether the case of the path does not matter."),
            ),
            (
                "withoutHeaders",
                string_matches("Headers that must not match."),
            ),
            ("sourceNamespace", Schema::text("Namespace of the client.")),
            ("statPrefix", Schema::text("Not followed.")),
        ],
    )
}

fn weighted() -> Schema {
    Schema::object(
        "",
        [
            ("destination", destination("Where.")),
            ("weight", weight()),
            ("headers", headers()),
        ],
    )
    .with("required", vec!["destination"])
}

fn headers() -> Schema {
    let operations = |description: &str| {
        Schema::object(
            description,
            [
                (
                    "set",
                    Schema::map("Replaces what there is.", Schema::text("")),
                ),
                (
                    "add",
                    Schema::map("Beside what there is.", Schema::text("")),
                ),
                ("remove", texts("Takes away.")),
            ],
        )
    };
    Schema::object(
        "Changes of headers.",
        [
            ("request", operations("Of requests.")),
            ("response", operations("Of responses.")),
        ],
    )
}

fn redirect() -> Schema {
    let derive = Schema::word(
        "Where the port comes from.",
        &["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"],
    );
    Schema::object(
        "Answers with a redirect.",
        [
            ("uri", Schema::text("The whole path.")),
            (
                "uriPrefix",
                Schema::text("In place of what the match covered of the path."),
            ),
            (
                "authority",
                Schema::text("The host, with a port if need be."),
            ),
            ("port", port("The port.")),
            ("derivePort", derive),
            ("scheme", Schema::text("http or https.")),
            (
                "redirectCode",
                Schema::number("301 if absent.").with("minimum", 0),
            ),
        ],
    )
}

fn direct_response() -> Schema {
    let body = Schema::object(
        "What it says.",
        [
            ("string", Schema::text("As text.")),
            ("bytes", Schema::text("In Base64.")),
        ],
    );
    let status = Schema::number("From 200 to 599.").with("minimum", 0);
    Schema::object("Answers by itself.", [("status", status), ("body", body)])
        .with("required", vec!["status"])
}

fn rewrite() -> Schema {
    let regex = Schema::object(
        "Replaces what an expression matches.",
        [
            ("match", Schema::text("The expression (RE2).")),
            (
                "rewrite",
                Schema::text("What stands in its place; \\1 is the first group."),
            ),
        ],
    );
    Schema::object(
        "Another host or path for the destination.",
        [
            (
                "uri",
                Schema::text("In place of what the match covered of the path."),
            ),
            ("authority", Schema::text("The host.")),
            ("uriRegexRewrite", regex),
        ],
    )
}

fn retries() -> Schema {
    Schema::object(
        "When a request is tried again.",
        [
            (
                "attempts",
                Schema::number("Tries after the first.").with("minimum", 0),
            ),
            ("perTryTimeout", duration("How long one try may take.")),
            (
                "retryOn",
                Schema::text("Envoy's words, and statuses, with commas between them."),
            ),
            ("retryRemoteLocalities", Schema::truth("Always so.")),
            ("retryIgnorePreviousHosts", Schema::truth("Always so.")),
            (
                "backoff",
                duration("Time before the next try, at the least."),
            ),
        ],
    )
}

fn fault() -> Schema {
    let percent = || Schema::number("Old form of percentage.").with("minimum", 0);
    let delay = Schema::object(
        "Requests wait.",
        [
            ("fixedDelay", duration("So long.")),
            ("exponentialDelay", duration("Not supported.")),
            ("percentage", percentage("How many of them.")),
            ("percent", percent()),
        ],
    );
    let abort = Schema::object(
        "Requests are answered with an error.",
        [
            (
                "httpStatus",
                Schema::number("A status of HTTP.").with("minimum", 0),
            ),
            ("grpcStatus", Schema::text("A code of gRPC.")),
            ("http2Error", Schema::text("Not supported.")),
            ("percentage", percentage("How many of them.")),
            ("percent", percent()),
        ],
    );
    Schema::object(
        "Errors that are made on purpose.",
        [("delay", delay), ("abort", abort)],
    )
}

fn cors() -> Schema {
    let preflights = Schema::word(
        "What becomes of preflights of origins that may not.",
        &["UNSPECIFIED", "FORWARD", "IGNORE"],
    );
    Schema::object(
        "Cross-origin resource sharing.",
        [
            ("allowOrigin", texts("Old form of allowOrigins.")),
            (
                "allowOrigins",
                Schema::list("Origins that may.", string_match("")),
            ),
            ("allowMethods", texts("Methods that are allowed.")),
            ("allowHeaders", texts("Request headers that are allowed.")),
            (
                "exposeHeaders",
                texts("Response headers that scripts may read."),
            ),
            (
                "maxAge",
                duration("How long a browser may remember the answer."),
            ),
            (
                "allowCredentials",
                Schema::truth("Whether requests may carry credentials."),
            ),
            ("unmatchedPreflights", preflights),
        ],
    )
}

fn stream_destination() -> Schema {
    Schema::object(
        "",
        [("destination", destination("Where.")), ("weight", weight())],
    )
    .with("required", vec!["destination"])
}

fn tls() -> Schema {
    let one = Schema::object(
        "",
        [
            ("sniHosts", texts("Server names that clients ask for.")),
            ("destinationSubnets", texts("Not supported.")),
            ("port", port("Port of the service.")),
            (
                "sourceLabels",
                Schema::map("Not supported.", Schema::text("")),
            ),
            ("gateways", texts("Where it holds.")),
            ("sourceNamespace", Schema::text("Not supported.")),
        ],
    );
    Schema::object(
        "",
        [
            ("match", Schema::list("Any of these.", one)),
            (
                "route",
                Schema::list("Where connections go, by weight.", stream_destination()),
            ),
        ],
    )
}

fn tcp() -> Schema {
    let one = Schema::object(
        "",
        [
            ("destinationSubnets", texts("Not supported.")),
            ("port", port("Port of the service.")),
            (
                "sourceLabels",
                Schema::map("Not supported.", Schema::text("")),
            ),
            ("gateways", texts("Where it holds.")),
            ("sourceNamespace", Schema::text("Not supported.")),
            ("sourceSubnet", Schema::text("Not supported.")),
        ],
    );
    Schema::object(
        "",
        [
            (
                "match",
                Schema::list("Any of these; none means every connection.", one),
            ),
            (
                "route",
                Schema::list("Where connections go, by weight.", stream_destination()),
            ),
        ],
    )
}
