//! Requests that meet routes, both arbitrary.
//!
//! Bytes are read as words: what is no word of a request or route is left out.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use ambit_model::{
    FieldMatch, HttpMatch, HttpRoutes, HttpRule, PathChange, PathMatch, Pattern, PortRoutes,
    Redirect, Rewrite, RouteList, RoutedMatch, ServiceName, ServiceRoutes, SessionCarrier,
    SessionPersistence, TextMatch,
};
use ambit_route::{
    Compiled, Covered, EndpointTag, Head, Normalization, Redirection, Rewriting, Session, Source,
    normalize,
};
use ambit_wire::decode::RoutesReader;
use ambit_wire::encode;
use http::header::{COOKIE, LOCATION, SET_COOKIE};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

/// Most matches of one list: each is also compiled alone.
const MATCHES: usize = 32;

/// Requests and the routes of users: the first match in order is found. The first line is method,
/// path, query and headers, every other one a match.
pub fn route(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let Ok(method) = words.next().unwrap_or_default().parse::<Method>() else {
        return;
    };
    let (path, query) = (words.next().unwrap_or_default(), words.next());
    let mut headers = HeaderMap::new();
    for (name, value) in words.filter_map(|word| word.split_once('=')) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let head = Head {
        method: &method,
        path,
        query,
        authority: None,
        headers: &headers,
        scheme: None,
        source: Source::default(),
    };
    let matches: Vec<HttpMatch> = lines.take(MATCHES).map(http_match).collect();
    let Some(all) = compiled(&matches) else {
        return;
    };
    let alone = |when: &HttpMatch| {
        let one = compiled(std::slice::from_ref(when));
        one.is_some_and(|one| one.find(&head).is_some())
    };
    let found = all.find(&head).map(|found| found.position);
    assert_eq!(found, matches.iter().position(alone));
}

/// Paths: from clients. Their normal form is one, has no segments of dots, and the query stays.
pub fn path(bytes: &[u8]) {
    let Ok(request) = Request::get(bytes).body(()) else {
        return;
    };
    let mut parts = request.into_parts().0;
    let before = parts.uri.clone();
    if normalize(&mut parts, Normalization::DecodeAndMergeSlashes).is_err() {
        return assert_eq!(before, parts.uri);
    }
    let after = parts.uri.clone();
    let again = normalize(&mut parts, Normalization::DecodeAndMergeSlashes);
    assert!(again.is_ok() && after == parts.uri);
    assert_eq!(after.query(), before.query());
    assert_eq!(after.authority(), before.authority());
    let has_dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    assert!(!after.path().starts_with('/') || !after.path().split('/').any(has_dots));
    assert!(after.path().starts_with('/') == before.path().starts_with('/'));
}

/// Queries: from clients.
pub fn query(bytes: &[u8]) {
    let Ok(query) = std::str::from_utf8(bytes) else {
        return;
    };
    let field = |name: &str| FieldMatch {
        name: name.into(),
        value: TextMatch::Regex(Pattern("(?s).*".into())),
        invert: false,
    };
    let when = HttpMatch {
        query: vec![field("a"), field("a+b"), field("%c3%a4")],
        ..HttpMatch::default()
    };
    let Some(compiled) = compiled(&[when]) else {
        return;
    };
    let headers = HeaderMap::new();
    let head = |query| Head {
        method: &Method::GET,
        path: "/",
        query: Some(query),
        authority: None,
        headers: &headers,
        scheme: None,
        source: Source::default(),
    };
    let _found = compiled.find(&head(query));
    // Whatever stands before them, they are there.
    let with = format!("{query}&a=1&a+b&%c3%a4=%");
    assert!(compiled.find(&head(&with)).is_some());
}

/// Redirects and rewrites of users on requests of clients: what comes out is a URI. The lines are
/// target, host, path of a redirect and its host.
pub fn redirect(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (target, authority, path, host) = (line(), line(), line(), line());
    let Ok(request) = Request::get(target).body(()) else {
        return;
    };
    let mut parts = request.into_parts().0;
    let mut head = Head::of(&parts);
    head.authority = head.authority.or(Some(authority));
    let host = (!host.is_empty()).then(|| host.into());
    // Any number of bytes may have been covered.
    for length in [0, path.len().min(target.len())] {
        let change = Some(PathChange::Prefix(path.into()));
        let redirect = Redirect {
            scheme: None,
            host: host.clone(),
            path: change.clone(),
            port: None,
            status: 302,
            as_asked: length == 0,
        };
        let covered = Covered::Segments(length);
        if let Ok(redirection) = Redirection::new(&redirect) {
            let answer = redirection.answer(&head, &Scheme::HTTP, 8080, covered);
            let location = answer.headers().get(LOCATION);
            let location = location.filter(|location| location.len() < usize::from(u16::MAX) - 1);
            let uri = location.map(|location| Uri::try_from(location.as_bytes()));
            assert!(uri.is_none_or(|uri| uri.is_ok_and(|uri| uri.host().is_some())));
        }
    }
    let rewrite = Rewrite {
        host,
        path: Some(PathChange::Full(path.into())),
    };
    let had_path = parts.uri.path().starts_with('/');
    if let Ok(rewriting) = Rewriting::new(&rewrite) {
        let rewritten = rewriting.apply(&mut parts, Covered::Bytes(1));
        let expected = if path.is_empty() { "/" } else { path };
        let replaced = !had_path || parts.uri.path() == expected;
        assert!(rewritten.is_err() || replaced);
    }
}

