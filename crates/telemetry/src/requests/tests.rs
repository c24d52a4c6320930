//! Series have Istio's names and labels, answer the questions that dashboards ask, and go when
//! their workloads go.

use ambit_kit::metrics::Registry;
use ambit_model::Change;

use super::*;
use crate::exchange::{Onward, Protocol};
use crate::fixtures::{self, Sample, sum, workload};
use crate::labels::UNKNOWN;

/// Bounds that are soon reached.
const FEW: Bounds = Bounds {
    labels: 30,
    entries: 50,
};

fn requests() -> (Requests, Registry) {
    let ledger = Ledger::default();
    let requests = Requests::within(FEW, Reporter::Destination, ledger.clone());
    let registry = Registry::new();
    registry.register_collector(requests.page());
    registry.register_collector(Box::new(ledger));
    (requests, registry)
}

fn page(registry: &Registry) -> Vec<Sample> {
    fixtures::samples(&registry.render(None).1)
}

/// The labels of the only series of that name, without those of the ends.
fn outcome_labels(samples: &[Sample], name: &str) -> Vec<(String, String)> {
    let found: Vec<&Sample> = samples.iter().filter(|s| s.name == name).collect();
    assert_eq!(found.len(), 1, "{name}");
    let of_ends = |name: &str| name.starts_with("source_") || name.starts_with("destination_");
    let labels = found[0].labels.clone().into_iter();
    labels.filter(|(name, _)| !of_ends(name)).collect()
}

fn owned<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec()
}

#[test]
fn http_has_the_documented_labels_and_no_grpc_status() {
    let (requests, registry) = requests();
    let ends = fixtures::ends();
    requests.record(&Exchange {
        // A header that an HTTP server makes up is not a status of gRPC.
        grpc_status: Some(3),
        ..fixtures::exchange(&ends)
    });
    let samples = page(&registry);
    let documented = owned([
        ("connection_security_policy", "mutual_tls"),
        ("reporter", "destination"),
        ("request_protocol", "http"),
        ("response_code", "200"),
        ("response_flags", "-"),
    ]);
    for name in [
        "istio_requests_total",
        "istio_request_duration_milliseconds_count",
        "istio_request_bytes_sum",
        "istio_response_bytes_sum",
    ] {
        assert_eq!(outcome_labels(&samples, name), documented, "{name}");
    }
    assert!(samples.iter().all(|s| !s.name.contains("messages")));
    let of_ends = [
        ("source_workload", "web"),
        ("destination_service_name", "cart"),
    ];
    assert_eq!(sum(&samples, "istio_requests_total", &of_ends), 1.0);
}

#[test]
fn grpc_has_its_status_and_counts_messages() {
    let (requests, registry) = requests();
    let ends = fixtures::ends();
    for _ in 0..2 {
        requests.record(&Exchange {
            protocol: Protocol::Grpc,
            grpc_status: Some(14),
            request_messages: 3,
            response_messages: 5,
            ..fixtures::exchange(&ends)
        });
    }
    let samples = page(&registry);
    let labels = outcome_labels(&samples, "istio_requests_total");
    assert_eq!(
        labels,
        owned([
            ("connection_security_policy", "mutual_tls"),
            ("grpc_response_status", "14"),
            ("reporter", "destination"),
            ("request_protocol", "grpc"),
            ("response_code", "200"),
            ("response_flags", "-"),
        ])
    );
    assert_eq!(
        outcome_labels(&samples, "istio_request_messages_total"),
        owned([
            ("connection_security_policy", "mutual_tls"),
            ("reporter", "destination"),
            ("request_protocol", "grpc"),
        ])
    );
    assert_eq!(sum(&samples, "istio_request_messages_total", &[]), 6.0);
    assert_eq!(sum(&samples, "istio_response_messages_total", &[]), 10.0);
}

