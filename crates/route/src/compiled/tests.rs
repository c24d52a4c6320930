use ambit_model::{
    Backend, BackendTarget, HeaderChanges, HttpBackend, HttpFilters, HttpMatch, HttpRule,
    PathChange, PathMatch, Pattern, Redirect, RoutedMatch, TextMatch,
};
use http::{HeaderMap, Method, Request};

use super::*;
use crate::head::Source;

mod changes;
mod naive;

fn rule(name: &str) -> HttpRule {
    HttpRule {
        name: name.into(),
        ..HttpRule::default()
    }
}

fn to(path: Option<PathMatch>, rule: u32) -> RoutedMatch {
    let when = HttpMatch {
        path,
        ..HttpMatch::default()
    };
    RoutedMatch {
        when: when.into(),
        rule,
    }
}

fn routes(matches: Vec<RoutedMatch>, rules: Vec<HttpRule>) -> HttpRoutes {
    HttpRoutes {
        matches,
        rules: rules.into_iter().map(Arc::new).collect(),
    }
}

#[test]
fn the_first_in_order_decides_not_the_most_specific() {
    let matches = vec![
        to(Some(PathMatch::Exact("/a/b".into())), 0),
        to(Some(PathMatch::Segments("/".into())), 1),
        to(Some(PathMatch::Segments("/a".into())), 0),
        to(None, 0),
    ];
    let compiled = Compiled::new(&routes(matches, vec![rule("one"), rule("two")])).unwrap();
    for (path, position, name) in [("/a/b", 0, "one"), ("/a/c", 1, "two"), ("/", 1, "two")] {
        let request = Request::get(path).body(()).unwrap().into_parts().0;
        let found = compiled.find(&Head::of(&request)).unwrap();
        assert_eq!(found.position, position, "{path}");
        assert_eq!(&*found.rule.model.name, name);
    }
}

#[test]
fn a_request_that_nothing_matches_is_not_found() {
    let only = vec![to(Some(PathMatch::Exact("/a".into())), 0)];
    let compiled = Compiled::new(&routes(only, vec![rule("one")])).unwrap();
    let headers = HeaderMap::new();
    let head = Head {
        method: &Method::GET,
        path: "/b",
        query: None,
        authority: None,
        headers: &headers,
        scheme: None,
        source: Source::default(),
    };
    assert!(compiled.find(&head).is_none());
    let none = Compiled::new(&HttpRoutes::default()).unwrap();
    assert!(none.find(&head).is_none());
}

#[test]
fn what_is_found_tells_what_was_covered_and_the_path_of_cookies() {
    let only = vec![to(Some(PathMatch::Segments("/a".into())), 0)];
    let compiled = Compiled::new(&routes(only, vec![rule("one")])).unwrap();
    let request = Request::get("http://shop/a/b?c").body(()).unwrap();
    let found = compiled.find(&Head::of(&request.into_parts().0)).unwrap();
    assert_eq!(found.covered, Covered::Segments(2));
    assert_eq!(found.cookie_path, "/a");
}

#[test]
fn a_rule_that_cannot_be_used_is_broken_and_the_others_are_not() {
    let bad = Arc::new(HttpRule {
        filters: HttpFilters {
            request_headers: HeaderChanges {
                remove: vec!["te".into()],
                ..HeaderChanges::default()
            },
            ..HttpFilters::default()
        },
        ..rule("bad value")
    });
    let exact = |path: &str, rule| to(Some(PathMatch::Exact(path.into())), rule);
    let typo = PathMatch::Regex(Pattern("(".into()));
    let matches = vec![
        exact("/value", 0),
        exact("/other-match", 1),
        to(Some(typo), 1),
        exact("/nowhere", 7),
        exact("/good", 2),
    ];
    let mut routes = routes(matches, vec![rule(""), rule("bad match"), rule("good")]);
    routes.rules[0] = bad;
    let (compiled, problems) = Compiled::rule_by_rule(&routes, &mut Patterns::default());
    let found = |path: &str| {
        let request = Request::get(path).body(()).unwrap().into_parts().0;
        let found = compiled.find(&Head::of(&request))?;
        assert_eq!(
            found.rule.model.name,
            routes.rules[routes.matches[found.position].rule as usize].name
        );
        Some(found.rule.broken.is_some())
    };
    assert_eq!(found("/value"), Some(true));
    assert_eq!(found("/other-match"), Some(true));
    assert_eq!(found("/good"), Some(false));
    assert_eq!(found("/nowhere"), None);
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].starts_with("bad value: request header"));
    assert!(problems[1].starts_with("bad match: path of a match"));
    assert!(Compiled::new(&routes).is_err());
}

#[test]
fn an_index_without_a_rule_is_an_error() {
    let error = Compiled::new(&routes(vec![to(None, 1)], vec![rule("one")])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "match 0 leads to rule 1, but there are only 1 rules"
    );
}

#[test]
fn what_cannot_be_used_is_an_error_that_names_the_rule() {
    let bad_path = to(Some(PathMatch::Regex(Pattern("(".into()))), 1);
    let mut bad_method = to(None, 1);
    Arc::make_mut(&mut bad_method.when).method = Some(TextMatch::Regex(Pattern("(".into())));
    for bad in [bad_path, bad_method] {
        let routes = routes(vec![to(None, 0), bad], vec![rule("good"), rule("bad")]);
        assert_names_bad(&routes);
    }
    let redirect = HttpFilters {
        redirect: Some(Redirect {
            scheme: None,
            host: None,
            path: Some(PathChange::Full("no path".into())),
            port: None,
            status: 302,
            as_asked: false,
        }),
        ..HttpFilters::default()
    };
    let headers = HttpFilters {
        response_headers: HeaderChanges {
            remove: vec!["no name".into()],
            ..HeaderChanges::default()
        },
        ..HttpFilters::default()
    };
    for filters in [redirect, headers] {
        let of_rule = HttpRule {
            filters: filters.clone(),
            ..rule("bad")
        };
        let of_backend = HttpRule {
            backends: vec![backend(filters)],
            ..rule("bad")
        };
        // Also a rule that no match leads to.
        assert_names_bad(&routes(vec![], vec![rule("good"), of_rule]));
        assert_names_bad(&routes(vec![], vec![rule("good"), of_backend]));
    }
}

fn backend(filters: HttpFilters) -> HttpBackend {
    let target = BackendTarget::Invalid { why: "gone".into() };
    HttpBackend {
        backend: Backend { weight: 1, target },
        filters,
    }
}

fn assert_names_bad(routes: &HttpRoutes) {
    let error = Compiled::new(routes).unwrap_err();
    assert!(
        matches!(&error, CompileError::Rule { rule, .. } if &**rule == "bad"),
        "{error}"
    );
}

#[test]
fn a_destination_is_chosen_of_those_with_weight() {
    let with = HttpRule {
        backends: vec![backend(HttpFilters::default())],
        ..rule("with")
    };
    let compiled = Compiled::new(&routes(vec![to(None, 0)], vec![with])).unwrap();
    let request = Request::get("/").body(()).unwrap().into_parts().0;
    let found = compiled.find(&Head::of(&request)).unwrap();
    assert_eq!(found.rule.choose(u64::MAX).unwrap().weight, 1);
}
