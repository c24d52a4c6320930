use ambit_model::{
    Backend, BackendTarget, HeaderChanges, HttpBackend, HttpFilters, HttpMatch, HttpRule,
    PathChange, PathMatch, Pattern, Redirect, TextMatch,
};
use http::{HeaderMap, Method, Request};

use super::*;

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
    RoutedMatch { when, rule }
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
    bad_method.when.method = Some(TextMatch::Regex(Pattern("(".into())));
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