#[test]
fn statuses_that_do_not_exist_have_one_word() {
    let ends = fixtures::ends();
    for (status, code) in [
        (None, "0"),
        (Some(99), UNKNOWN),
        (Some(100), "100"),
        (Some(599), "599"),
        (Some(600), UNKNOWN),
    ] {
        for (grpc_status, grpc) in [(0, "0"), (16, "16"), (17, UNKNOWN), (u32::MAX, UNKNOWN)] {
            let (requests, registry) = requests();
            requests.record(&Exchange {
                protocol: Protocol::Grpc,
                status,
                grpc_status: Some(grpc_status),
                ..fixtures::exchange(&ends)
            });
            let labels = [("response_code", code), ("grpc_response_status", grpc)];
            let samples = page(&registry);
            assert_eq!(
                sum(&samples, "istio_requests_total", &labels),
                1.0,
                "{status:?} {grpc_status}"
            );
        }
    }
}

/// M14, M15 and M18 of published dashboards, over one page instead of a rate over time.
#[test]
fn published_dashboards_have_their_answers() {
    let (requests, registry) = requests();
    let ends = fixtures::ends();
    let refused = Ends {
        destination: None,
        destination_id: None,
        ..ends.clone()
    };
    for (ends, status, onward, micros) in [
        (&ends, 200, Onward::MutualTls, 300),
        (&ends, 200, Onward::MutualTls, 4_000),
        (&ends, 503, Onward::MutualTls, 20_000),
        (&refused, 503, Onward::Nothing, 100),
    ] {
        requests.record(&Exchange {
            status: Some(status),
            onward,
            duration: std::time::Duration::from_micros(micros),
            ..fixtures::exchange(ends)
        });
    }
    let samples = page(&registry);
    let total = "istio_requests_total";
    let of_service = [
        ("reporter", "destination"),
        ("destination_service_name", "cart"),
    ];
    assert_eq!(sum(&samples, total, &of_service), 4.0, "M14");
    let errors = [("reporter", "destination"), ("response_code", "503")];
    assert_eq!(sum(&samples, total, &errors), 2.0, "M14");
    for (bound, cumulative) in [
        ("0.5", 2.0),
        ("1.0", 2.0),
        ("5.0", 3.0),
        ("25.0", 4.0),
        ("+Inf", 4.0),
    ] {
        let bucket = "istio_request_duration_milliseconds_bucket";
        let labels = [("destination_service_name", "cart"), ("le", bound)];
        assert_eq!(sum(&samples, bucket, &labels), cumulative, "M15 {bound}");
    }
    let milliseconds = sum(&samples, "istio_request_duration_milliseconds_sum", &[]);
    assert!((milliseconds - 24.4).abs() < 1e-9, "M15 {milliseconds}");
    let secured = [("connection_security_policy", "mutual_tls")];
    assert_eq!(
        sum(&samples, total, &secured),
        sum(&samples, total, &[]),
        "M18"
    );

    requests.record(&Exchange {
        onward: Onward::Clear,
        ..fixtures::exchange(&ends)
    });
    let samples = page(&registry);
    assert_eq!(
        sum(&samples, total, &secured),
        4.0,
        "plaintext is not hidden"
    );
    assert_eq!(sum(&samples, total, &[]), 5.0);
}

#[test]
fn a_request_like_one_before_is_found_by_its_key() {
    let (requests, _registry) = requests();
    let ends = fixtures::ends();
    // The same objects, and an identity that was read anew.
    let again = Ends {
        source_id: ends.source.as_ref().map(|source| source.identity()),
        ..ends.clone()
    };
    for ends in [&ends, &again, &ends] {
        requests.record(&fixtures::exchange(ends));
    }
    assert_eq!(requests.entries.load().len(), 1);
    requests.record(&Exchange {
        flags: "UF",
        ..fixtures::exchange(&ends)
    });
    assert_eq!(requests.entries.load().len(), 2);
}

