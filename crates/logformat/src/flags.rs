//! Envoy's words for what went wrong with a request, in letters and written out.

/// Declares the flags: variant, letters, long name, explanation.
macro_rules! flags {
    ($($variant:ident $letters:literal $long:literal $explanation:literal)*) => {
        /// Something that went wrong, in Envoy's words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Flag {
            $(#[doc = $explanation] $variant,)*
        }

        impl Flag {
            /// Every flag.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The letters of `%RESPONSE_FLAGS%`.
            pub fn letters(self) -> &'static str {
                match self { $(Self::$variant => $letters,)* }
            }

            /// The name of `%RESPONSE_FLAGS_LONG%`.
            pub fn long(self) -> &'static str {
                match self { $(Self::$variant => $long,)* }
            }
        }
    };
}

flags! {
    NoHealthyUpstream "UH" "NoHealthyUpstream"
        "No endpoint that is healthy."
    UpstreamConnectionFailure "UF" "UpstreamConnectionFailure"
        "No connection to the endpoint."
    UpstreamOverflow "UO" "UpstreamOverflow"
        "A limit of the connection pool was reached."
    NoRouteFound "NR" "NoRouteFound"
        "No route."
    UpstreamRetryLimitExceeded "URX" "UpstreamRetryLimitExceeded"
        "It was tried as often as it may be."
    NoClusterFound "NC" "NoClusterFound"
        "The route leads to nothing that is known."
    DurationTimeout "DT" "DurationTimeout"
        "The connection was as old as it may become."
    DownstreamConnectionTermination "DC" "DownstreamConnectionTermination"
        "The client left."
    FailedLocalHealthCheck "LH" "FailedLocalHealthCheck"
        "The proxy's own health check failed."
    UpstreamRequestTimeout "UT" "UpstreamRequestTimeout"
        "The endpoint took too long."
    LocalReset "LR" "LocalReset"
        "The connection was reset here."
    UpstreamRemoteReset "UR" "UpstreamRemoteReset"
        "The endpoint reset the stream."
    UpstreamConnectionTermination "UC" "UpstreamConnectionTermination"
        "The endpoint closed the connection."
    DelayInjected "DI" "DelayInjected"
        "A delay was injected."
    FaultInjected "FI" "FaultInjected"
        "An answer was injected."
    RateLimited "RL" "RateLimited"
        "A rate limit was reached."
    UnauthorizedExternalService "UAEX" "UnauthorizedExternalService"
        "The external authorizer refused it."
    RateLimitServiceError "RLSE" "RateLimitServiceError"
        "The rate limit service failed."
    InvalidEnvoyRequestHeaders "IH" "InvalidEnvoyRequestHeaders"
        "A header of the proxy's own had a bad value."
    StreamIdleTimeout "SI" "StreamIdleTimeout"
        "Nothing went by for too long."
    DownstreamProtocolError "DPE" "DownstreamProtocolError"
        "The client did not speak HTTP."
    UpstreamProtocolError "UPE" "UpstreamProtocolError"
        "The endpoint did not speak HTTP."
    UpstreamMaxStreamDurationReached "UMSDR" "UpstreamMaxStreamDurationReached"
        "The stream was as old as it may become."
    ResponseFromCacheFilter "RFCF" "ResponseFromCacheFilter"
        "It was answered from a cache."
    NoFilterConfigFound "NFCF" "NoFilterConfigFound"
        "The configuration of a filter did not come in time."
    OverloadManagerTerminated "OM" "OverloadManagerTerminated"
        "The proxy has too much to do."
    DnsResolutionFailed "DF" "DnsResolutionFailed"
        "The name of the endpoint could not be looked up."
    DropOverload "DO" "DropOverload"
        "A share of requests is dropped, and this was of it."
    DownstreamRemoteReset "DR" "DownstreamRemoteReset"
        "The client reset the stream."
    UnconditionalDropOverload "UDO" "UnconditionalDropOverload"
        "All requests are dropped."
}

impl Flag {
    /// The flag with these letters.
    pub fn from_letters(letters: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|flag| flag.letters() == letters)
    }
}

#[cfg(test)]
mod tests;
