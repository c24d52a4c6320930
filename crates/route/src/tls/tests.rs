use super::*;

fn route(name: &str, server_names: &[&str]) -> TlsRoute {
    TlsRoute {
        name: name.into(),
        server_names: server_names.iter().map(|name| (*name).into()).collect(),
        backends: vec![],
    }
}

#[test]
fn the_first_route_that_names_the_server_decides() {
    let routes = [
        route("exact", &["a.example.com", "b.example.com"]),
        route("wild", &["*.example.com"]),
        route("any", &[]),
        route("late", &["c.example.org"]),
    ];
    let table = [
        (Some("a.example.com"), "exact"),
        (Some("B.Example.COM"), "exact"),
        (Some("c.example.com"), "wild"),
        (Some("x.a.example.com"), "wild"),
        (Some("example.com"), "any"),
        (Some(".example.com"), "any"),
        (Some("notexample.com"), "any"),
        (Some("\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}e.com"), "any"),
        (Some("c.example.org"), "any"),
        (Some(""), "any"),
        (None, "any"),
    ];
    for (server_name, expected) in table {
        let found = tls_route(&routes, server_name).unwrap();
        assert_eq!(&*found.name, expected, "{server_name:?}");
    }
}

#[test]
fn a_server_that_no_route_names_has_none() {
    let routes = [route("exact", &["a.example.com"])];
    assert_eq!(tls_route(&routes, Some("b.example.com")), None);
    assert_eq!(tls_route(&routes, None), None);
}