#[test]
fn series_go_with_their_workloads_and_others_stay() {
    let (requests, registry) = requests();
    let ends = fixtures::ends();
    let other = Ends {
        source: Some(workload("shop", "till", "v1")),
        ..ends.clone()
    };
    let mut mesh = Mesh::default();
    for workload in [&ends.source, &other.source, &ends.destination] {
        mesh.apply(Change::PutWorkload(Arc::clone(workload.as_ref().unwrap())));
    }
    let record = || {
        requests.record(&fixtures::exchange(&ends));
        requests.record(&fixtures::exchange(&other));
    };
    let total = |source| {
        let labels = [("source_workload", source)];
        sum(&page(&registry), "istio_requests_total", &labels)
    };
    record();
    requests.sweep(&mesh);
    assert_eq!((total("web"), total("till")), (1.0, 1.0), "both live");
    mesh.apply(Change::RemoveWorkload(
        ends.source.as_ref().unwrap().uid.clone(),
    ));
    requests.sweep(&mesh);
    assert_eq!((total("web"), total("till")), (0.0, 1.0), "one is gone");
    record();
    assert_eq!(
        (total("web"), total("till")),
        (1.0, 2.0),
        "and the other goes on"
    );
}

#[test]
fn too_many_series_are_counted_without_names() {
    let (requests, registry) = requests();
    let ends = fixtures::ends();
    for number in 0..FEW.labels + 20 {
        let many = Ends {
            source: Some(workload("shop", &format!("web-{number}"), "v1")),
            ..ends.clone()
        };
        let status = if number % 2 == 0 { 200 } else { 503 };
        requests.record(&Exchange {
            status: Some(status),
            ..fixtures::exchange(&many)
        });
    }
    assert_eq!(requests.tables.requests.read().len(), FEW.labels + 2);
    let samples = page(&registry);
    let all = sum(&samples, "istio_requests_total", &[]);
    assert_eq!(all, (FEW.labels + 20) as f64, "every request is counted");
    for class in ["2xx", "5xx"] {
        let labels = [
            ("source_workload", UNKNOWN),
            ("destination_service_name", UNKNOWN),
            ("response_code", class),
            ("connection_security_policy", "mutual_tls"),
        ];
        assert_eq!(
            sum(&samples, "istio_requests_total", &labels),
            10.0,
            "{class}"
        );
    }
}

#[test]
fn too_many_entries_cost_no_count() {
    let (requests, registry) = requests();
    let ends = fixtures::ends();
    // Pods of one Deployment: one label set, an entry for each.
    let pods: Vec<_> = (0..FEW.entries + 10)
        .map(|_| ends.source.as_deref().cloned().map(Arc::new))
        .collect();
    for source in pods {
        let of_pod = Ends {
            source,
            ..ends.clone()
        };
        requests.record(&fixtures::exchange(&of_pod));
    }
    assert_eq!(requests.entries.load().len(), 10);
    let total = sum(&page(&registry), "istio_requests_total", &[]);
    assert_eq!(total, (FEW.entries + 10) as f64);
}

#[test]
fn a_request_is_counted_while_a_page_is_written() {
    let (requests, registry) = requests();
    let ends = fixtures::ends();
    requests.record(&fixtures::exchange(&ends));
    // More than a page holds while it is written: not even reading is possible.
    let held = requests.tables.requests.exclusively();
    requests.record(&fixtures::exchange(&ends));
    drop(held);
    assert_eq!(sum(&page(&registry), "istio_requests_total", &[]), 2.0);
}

#[test]
fn only_tries_after_the_first_are_retries() {
    let (requests, registry) = requests();
    let ends = fixtures::ends();
    for tries in [0, 1] {
        requests.record(&Exchange {
            tries,
            ..fixtures::exchange(&ends)
        });
    }
    let retries = || {
        page(&registry)
            .into_iter()
            .filter(|s| s.name == "ambit_request_retries_total")
    };
    assert_eq!(retries().count(), 0, "a series for those that have some");
    requests.record(&Exchange {
        tries: 3,
        ..fixtures::exchange(&ends)
    });
    let of_service = [
        ("destination_service_name", "cart"),
        ("response_code", "200"),
    ];
    assert_eq!(
        sum(&page(&registry), "ambit_request_retries_total", &of_service),
        2.0
    );
}