/// Routes of a service: from a control plane. What can be read can be written, and read again, after
/// anything else too. Bytes may also lead on from routes that are there.
pub fn service_routes(bytes: &[u8]) {
    let mut reader = RoutesReader::default();
    let there = there();
    let (name, entry) = encode::routes_entry(&there);
    let read = reader.read(&name, &"1".into(), &entry.body);
    assert_eq!(read.as_deref().ok(), Some(&there));
    let Ok(routes) = reader.read(&name, &"2".into(), &bytes.to_vec().into()) else {
        assert_eq!(reader.last(&name).as_deref(), Some(&there));
        return;
    };
    let mut backwards = ServiceRoutes::clone(&routes);
    for list in backwards.http_lists_mut() {
        list.matches.reverse();
        list.rules.push(HttpRule::default().into());
    }
    let mut version: Arc<str> = "2".into();
    let (_, mut before) = encode::routes_entry(&routes);
    for expected in [&backwards, &routes, &there, &backwards] {
        let (_, now) = encode::routes_entry(expected);
        let edit = encode::routes_edit(&version, &before.body, &now.body);
        let body = edit.unwrap_or_else(|| now.body.clone());
        let read = reader.read(&name, &now.version, &body);
        assert_eq!(read.as_deref().ok(), Some(expected));
        (version, before) = (Arc::clone(&now.version), now);
    }
    for list in routes.http_lists() {
        // Either usable or an error that says what is not.
        drop(Compiled::new(list));
    }
}

/// Routes of two rules, each with a match.
fn there() -> ServiceRoutes {
    let mut http = HttpRoutes::default();
    for rule in 0..2 {
        let when = http_match(&format!("/{rule}"));
        http.matches.push(RoutedMatch {
            when: when.into(),
            rule,
        });
        let rule = HttpRule {
            name: rule.to_string().into(),
            ..HttpRule::default()
        };
        http.rules.push(rule.into());
    }
    let port = PortRoutes {
        producer: Some(RouteList::Http(http)),
        consumers: Default::default(),
    };
    ServiceRoutes {
        service: ServiceName::new("shop", "cart"),
        ports: [(80, port)].into(),
    }
}

/// Cookies: from clients.
pub fn session_cookie(bytes: &[u8]) {
    let session = Session::new(&SessionPersistence {
        name: "Sticky".into(),
        by: SessionCarrier::SessionCookie,
        absolute_timeout: Some(Duration::from_secs(60)),
    });
    let Ok(session) = session else { return };
    let mut own = HeaderMap::new();
    let tag = EndpointTag::of("pod");
    session.begin(&mut own, tag, UNIX_EPOCH, "/", false);
    let own = own.get(SET_COOKIE).map(HeaderValue::as_bytes);
    // Whatever else a client sends, the session goes on.
    let line = [bytes, b";", own.unwrap_or_default()].concat();
    let mut headers = HeaderMap::new();
    if let Ok(line) = HeaderValue::from_bytes(&line) {
        let is_text = line.to_str().is_ok();
        headers.insert(COOKIE, line);
        let read = session.read(&headers, UNIX_EPOCH).any(|read| read == tag);
        assert_eq!(read, is_text);
    }
}

fn compiled(matches: &[HttpMatch]) -> Option<Compiled> {
    let routed = matches.iter().cloned();
    let routes = HttpRoutes {
        matches: routed
            .map(|when| RoutedMatch {
                when: when.into(),
                rule: 0,
            })
            .collect(),
        rules: vec![HttpRule::default().into()],
    };
    Compiled::new(&routes).ok()
}

/// A match of words: the first is of the path, every other one of a field or the method.
fn http_match(line: &str) -> HttpMatch {
    let mut words = line.split(' ');
    let path = words.next().and_then(|word| {
        let (kind, text) = word.split_at_checked(1)?;
        match kind {
            "=" => Some(PathMatch::Exact(text.into())),
            "/" => Some(PathMatch::Segments(word.into())),
            "^" => Some(PathMatch::Prefix(text.into())),
            "~" => Some(PathMatch::Regex(Pattern(text.into()))),
            _ => None,
        }
    });
    let mut when = HttpMatch {
        path,
        ..HttpMatch::default()
    };
    for word in words {
        let Some((name, value)) = word.split_once('=') else {
            when.method = Some(TextMatch::Exact(word.into()));
            continue;
        };
        let (name, invert) = match name.strip_suffix('!') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let value = match value.split_at_checked(1) {
            Some(("^", text)) => TextMatch::Prefix(text.into()),
            Some(("~", text)) => TextMatch::Regex(Pattern(text.into())),
            Some(("*", _)) => TextMatch::Present,
            _ => TextMatch::Exact(value.into()),
        };
        let parameter = name.strip_prefix('?');
        let field = FieldMatch {
            name: parameter.unwrap_or(name).into(),
            value,
            invert,
        };
        match parameter {
            Some(_) => when.query.push(field),
            None => when.headers.push(field),
        }
    }
    when
}
