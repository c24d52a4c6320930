//! Finding is the same as reading the list from its beginning, by what the model's documents say.

use std::collections::BTreeMap;

use ambit_model::{FieldMatch, PathMatch, SourceMatch, TextMatch};
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

type Meaning = fn(&str) -> bool;

/// Expressions, and what they mean.
const EXPRESSIONS: [(&str, Meaning); 4] = [
    ("/a.*", |text| text.starts_with("/a")),
    (".*b", |text| text.ends_with('b')),
    ("a|b", |text| text == "a" || text == "b"),
    ("[ab]?", |text| ["", "a", "b"].contains(&text)),
];

fn expression(pattern: &str) -> Meaning {
    let known = EXPRESSIONS.iter().find(|(known, _)| *known == pattern);
    known.unwrap().1
}

fn text_matches(text: &str, test: &TextMatch) -> bool {
    match test {
        TextMatch::Exact(expected) => text == &**expected,
        TextMatch::Prefix(prefix) => text.starts_with(&**prefix),
        TextMatch::Regex(pattern) => expression(&pattern.0)(text),
        TextMatch::Present => true,
    }
}

fn path_matches(path: &str, test: &PathMatch) -> bool {
    match test {
        PathMatch::Exact(exact) => path == &**exact,
        PathMatch::Segments(segments) => {
            let wanted: Vec<&str> = segments.split('/').skip(1).collect();
            let there: Vec<&str> = path.split('/').skip(1).collect();
            &**segments == "/" || there.starts_with(&wanted)
        }
        PathMatch::Prefix(prefix) => path.starts_with(&**prefix),
        PathMatch::Regex(pattern) => expression(&pattern.0)(path),
    }
}

fn field_matches(test: &FieldMatch, value: Option<&str>) -> bool {
    match test.value {
        TextMatch::Present => value.is_some() != test.invert,
        _ if test.invert => !text_matches(value.unwrap_or(""), &test.value),
        _ => value.is_some_and(|value| text_matches(value, &test.value)),
    }
}

/// A request in plain words.
#[derive(Clone, Debug)]
struct Asked {
    method: &'static str,
    path: String,
    /// Names and values.
    query: Vec<(&'static str, &'static str)>,
    headers: Vec<(&'static str, &'static str)>,
    host: Option<&'static str>,
    scheme: Option<&'static str>,
    namespace: Option<&'static str>,
    labels: Option<BTreeMap<Arc<str>, Arc<str>>>,
}

impl Asked {
    fn matches(&self, when: &HttpMatch) -> bool {
        let header = |name: &str| {
            let of_name = self.headers.iter().filter(|(other, _)| *other == name);
            let lines: Vec<&str> = of_name.map(|(_, value)| *value).collect();
            (!lines.is_empty()).then(|| lines.join(","))
        };
        let parameter = |name: &str| {
            let first = self.query.iter().find(|(other, _)| *other == name);
            first.map(|(_, value)| *value)
        };
        let mut headers = when.headers.iter();
        let mut query = when.query.iter();
        let path = when.path.as_ref();
        let method = when.method.as_ref();
        let text = |test: Option<&TextMatch>, text: Option<&str>| {
            test.is_none_or(|test| text.is_some_and(|text| text_matches(text, test)))
        };
        path.is_none_or(|path| self.path_matches(path, when.ignore_case))
            && text(when.authority.as_ref(), self.host)
            && text(when.scheme.as_ref(), Some(self.scheme.unwrap_or("http")))
            && when
                .source
                .as_ref()
                .is_none_or(|source| self.comes_from(source))
            && method.is_none_or(|method| text_matches(self.method, method))
            && headers.all(|test| field_matches(test, header(&test.name).as_deref()))
            && query.all(|test| field_matches(test, parameter(&test.name)))
    }

    fn path_matches(&self, test: &PathMatch, ignore_case: bool) -> bool {
        let lower = |text: &Arc<str>| Arc::<str>::from(text.to_lowercase());
        match test {
            test if !ignore_case => path_matches(&self.path, test),
            PathMatch::Regex(_) => path_matches(&self.path, test),
            PathMatch::Exact(text) => {
                path_matches(&self.path.to_lowercase(), &PathMatch::Exact(lower(text)))
            }
            PathMatch::Segments(text) => {
                path_matches(&self.path.to_lowercase(), &PathMatch::Segments(lower(text)))
            }
            PathMatch::Prefix(text) => {
                path_matches(&self.path.to_lowercase(), &PathMatch::Prefix(lower(text)))
            }
        }
    }