/// A shape of some families, all with the same changes of labels.
fn shape(metrics: &[Metric], disabled: bool, tags: &[(&str, Option<&str>)]) -> Arc<Shape> {
    let tags = tags.iter();
    let tags: ambit_model::MetricTags = tags
        .map(|(name, value)| ((*name).into(), value.map(Into::into)))
        .collect();
    let of = |metric: &Metric| {
        let tags = tags.clone();
        (*metric, ambit_model::MetricShape { disabled, tags })
    };
    let metrics = ambit_model::Metrics(metrics.iter().map(of).collect());
    Arc::new(Shape::of(metrics).unwrap())
}

#[test]
fn series_that_become_one_are_told_once() {
    let (requests, registry) = requests();
    let ends = fixtures::ends();
    let other = Ends {
        source: Some(workload("shop", "till", "v1")),
        ..ends.clone()
    };
    let gone: Vec<(&str, Option<&str>)> = [
        "source_workload",
        "source_app",
        "source_canonical_service",
        "response_code",
    ]
    .map(|name| (name, None))
    .into();
    let shape = shape(
        &[Metric::RequestCount, Metric::RequestDuration],
        false,
        &gone,
    );
    for (ends, status) in [(&ends, 200), (&other, 200), (&other, 503)] {
        let shaped = crate::shape::Shaped {
            shape: &shape,
            values: &[],
        };
        requests.record(&Exchange {
            status: Some(status),
            shaped: Some(shaped),
            ..fixtures::exchange(ends)
        });
    }
    let samples = page(&registry);
    let of = |name| samples.iter().filter(move |s| s.name == name);
    assert_eq!(of("istio_requests_total").count(), 1);
    assert_eq!(sum(&samples, "istio_requests_total", &[]), 3.0);
    assert_eq!(of("istio_request_duration_milliseconds_count").count(), 1);
    assert_eq!(of("istio_request_bytes_count").count(), 3);
}

/// A shape whose label `host` has the value that is told, and which may have so many label sets.
fn by_host(sets: usize) -> Arc<Shape> {
    let tags: ambit_model::MetricTags = [("host".into(), Some("request.host".into()))].into();
    let shape = ambit_model::MetricShape {
        disabled: false,
        tags,
    };
    let metrics = ambit_model::Metrics([(Metric::RequestCount, shape)].into());
    Arc::new(Shape::of(metrics).unwrap().with_sets(sets))
}

fn record_hosts(requests: &Requests, ends: &Ends, shape: &Arc<Shape>, hosts: usize) {
    for number in 0..hosts {
        let values = [shape.known(0, Some(format!("host-{number}")))];
        let shaped = crate::shape::Shaped {
            shape,
            values: &values,
        };
        requests.record(&Exchange {
            shaped: Some(shaped),
            ..fixtures::exchange(ends)
        });
    }
}

fn from_source(name: &str) -> Ends {
    Ends {
        source: Some(workload("shop", name, "v1")),
        ..fixtures::ends()
    }
}

#[test]
fn labels_that_clients_make_up_take_no_room_from_series_as_they_are() {
    let (requests, registry) = requests();
    record_hosts(&requests, &fixtures::ends(), &by_host(usize::MAX), 100);
    let half = FEW.labels / 2;
    // The last one is that of all others.
    assert_eq!(requests.tables.requests.read().len(), half + 1);
    for number in 0..half - 1 {
        let ends = from_source(&format!("web-{number}"));
        requests.record(&fixtures::exchange(&ends));
        let of_it = [("source_workload", &*format!("web-{number}"))];
        let count = sum(&page(&registry), "istio_requests_total", &of_it);
        assert_eq!(count, 1.0, "{number}");
    }
    let samples = page(&registry);
    let others = [("host", "other"), ("destination_service_name", "cart")];
    let other = sum(&samples, "istio_requests_total", &others);
    assert_eq!(other, (100 - half) as f64);
    let overflow = sum(&samples, "ambit_series_overflow_total", &[]);
    // Of requests and of retries.
    assert_eq!(overflow, 2.0 * other);
}

