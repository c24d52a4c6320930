//! Why a connection is refused or cut: one table of words for log, metric and documentation.
//!
//! The words are stable: dashboards and alerts are written with them. `docs/reasons.md` holds
//! [`reasons_table`], and a test keeps the two in step.

use std::fmt::{self, Write as _};

use ambit_model::PolicyName;

/// A connection that is refused, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Refusal {
    /// The word for it.
    pub reason: Reason,
    /// The policy that refused it, if one did.
    pub policy: Option<PolicyName>,
    /// Which of the policy's rules, from 0, where it is one about requests.
    pub rule: Option<usize>,
    /// What happened, to whom, in this case.
    pub detail: String,
}

impl Refusal {
    /// A refusal that no policy made.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            policy: None,
            rule: None,
            detail: detail.into(),
        }
    }

    /// A refusal that this policy made.
    pub fn by_policy(reason: Reason, policy: PolicyName, detail: impl Into<String>) -> Self {
        Self {
            reason,
            policy: Some(policy),
            rule: None,
            detail: detail.into(),
        }
    }
}

/// Declares the reasons: variant, word, ztunnel's response flag, explanation.
macro_rules! reasons {
    ($($variant:ident $word:literal $flag:literal $explanation:literal)*) => {
        /// Why a connection is refused or cut.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $explanation] $variant,)*
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable word in log, metric and documentation.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What it means and what to do about it.
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $explanation,)* }
            }

            /// The value of the metrics' label `response_flags`, one of those that ztunnel uses.
            pub fn response_flag(self) -> &'static str {
                match self { $(Self::$variant => $flag,)* }
            }
        }
    };
}