    fn comes_from(&self, source: &SourceMatch) -> bool {
        let is_of = source.namespace.as_deref();
        let labels = self.labels.clone().unwrap_or_default();
        is_of.is_none_or(|namespace| self.namespace == Some(namespace))
            && source
                .labels
                .iter()
                .all(|(name, value)| labels.get(name) == Some(value))
    }

    /// Where it goes: which match it meets, and what else is found.
    fn find(&self, compiled: &Compiled) -> Option<(usize, String)> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let query = self.query();
        let found = compiled.find(&Head {
            method: &self.method.parse().unwrap(),
            path: &self.path,
            query: query.as_deref(),
            authority: self.host,
            headers: &headers,
            scheme: self.scheme,
            source: Source {
                namespace: self.namespace,
                labels: self.labels.as_ref(),
            },
        })?;
        Some((found.position, format!("{found:?}")))
    }

    /// The query as a client writes it.
    fn query(&self) -> Option<String> {
        let pairs = self.query.iter();
        let pairs = pairs.map(|(name, value)| format!("{name}={value}"));
        let query = pairs.collect::<Vec<_>>().join("&");
        (!query.is_empty()).then_some(query)
    }
}

const NAMES: [&str; 2] = ["x-one", "x-two"];
const VALUES: [&str; 5] = ["", "a", "b", "a,b", "a b"];

fn pattern() -> impl Strategy<Value = Pattern> {
    (0..EXPRESSIONS.len()).prop_map(|at| Pattern(EXPRESSIONS[at].0.into()))
}

fn text_match() -> impl Strategy<Value = TextMatch> {
    let text = || prop::sample::select(&VALUES).prop_map(Arc::<str>::from);
    prop_oneof![
        text().prop_map(TextMatch::Exact),
        text().prop_map(TextMatch::Prefix),
        pattern().prop_map(TextMatch::Regex),
        Just(TextMatch::Present),
    ]
}

/// Paths of few segments, so that many are equal or begin with others.
fn path() -> impl Strategy<Value = String> {
    "(/(a|b|ab|A|aB)){1,3}/?"
}

fn path_match() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        3 => path().prop_map(|path| PathMatch::Exact(path.into())),
        4 => "(/(a|b|ab)){1,3}|/".prop_map(|path| PathMatch::Segments(path.into())),
        3 => "/?(a|b|/){0,4}".prop_map(|path| PathMatch::Prefix(path.into())),
        1 => pattern().prop_map(PathMatch::Regex),
    ]
}

fn fields() -> impl Strategy<Value = Vec<FieldMatch>> {
    let field = (prop::sample::select(&NAMES), text_match(), any::<bool>());
    let field = field.prop_map(|(name, value, invert)| FieldMatch {
        name: name.into(),
        value,
        invert,
    });
    prop_oneof![
        3 => Just(vec![]),
        1 => prop::collection::vec(field, 1..3),
    ]
}

fn method_match() -> impl Strategy<Value = Option<TextMatch>> {
    let exact = |text: &str| Just(Some(TextMatch::Exact(text.into())));
    prop_oneof![
        4 => Just(None),
        1 => exact("GET"),
        1 => exact("POST"),
        1 => exact("get"),
        1 => Just(Some(TextMatch::Prefix("P".into()))),
    ]
}

fn http_match() -> impl Strategy<Value = HttpMatch> {
    let path = prop_oneof![1 => Just(None), 8 => path_match().prop_map(Some)];
    let parts = (path, method_match(), fields(), fields(), more());
    parts.prop_map(|(path, method, headers, query, more)| HttpMatch {
        path,
        method,
        headers,
        query,
        ..more
    })
}

