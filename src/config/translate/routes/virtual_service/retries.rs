//! When requests of a rule are tried again.
//!
//! Where nothing is said, Istio's mesh-wide default holds: twice, where no endpoint has taken the
//! request, and for gRPC's `unavailable` and `cancelled`. A 503 is not among them, as in Istio since 1.24:
//! an endpoint may have done its work before it said so. A rule that speaks of retries without a number,
//! or with none, has none.

use std::time::Duration;

use ambit_model::{Retry, RetryOn};

use super::Reader;
use super::delegate::Effective;
use crate::config::problem::Finding;
use crate::config::translate::routes::compile::Wrong;

/// Tries after the first, if nothing is said.
const ATTEMPTS: u32 = 2;
/// What is worth another try, if nothing is said.
const DEFAULT: &str = "connect-failure,refused-stream,unavailable,cancelled";
/// Words of Envoy's that are known, and mean nothing here.
const IDLE: [&str; 3] = [
    "envoy-ratelimited",
    "retriable-headers",
    "http3-post-connect-failure",
];

impl Reader<'_, '_> {
    /// Retries, and how long one try may take.
    pub(super) fn retries(
        &mut self,
        one: &Effective<'_>,
    ) -> Result<(Option<Retry>, Option<Duration>), Wrong> {
        let field = format!("{}.retries", one.field);
        let Some(given) = &one.rule.retries else {
            let retry = Retry {
                attempts: ATTEMPTS,
                backoff: None,
                on: self.conditions(one, &field, DEFAULT)?,
            };
            return Ok((Some(retry), None));
        };
        let attempts = given.attempts.unwrap_or_default();
        if given.attempts.is_none() {
            let what = "missing, so that nothing is tried again";
            let finding = Finding::new(format!("{field}.attempts"), what, "say how often");
            self.notes.warn(one.key, finding);
        }
        for (name, value, as_it_is) in [
            ("retryRemoteLocalities", given.retry_remote_localities, true),
            (
                "retryIgnorePreviousHosts",
                given.retry_ignore_previous_hosts,
                true,
            ),
        ] {
            if value == Some(!as_it_is) {
                let what = "not followed: another try goes to an endpoint that was not tried, \
                            wherever it is";
                let finding = Finding::new(format!("{field}.{name}"), what, "remove it");
                self.notes.warn(one.key, finding);
            }
        }
        let words = given
            .retry_on
            .as_deref()
            .filter(|words| !words.trim().is_empty());
        let on = self.conditions(one, &field, words.unwrap_or(DEFAULT))?;
        let retry = Retry {
            attempts,
            backoff: given.backoff.and_then(|backoff| backoff.limit()),
            on: if attempts > 0 { on } else { RetryOn::default() },
        };
        let per_try = given.per_try_timeout.and_then(|timeout| timeout.limit());
        Ok((Some(retry), per_try))
    }

    fn conditions(
        &mut self,
        one: &Effective<'_>,
        field: &str,
        words: &str,
    ) -> Result<RetryOn, Wrong> {
        let mut on = RetryOn::default();
        for word in words
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            match word {
                "5xx" => on.server_error = true,
                "gateway-error" => on.gateway_error = true,
                "reset" => on.reset = true,
                "connect-failure" => on.connect_failure = true,
                "refused-stream" => on.refused_stream = true,
                // What no endpoint has seen.
                "reset-before-request" => {
                    on.connect_failure = true;
                    on.refused_stream = true;
                }
                "retriable-4xx" => on.retriable_4xx = true,
                // Stands beside the statuses themselves.
                "retriable-status-codes" => {}
                "cancelled" => on.grpc.push(1),
                "deadline-exceeded" => on.grpc.push(4),
                "resource-exhausted" => on.grpc.push(8),
                "internal" => on.grpc.push(13),
                "unavailable" => on.grpc.push(14),
                idle if IDLE.contains(&idle) => {
                    let what = format!("`{idle}` never happens here");
                    let finding = Finding::new(format!("{field}.retryOn"), what, "remove it");
                    self.notes.warn(one.key, finding);
                }
                other => match other.parse() {
                    Ok(status) if (100..600).contains(&status) => on.statuses.push(status),
                    _ => {
                        let what = format!("`{other}` is not a reason to try again");
                        let advice = "write words such as 5xx, reset, connect-failure, or statuses";
                        return Err(Wrong::unsupported(format!("{field}.retryOn"), what, advice));
                    }
                },
            }
        }
        Ok(on)
    }
}