reasons! {
    PolicyDenied "policy_denied" "DENY"
        "A DENY policy matches the connection. The log line names the policy."
    NoMatchingAllow "no_matching_allow" "DENY"
        "ALLOW policies apply to the destination and none of them matches. Add a rule for this client, or see with `ambit explain` why the one meant for it does not match."
    PlaintextRefused "plaintext_refused" "DENY"
        "A PeerAuthentication asks for mutual TLS and the client came in plaintext. Enrol the client, or allow PERMISSIVE on this port."
    PoliciesUnknown "policies_unknown" "DENY"
        "A policy that applies to the destination has not arrived yet, or a waypoint cannot read one that may apply to it, and never could. It passes by itself; if it stays, look at the connection of the agent or waypoint to the control plane, at the waypoint's log, and whether the control plane is newer than the waypoint."
    PolicyChanged "policy_changed" "DENY"
        "The connection was open and a changed policy now refuses it."
    ServerNameUnknown "server_name_unknown" "DENY"
        "A waypoint knows a policy that asks for the server name of connections (`connection.sni`), and the message of the client that has it did not come whole within 10 s, or is longer than 16 KiB: it could be one that is denied."
    UnknownDestination "unknown_destination" "DENY"
        "The destination cannot be told to be one service or workload, and going there in plaintext is not allowed: either egress is REGISTRY_ONLY and nothing in the mesh has the address, or several workloads claim it and some of them take tunnels only."
    UnknownPort "unknown_port" "-"
        "The service has no such port."
    NoEndpoint "no_endpoint" "-"
        "The service has no endpoint that is healthy, serves the port and can be reached from the client. The log line counts what is missing."
    NoWaypoint "no_waypoint" "-"
        "The destination is bound to a waypoint that is not known, or has no ready endpoint that takes tunnels. It is never bypassed. The log line names the binding and what is missing."
    WaypointRequired "waypoint_required" "DENY"
        "The destination is under policy that only its waypoint can judge, and the connection does not come from there. Bind the service or workload that was called to the waypoint, or enrol the client."
    UnsupportedProtocol "unsupported_protocol" "-"
        "The workload asks to be reached by a protocol that this version does not know. It is not reached in plaintext in its place: upgrade the agent."
    SelfCall "self_call" "-"
        "The destination port (15001, 15006 or 15008) is one that the agent itself holds in every enrolled pod. No application is behind it, and a connection there could loop."
    WrongDestination "wrong_destination" "-"
        "A tunnel arrived at one pod and asks for the address of another. Often a reused address: the client's agent will learn the new one."
    BadRequest "bad_request" "H2_HANDSHAKE_FAILURE"
        "A peer did not speak HBONE: not HTTP/2, not a CONNECT, or no valid authority."
    NoCertificate "no_certificate" "IDENTITY_ERROR"
        "There is no valid certificate for this pod's identity. Look at the agent's certificate metrics and at the control plane's log."
    UnknownAuthority "unknown_authority" "TLS_FAILURE"
        "The peer's certificate was not issued by an authority in the trust bundle."
    WrongTrustDomain "wrong_trust_domain" "IDENTITY_ERROR"
        "The peer's identity is of another trust domain."
    WrongIdentity "wrong_identity" "IDENTITY_ERROR"
        "The peer proved an identity other than those expected at that address. The log line shows both."
    CertificateExpired "certificate_expired" "TLS_FAILURE"
        "The peer's certificate has expired or is not valid yet. Compare the clocks of both nodes."
    NoClientCertificate "no_client_certificate" "TLS_FAILURE"
        "The client opened TLS without a certificate."
    TlsVersion "tls_version" "TLS_FAILURE"
        "The peer does not speak TLS 1.3, the only version that the mesh accepts."
    TlsFailure "tls_failure" "TLS_FAILURE"
        "The TLS handshake failed for a reason without a word of its own. The log line has it."
    ConnectRefused "connect_refused" "CONNECT"
        "Nothing listens at the destination."
    ConnectTimeout "connect_timeout" "CONNECT"
        "The destination did not answer in time. Look for a network policy or a firewall between the nodes (port 15008)."
    ConnectFailed "connect_failed" "CONNECT"
        "Connecting to the destination failed in another way. The log line has the system's error."
    PeerRefused "peer_refused" "CONNECT"
        "The agent at the destination, or the waypoint on the way there, refused the connection. Its own log has the reason."
    PodLimit "pod_limit" "-"
        "The pod has as many connections open as one pod may have, so that it cannot starve the others of its node."
    HandshakeLimit "handshake_limit" "-"
        "The pod has as many TLS handshakes under way as one pod may have, or this client an eighth of them."
    OutOfSockets "out_of_sockets" "-"
        "No socket could be had in the pod's network namespace in time."
    Draining "draining" "-"
        "The agent or the peer is being replaced, and the connection outlived the time given to finish."
    NotSynced "not_synced" "-"
        "The agent does not know yet as which service account the pod runs: the control plane has been away since the pod was made."
    UnknownPod "unknown_pod" "-"
        "The pod is enrolled, and the control plane has no workload for it."
    MalformedRequest "malformed_request" "-"
        "A client sent a waypoint something else than HTTP, or what two readers may read differently. The log line says what is wrong with it."
    OversizedRequest "oversized_request" "-"
        "A client sent a waypoint a request whose line, head or number of headers is larger than allowed."
    SlowRequest "slow_request" "-"
        "A client took too long for the head or the body of a request."
    ResetFlood "reset_flood" "-"
        "A client opened and reset more requests of HTTP/2 than it may. Its connection was ended."
    ControlFlood "control_flood" "-"
        "A client sent more frames of HTTP/2 that ask for an answer, and carry nothing, than it may. Its connection was ended."
    NoRoute "no_route" "-"
        "The service has routes and none of them is for this request. Add a rule for it, or one without matches for all the others."
    NoBackend "no_backend" "-"
        "The rule that the request met has no backend with a weight above 0."
    InvalidBackend "invalid_backend" "-"
        "The backend that was chosen cannot be used: it does not exist, or the route may not refer to it. The status of the route says which."
    RouteNotGranted "route_not_granted" "DENY"
        "A VirtualService of the client's own namespace leads to a service of another one that is behind another waypoint, which would judge this waypoint in the client's place. Let the client ask for that service itself, or write the rule in the namespace of the service that it asks for."
    UnknownSubset "unknown_subset" "-"
        "The route leads to a subset of a service that nothing defines. Name one that there is, or leave the subset out; the status of the route says which."
    PendingOverflow "pending_overflow" "-"
        "As many requests wait for a connection to the service as its DestinationRule lets wait (`http1MaxPendingRequests`), of one replica of the waypoint. Raise it, or see what holds the connections."
    RequestOverflow "request_overflow" "-"
        "As many requests to the service are under way as its DestinationRule lets through (`http2MaxRequests`), of one replica of the waypoint. Raise it, or see why they take so long."
    ConnectionOverflow "connection_overflow" "-"
        "As many connections to the service are open as its DestinationRule allows (`maxConnections`), of one replica of the waypoint, and what is no HTTP cannot wait for one."
    IdleTimeout "idle_timeout" "-"
        "Nothing went by on a connection that is no HTTP for as long as its DestinationRule allows (`tcp.idleTimeout`; an hour if it does not say), or for an hour on one that went on with another protocol, as a WebSocket does."
    ConnectionDuration "connection_duration" "-"
        "A connection that is no HTTP became as old as its DestinationRule allows (`maxConnectionDuration`)."
    FaultInjected "fault_injected" "-"
        "The rule that the request met makes this error on purpose (`fault.abort` of a VirtualService)."
    TooManyHops "too_many_hops" "-"
        "The request or connection came through ten waypoints: routes of services that are behind several waypoints lead in a circle."
    InvalidRoute "invalid_route" "-"
        "The rule that the request met cannot be used by the waypoint, or the routes of the service cannot be read or have not arrived yet. The waypoint's log says which; if it stays, look at the route's status, and whether the control plane is newer than the waypoint."
    PathTooLong "path_too_long" "-"
        "The path would be too long after the rule's rewrite."
    Timeout "timeout" "-"
        "The answer did not come, or was not complete, within the time-out of the rule."
    UpstreamReset "upstream_reset" "-"
        "The endpoint closed its connection before the answer was complete, or broke one off that went on with another protocol. Look at the application's own log."
    Overloaded "overloaded" "-"
        "The waypoint has nearly as much memory as it may have: what begins is refused, and if that is not enough, connections that hold much are ended. See who holds it (connections and requests of each client), run more pods, or give them more memory."
    UpstreamLimit "upstream_limit" "-"
        "The endpoint has as many open requests of HTTP/2, of this client or of all, as a waypoint puts on one endpoint. Run more endpoints, or see who keeps requests open."
    OutsideAddress "outside_address" "-"
        "The name of a host outside of the mesh leads to where none may lead: to the waypoint itself, its node or its link, to what tells a machine about itself, or to a pod or service of the mesh, which is reached under its own name, by policy; or an open connection that is no HTTP goes there since before that was so. Correct the name's records, or call the pod or service itself. The log line has the address."
    OutsideHost "outside_host" "-"
        "The request, or the server name of the connection, is for a host that the ServiceEntry which was asked for is not about: the host is missing, is an address, does not fit the wildcard, or the server name is another than the request's. Ask for a host that it is about."
    OutsideName "outside_name" "-"
        "The name of a host outside of the mesh cannot be resolved. The log line has the name. See whether the resolver of the waypoint's pod, or of the node, knows it."
    OutsideUnknown "outside_unknown" "-"
        "Nobody knows yet whether an address outside of the mesh, to which a name leads or which was asked for, is that of a pod or service of the mesh: the control plane has not said so. It passes by itself; if it stays, look at the waypoint's connection to the control plane. Addresses of which it has said so are gone to also while it is away."
    OutsideTls "outside_tls" "TLS_FAILURE"
        "TLS with a host outside of the mesh, begun for a client by DestinationRule, failed. The log line says why: an authority that is not known (see the waypoint's `--outside-roots`), another name in the certificate (`sni`, `subjectAltNames`), no common version or protocol, or a Secret (`credentialName`) that is missing or cannot be used: the status of the DestinationRule says what is wrong with that."
    JwtMalformed "jwt_malformed" "-"
        "What stands where a token is expected is none: not three parts of base64url, not JSON, a name twice, or a claim of the wrong type. The log line says which."
    JwtTooLong "jwt_too_long" "-"
        "The token has more than 16 KiB. Ask the issuer for one with fewer claims."
    JwtAlgorithm "jwt_algorithm" "-"
        "The token is signed by no algorithm, by a shared secret, or by one that is not known; or it asks for an extension (crit) that is not."
    JwtUnknownIssuer "jwt_unknown_issuer" "-"
        "No rule that looks where the token stands is for its issuer. The log line has the issuer as the token tells it."
    JwtExpired "jwt_expired" "-"
        "The token has ended, more than 60 seconds ago."
    JwtNotYetValid "jwt_not_yet_valid" "-"
        "The token begins in more than 60 seconds. Compare the clocks of the issuer and of the node."
    JwtAudience "jwt_audience" "-"
        "None of the token's audiences is one of the rule's."
    JwtNoKeys "jwt_no_keys" "-"
        "The keys of the rule have not been fetched, or cannot be used. It passes by itself once they are; see the status of the RequestAuthentication."
    JwtUnknownKey "jwt_unknown_key" "-"
        "The issuer's key set has no key of the name (kid) and algorithm that the token has, or, of a token without a name, too many to try. The issuer may have changed its keys."
    JwtSignature "jwt_signature" "-"
        "The token was not signed by the key that it names, or was changed."
    JwtSeveral "jwt_several" "-"
        "The request has several different tokens where one is expected, or more than eight in all. The application could take another one than was judged: send one."
    AuthenticationUnknown "authentication_unknown" "-"
        "A RequestAuthentication that holds for the destination has not arrived yet, or the waypoint cannot read it and never could. It passes by itself; if it stays, look at the waypoint's log, at the status of the object, and whether the control plane is newer than the waypoint."
}

impl Reason {
    /// The reason of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.word() == word)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// The table of `docs/reasons.md`, in Markdown.
pub fn reasons_table() -> String {
    let mut table =
        String::from("| reason | response flag | what it means, what to do |\n|---|---|---|\n");
    for reason in Reason::ALL {
        let (word, flag) = (reason.word(), reason.response_flag());
        // Writing to a String does not fail.
        let _ = writeln!(table, "| `{word}` | `{flag}` | {} |", reason.explanation());
    }
    table
}

#[cfg(test)]
mod tests;
