use ambit_model::{HttpMatch, HttpRoutes, HttpRule, PathMatch, Pattern, RoutedMatch};
use ambit_route::{Compiled, Patterns};

use super::*;

mod copies;
mod outside;
mod own_routes;
mod timed;
mod told;
mod traffic;
mod virtual_services;

#[test]
fn a_rule_that_cannot_be_used_is_answered_with_500() {
    let to = |path| RoutedMatch {
        when: HttpMatch {
            path: Some(path),
            ..HttpMatch::default()
        }
        .into(),
        rule: 0,
    };
    let routes = HttpRoutes {
        matches: vec![
            to(PathMatch::Exact("/".into())),
            to(PathMatch::Regex(Pattern("(".into()))),
        ],
        rules: vec![Arc::new(HttpRule::default())],
    };
    let (compiled, _) = Compiled::rule_by_rule(&routes, &mut Patterns::default());
    let asked = |path: &str| {
        let head = Request::get(path).body(()).unwrap().into_parts().0;
        let fault = find_rule(&compiled, &Head::of(&head)).unwrap_err();
        (fault.status.as_u16(), fault.reason)
    };
    assert_eq!(asked("/"), (500, "invalid_route"));
    assert_eq!(asked("/other"), (404, "no_route"));
}
