//! The order of matches beside one that is written from the words of the definition.

use ambit_model::{HttpMatch, PathMatch, RouteList};
use proptest::prelude::*;
use proptest::sample::select;

use super::{A, folder, routes};

/// A route: its name, its age, and the matches of its rules.
type Given = (&'static str, u8, Vec<Vec<String>>);

fn one_match() -> impl Strategy<Value = String> {
    let path = select(vec![
        "",
        "path: {value: /}, ",
        "path: {value: /a}, ",
        "path: {value: /a/}, ",
        "path: {value: /a/b}, ",
        "path: {type: Exact, value: /a}, ",
        "path: {type: Exact, value: /a/b/c}, ",
        "path: {type: RegularExpression, value: /a.*}, ",
        "path: {type: RegularExpression, value: /.*}, ",
    ]);
    let method = select(vec!["", "method: GET, "]);
    let list = |name: &str, count: usize| {
        let fields: Vec<String> = (0..count)
            .map(|n| format!("{{name: n{n}, value: v}}"))
            .collect();
        format!("{name}: [{}]", fields.join(", "))
    };
    (path, method, 0_usize..3, 0_usize..3).prop_map(move |(path, method, headers, query)| {
        let (headers, query) = (list("headers", headers), list("queryParams", query));
        format!("{{{path}{method}{headers}, {query}}}")
    })
}

fn given() -> impl Strategy<Value = Vec<Given>> {
    let rules = || proptest::collection::vec(proptest::collection::vec(one_match(), 1..4), 1..4);
    let ages = (0_u8..3, 0_u8..3, 0_u8..3);
    (ages, rules(), rules(), rules())
        .prop_map(|(ages, a, b, c)| vec![("a", ages.0, a), ("b", ages.1, b), ("c", ages.2, c)])
}

fn document((name, age, rules): &Given) -> String {
    let rules: Vec<String> = rules
        .iter()
        .map(|matches| format!("{{matches: [{}]}}", matches.join(", ")))
        .collect();
    // Without a time an object is younger than all that have one.
    let age = match age {
        0 => String::new(),
        age => format!(", creationTimestamp: '2026-01-0{age}T00:00:00Z'"),
    };
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
         metadata: {{name: {name}, namespace: shop{age}}}\nspec: {{parentRefs: [{A}], rules: [{}]}}\n",
        rules.join(", ")
    )
}

/// A match with what decides about its place.
struct Placed<'a> {
    when: &'a HttpMatch,
    route: String,
    age: u8,
    rule: usize,
}

impl Placed<'_> {
    fn is_exact(&self) -> bool {
        matches!(self.when.path, Some(PathMatch::Exact(_)))
    }

    fn expression(&self) -> usize {
        match &self.when.path {
            Some(PathMatch::Regex(pattern)) => pattern.0.len(),
            _ => 0,
        }
    }

    fn prefix(&self) -> usize {
        match &self.when.path {
            Some(PathMatch::Segments(prefix)) => prefix.len(),
            _ => 0,
        }
    }

    /// Whether it is to be tried before another one: what the definition says, line by line, with
    /// expressions between exact paths and prefixes.
    fn precedes(&self, other: &Self) -> bool {
        if self.is_exact() != other.is_exact() {
            return self.is_exact();
        }
        if self.expression() != other.expression() {
            return self.expression() > other.expression();
        }
        if self.prefix() != other.prefix() {
            return self.prefix() > other.prefix();
        }
        if self.when.method.is_some() != other.when.method.is_some() {
            return self.when.method.is_some();
        }
        if self.when.headers.len() != other.when.headers.len() {
            return self.when.headers.len() > other.when.headers.len();
        }
        if self.when.query.len() != other.when.query.len() {
            return self.when.query.len() > other.when.query.len();
        }
        if self.route != other.route {
            let age = |age: u8| if age == 0 { u8::MAX } else { age };
            if self.age != other.age {
                return age(self.age) < age(other.age);
            }
            return self.route < other.route;
        }
        self.rule < other.rule
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_match_is_tried_before_one_that_goes_before_it(given in given()) {
        let documents: Vec<String> = given.iter().map(document).collect();
        let folder = folder(&documents);
        let all = routes(&folder, "shop/a").expect("routes");
        let Some(RouteList::Http(list)) = &all.ports[&80].producer else {
            panic!("no list");
        };
        let wanted: usize = given.iter().flat_map(|(_, _, rules)| rules).map(Vec::len).sum();
        prop_assert_eq!(list.matches.len(), wanted);
        let placed: Vec<Placed<'_>> = list.matches.iter().map(|one| {
            let name = list.rules[one.rule as usize].name.to_string();
            let parts: Vec<&str> = name.split('/').collect();
            let age = given.iter().find(|(route, _, _)| *route == parts[2]).map(|(_, age, _)| *age);
            Placed {
                when: &one.when,
                route: parts[2].to_owned(),
                age: age.expect("a route"),
                rule: parts[3].parse().expect("an index"),
            }
        }).collect();
        for (index, early) in placed.iter().enumerate() {
            for late in &placed[index + 1..] {
                prop_assert!(!late.precedes(early), "{} before {}", early.route, late.route);
            }
        }
    }
}
