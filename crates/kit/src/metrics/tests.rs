use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::*;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    reason: String,
}

fn filled() -> Registry {
    let registry = Registry::new();
    let refused = registry.register(
        "refused_total",
        "Refused.",
        Family::<Labels, Counter>::default(),
    );
    refused
        .get_or_create(&Labels {
            reason: "a \"b\"\n".to_owned(),
        })
        .inc_by(3);
    registry
        .register("open_connections", "Open now", Gauge::<i64>::default())
        .set(2);
    registry
        .register("wait_seconds", "Waited", Histogram::new([0.5, 1.0]))
        .observe(0.7);
    registry
}

#[test]
fn prometheus_text_names_the_family_of_a_counter_like_its_samples() {
    let (kind, text) = filled().render(None);
    assert_eq!(kind, PROMETHEUS_TEXT);
    assert_eq!(
        text,
        "# HELP refused_total Refused.\n\
         # TYPE refused_total counter\n\
         refused_total{reason=\"a \\\"b\\\"\\n\"} 3\n\
         # HELP open_connections Open now.\n\
         # TYPE open_connections gauge\n\
         open_connections 2\n\
         # HELP wait_seconds Waited.\n\
         # TYPE wait_seconds histogram\n\
         wait_seconds_sum 0.7\n\
         wait_seconds_count 1\n\
         wait_seconds_bucket{le=\"0.5\"} 0\n\
         wait_seconds_bucket{le=\"1.0\"} 1\n\
         wait_seconds_bucket{le=\"+Inf\"} 1\n"
    );
}

#[test]
fn open_metrics_is_given_to_those_who_ask_for_it() {
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let (kind, text) = filled().render(Some(accept));
    assert_eq!(kind, OPEN_METRICS);
    assert!(text.contains("# TYPE refused counter\n"));
    assert!(text.contains("refused_total{reason="));
    assert!(text.ends_with("# EOF\n"));
}
