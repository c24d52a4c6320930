//! Series are as their shape says, and bounded whatever their labels are made of.

use ambit_model::MetricTags;

use super::*;

fn tags(tags: &[(&str, Option<&str>)]) -> MetricTags {
    let tags = tags.iter();
    tags.map(|(name, value)| ((*name).into(), value.map(Into::into)))
        .collect()
}

/// A family, whether it is off, and what becomes of labels.
type Said<'a> = (Metric, bool, &'a [(&'a str, Option<&'a str>)]);

fn shape(of: &[Said<'_>]) -> Arc<Shape> {
    let metrics = of.iter().map(|(metric, disabled, changes)| {
        let tags = tags(changes);
        let disabled = *disabled;
        (*metric, MetricShape { disabled, tags })
    });
    Arc::new(Shape::of(Metrics(metrics.collect())).unwrap())
}

fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), Arc::from(*value)))
        .collect()
}

#[test]
fn labels_go_come_and_change() {
    let shape = shape(&[
        (
            Metric::RequestCount,
            false,
            &[
                ("source_app", None),
                ("response_code", Some("class")),
                ("host", Some("host")),
                ("not_there", None),
            ],
        ),
        (Metric::RequestSize, true, &[]),
    ]);
    assert_eq!(shape.expressions(), ["class".into(), "host".into()]);
    let usual = pairs(&[
        ("reporter", "destination"),
        ("source_app", "web"),
        ("response_code", "404"),
    ]);
    let values = ["4xx".into(), "shop".into()];
    let shaped = Shaped {
        shape: &shape,
        values: &values,
    };
    let of = |metric| shaped.made(metric, &usual);
    let count = of(Metric::RequestCount).unwrap();
    assert_eq!(
        count.labels.pairs(),
        pairs(&[
            ("reporter", "destination"),
            ("response_code", "4xx"),
            ("host", "shop"),
        ])
    );
    assert_eq!(
        count.nameless.pairs(),
        pairs(&[
            ("reporter", "destination"),
            ("response_code", UNKNOWN),
            ("host", UNKNOWN),
        ])
    );
    assert!(of(Metric::RequestSize).is_none());
    let usual_labels = of(Metric::RequestDuration).unwrap().labels;
    assert_eq!(usual_labels.pairs(), usual);
    // What nobody has worked out is not known.
    let without = Shaped {
        shape: &shape,
        values: &[],
    };
    let count = without.made(Metric::RequestCount, &usual).unwrap();
    assert_eq!(count.labels.get("host").map(|host| &**host), Some(UNKNOWN));
}

#[test]
fn rules_that_say_nothing_are_no_shape() {
    assert!(Shape::of(Metrics::default()).is_none());
}

#[test]
fn an_expression_has_a_bounded_number_of_values() {
    let shape = shape(&[(
        Metric::RequestCount,
        false,
        &[("host", Some("request.host"))],
    )]);
    for number in 0..MOST_VALUES {
        let value = number.to_string();
        assert_eq!(&*shape.known(0, Some(value.clone())), value);
    }
    assert_eq!(&*shape.known(0, Some("one more".to_owned())), OTHER);
    assert_eq!(&*shape.known(0, Some("7".to_owned())), "7");
    assert_eq!(&*shape.known(0, None), UNKNOWN);
    assert_eq!(&*shape.known(0, Some(String::new())), UNKNOWN);
    assert_eq!(&*shape.known(1, Some("a".to_owned())), UNKNOWN);
}