/// What most matches do not ask for.
fn more() -> impl Strategy<Value = HttpMatch> {
    let seldom = |values: &'static [&'static str]| {
        let text = prop::sample::select(values).prop_map(|text| TextMatch::Exact(text.into()));
        prop_oneof![6 => Just(None), 1 => text.prop_map(Some)]
    };
    let source = (
        prop::sample::select(&[None, Some("shop"), Some("bank")]),
        labels(),
    );
    let source = source.prop_map(|(namespace, labels)| SourceMatch {
        namespace: namespace.map(Into::into),
        labels,
    });
    let source = prop_oneof![4 => Just(None), 1 => source.prop_map(Some)];
    let parts = (
        any::<bool>(),
        seldom(&HOSTS),
        seldom(&["http", "https"]),
        source,
    );
    parts.prop_map(|(ignore_case, authority, scheme, source)| HttpMatch {
        ignore_case,
        authority,
        scheme,
        source,
        ..HttpMatch::default()
    })
}

fn labels() -> impl Strategy<Value = BTreeMap<Arc<str>, Arc<str>>> {
    let text =
        |values: &'static [&'static str]| prop::sample::select(values).prop_map(Arc::<str>::from);
    prop::collection::btree_map(text(&["app", "version"]), text(&["a", "b"]), 0..2)
}

const HOSTS: [&str; 2] = ["shop", "shop:80"];

fn asked() -> impl Strategy<Value = Asked> {
    let method = prop::sample::select(&["GET", "POST", "PUT"]);
    let pairs = || {
        let pair = (prop::sample::select(&NAMES), prop::sample::select(&VALUES));
        prop::collection::vec(pair, 0..4)
    };
    let namespace = prop::sample::select(&[None, Some("shop"), Some("bank")]);
    let client = (namespace, prop::option::of(labels()));
    let host = prop::sample::select(&[None, Some(HOSTS[0]), Some(HOSTS[1])]);
    let scheme = prop::sample::select(&[None, Some("http"), Some("https")]);
    let parts = (method, path(), pairs(), pairs(), (host, scheme), client);
    parts.prop_map(|(method, path, query, headers, target, client)| Asked {
        method,
        path,
        query,
        headers,
        host: target.0,
        scheme: target.1,
        namespace: client.0,
        labels: client.1,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn finding_is_reading_the_list_from_its_beginning(
        matches in prop::collection::vec(http_match(), 0..40),
        requests in prop::collection::vec(asked(), 1..8),
    ) {
        let routed = matches.iter().map(|when| RoutedMatch { when: when.clone().into(), rule: 0 });
        let compiled = Compiled::new(&routes(routed.collect(), vec![rule("one")])).unwrap();
        for request in requests {
            let expected = matches.iter().position(|when| request.matches(when));
            let found = request.find(&compiled).map(|(position, _)| position);
            prop_assert_eq!(found, expected, "{:?}", request);
        }
    }

    #[test]
    fn what_was_made_of_others_before_answers_as_what_is_made_anew(
        pool in prop::collection::vec(http_match(), 12),
        states in prop::collection::vec(prop::collection::vec((0..13_usize, 0..4_u32), 0..12), 2..6),
        requests in prop::collection::vec(asked(), 1..6),
    ) {
        let mut pool: Vec<Arc<HttpMatch>> = pool.into_iter().map(Arc::new).collect();
        // One that cannot be used breaks the rule that it leads to, for as long as it does.
        pool.push(to(Some(PathMatch::Regex(Pattern("(".into()))), 0).when);
        let rules: Vec<Arc<HttpRule>> = ["a", "b", "c", "d"].map(|name| rule(name).into()).into();
        let mut before: Option<Compiled> = None;
        for state in states {
            let matches = state.iter().map(|(at, rule)| RoutedMatch {
                when: Arc::clone(&pool[*at]),
                rule: *rule,
            });
            let routes = HttpRoutes { matches: matches.collect(), rules: rules.clone() };
            let (anew, problems) = Compiled::rule_by_rule(&routes, &mut Patterns::default());
            let mut patterns = Patterns::of(before.as_ref());
            let (now, told) = Compiled::after(before.as_ref(), &routes, &mut patterns);
            prop_assert_eq!(told, problems);
            for request in &requests {
                prop_assert_eq!(request.find(&now), request.find(&anew), "{:?}", request);
            }
            before = Some(now);
        }
    }
}