#[test]
fn the_labels_of_one_shape_take_no_room_from_those_of_another() {
    let (requests, registry) = requests();
    record_hosts(&requests, &fixtures::ends(), &by_host(5), 100);
    record_hosts(&requests, &from_source("till"), &by_host(5), 5);
    let samples = page(&registry);
    for number in 0..5 {
        let host = format!("host-{number}");
        for source in ["web", "till"] {
            let labels = [("source_workload", source), ("host", &*host)];
            let count = sum(&samples, "istio_requests_total", &labels);
            assert_eq!(count, 1.0, "{source} {host}");
        }
    }
    let others = [("source_workload", "web"), ("host", "other")];
    assert_eq!(sum(&samples, "istio_requests_total", &others), 95.0);
    assert_eq!(sum(&samples, "istio_requests_total", &[]), 105.0);
}

#[test]
fn a_shape_has_room_again_when_workloads_go() {
    let (requests, registry) = requests();
    let (shape, gone) = (by_host(5), from_source("gone"));
    record_hosts(&requests, &gone, &shape, 10);
    requests.sweep(&Mesh::default());
    let mut mesh = Mesh::default();
    let ends = fixtures::ends();
    for workload in [&ends.source, &ends.destination] {
        mesh.apply(Change::PutWorkload(Arc::clone(workload.as_ref().unwrap())));
    }
    record_hosts(&requests, &ends, &shape, 5);
    requests.sweep(&mesh);
    let labels = [("source_workload", "web"), ("host", "host-4")];
    let count = sum(&page(&registry), "istio_requests_total", &labels);
    assert_eq!(count, 1.0);
}

#[test]
fn families_that_are_not_wanted_are_not_there() {
    let (requests, registry) = requests();
    let ends = fixtures::ends();
    let shape = shape(
        &[Metric::RequestCount, Metric::GrpcRequestMessages],
        true,
        &[],
    );
    requests.record(&Exchange {
        protocol: Protocol::Grpc,
        grpc_status: Some(0),
        tries: 3,
        shaped: Some(crate::shape::Shaped {
            shape: &shape,
            values: &[],
        }),
        ..fixtures::exchange(&ends)
    });
    let samples = page(&registry);
    for gone in [
        "istio_requests_total",
        "ambit_request_retries_total",
        "istio_request_messages_total",
    ] {
        assert!(samples.iter().all(|s| s.name != gone), "{gone}");
    }
    for there in ["istio_response_messages_total", "istio_request_bytes_count"] {
        assert!(samples.iter().any(|s| s.name == there), "{there}");
    }
}

#[test]
fn labels_that_clients_fill_are_bounded_and_go_with_their_workloads() {
    let (requests, registry) = requests();
    let ends = fixtures::ends();
    let tags = [
        ("agent", Some("request.useragent")),
        ("source_version", None),
    ];
    let shape = shape(&[Metric::RequestCount], false, &tags);
    let mut mesh = Mesh::default();
    for workload in [&ends.source, &ends.destination] {
        mesh.apply(Change::PutWorkload(Arc::clone(workload.as_ref().unwrap())));
    }
    for number in 0..FEW.labels + 20 {
        requests.record(&Exchange {
            shaped: Some(crate::shape::Shaped {
                shape: &shape,
                values: &[number.to_string().into()],
            }),
            ..fixtures::exchange(&ends)
        });
    }
    let half = FEW.labels / 2;
    assert_eq!(requests.tables.requests.read().len(), half + 1);
    let samples = page(&registry);
    assert_eq!(
        sum(&samples, "istio_requests_total", &[]),
        (FEW.labels + 20) as f64
    );
    let others = [("agent", "other"), ("source_workload", "web")];
    let rest = (half + 20) as f64;
    assert_eq!(sum(&samples, "istio_requests_total", &others), rest);
    requests.sweep(&mesh);
    assert_eq!(requests.tables.requests.read().len(), half + 1);
    mesh.apply(Change::RemoveWorkload(
        ends.source.as_ref().unwrap().uid.clone(),
    ));
    requests.sweep(&mesh);
    let left = requests.tables.requests.read().len();
    assert_eq!(left, 0);
}
