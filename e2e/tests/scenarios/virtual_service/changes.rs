//! Matches, rewrites, redirects and answers of a rule's own, asserted at the backend and the client.

use ambit_e2e::scripted::{Deed, Scripted};

use super::virtual_service;
use crate::fronted::Fronted;

const RULES: &str = r"
  hosts: [server.shop.svc.cluster.local]
  http:
    - match: [{uri: {prefix: /prefix}}]
      rewrite: {uri: /new, authority: other.example}
      route: [{destination: {host: one}}]
    - match: [{uri: {exact: /exact}}]
      rewrite: {uri: /whole}
      route: [{destination: {host: one}}]
    - match: [{uri: {regex: '/regex/[0-9]+'}}]
      rewrite: {uriRegexRewrite: {match: '^/regex/([0-9]+)$', rewrite: '/number/\1/of'}}
      route: [{destination: {host: one}}]
    - match: [{uri: {exact: /CASE}, ignoreUriCase: true}]
      route: [{destination: {host: two}}]
    - match: [{uri: {prefix: /old}}]
      redirect: {uri: /moved, authority: new.example, redirectCode: 302}
    - match: [{uri: {exact: /closed}}]
      headers: {response: {set: {x-why: closed}}}
      directResponse: {status: 503, body: {string: 'closed for today'}}
    - match: [{headers: {end-user: {exact: jason}}, method: {exact: GET}}]
      route: [{destination: {host: two}}]
    - match: [{uri: {exact: /without}, withoutHeaders: {x-no: {}}}]
      route: [{destination: {host: two}}]
    - match: [{queryParams: {v: {regex: '2|3'}}}]
      route: [{destination: {host: two}}]
    - match: [{uri: {prefix: /label}, sourceLabels: {app: nobody}}]
      directResponse: {status: 500}
    - match: [{uri: {prefix: /label}, sourceLabels: {app: client}, sourceNamespace: shop}]
      route: [{destination: {host: two}}]
    - match: [{authority: {exact: 'shop.example:8'}}]
      route: [{destination: {host: two}}]
    - match: [{uri: {exact: /subset}}]
      route: [{destination: {host: one, subset: v1}}]
    - match: [{uri: {prefix: /headers}}]
      headers:
        request: {set: {x-set: rule}, add: {x-add: added}, remove: [x-remove]}
        response: {remove: [x-gone], add: {x-more: more}}
      route:
        - destination: {host: one}
          headers: {request: {set: {x-own: one}}}
    - match: [{uri: {prefix: /of-destination}}]
      route:
        - destination: {host: one}
          headers:
            request: {set: {x-set: own}, add: {x-add: added}, remove: [x-remove]}
            response: {set: {x-tone: own}, add: {x-gone: 'no'}, remove: [x-server]}
    - match: [{uri: {exact: /bytes}}]
      directResponse: {status: 200, body: {bytes: Zm9yIHRvZGF5}}
";

#[test]
fn requests_are_matched_changed_redirected_and_answered_as_the_rules_say() {
    let fronted = Fronted::start(&["one", "two"]);
    let one = Scripted::start(&fronted.pod("one"), 8080, |_, _| {
        Deed::with(
            200,
            "x-gone: yes\r\nx-server: one\r\nx-tone: one\r\n",
            "one",
        )
    });
    let one = one.unwrap();
    let _two = Scripted::saying(&fronted.pod("two"), 8080, "two").unwrap();
    let text = virtual_service("changes", RULES);
    fronted.route(&text, "VirtualService/shop/changes/0");
    for (asked, heard, host) in [
        ("/prefix/x?q=1", "/new/x?q=1", "other.example"),
        ("/prefixed", "/newed", "other.example"),
        ("/exact", "/whole", "server"),
        ("/regex/42?a=b", "/number/42/of?a=b", "server"),
    ] {
        assert_eq!(fronted.get(asked, "").body, "one", "{asked}");
        let heard = one.heard_at(heard);
        assert_eq!(heard.len(), 1, "{asked}: {:?}", one.heard());
        assert_eq!(heard[0].header("host").as_deref(), Some(host));
    }
    for (asked, headers) in [
        ("/caSe", ""),
        ("/", "End-User: jason\r\n"),
        ("/without", ""),
        ("/?v=3", ""),
        ("/label/x", ""),
    ] {
        let answer = fronted.get(asked, headers);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "two"),
            "{asked}"
        );
    }
    let mut client = fronted.connect(80);
    client
        .send("GET /any HTTP/1.1\r\nHost: shop.example:8\r\n\r\n")
        .unwrap();
    assert_eq!(client.answer().unwrap().body, "two");
    for (asked, headers, status, reason) in [
        ("/nothing", "", 404, "no_route"),
        ("/without", "X-No: really\r\n", 404, "no_route"),
        ("/regex/x", "", 404, "no_route"),
        ("/subset", "", 503, "unknown_subset"),
    ] {
        let answer = fronted.get(asked, headers);
        assert_eq!(
            (answer.status, answer.body.trim()),
            (status, reason),
            "{asked}"
        );
    }
    assert_eq!(fronted.logged("/subset").field("response_flags"), "NC");
    let answer = fronted.get("/old/x?q=1", "");
    assert_eq!(answer.status, 302);
    assert_eq!(
        answer.header("location").as_deref(),
        Some("http://new.example/moved?q=1")
    );
    let answer = fronted.get("/closed", "");
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, "closed for today")
    );
    assert_eq!(answer.header("x-why").as_deref(), Some("closed"));

    let answer = fronted.get(
        "/headers",
        "X-Set: mine\r\nX-Add: mine\r\nX-Remove: mine\r\n",
    );
    assert_eq!(answer.header("x-gone"), None);
    assert_eq!(answer.header("x-more").as_deref(), Some("more"));
    let heard = one.heard_at("/headers").remove(0);
    for (name, value) in [
        ("x-set", Some("rule")),
        ("x-add", Some("mine,added")),
        ("x-remove", None),
        ("x-own", Some("one")),
    ] {
        assert_eq!(heard.header(name).as_deref(), value, "{name}");
    }
    of_a_destination(&fronted, &one);
    assert_eq!(fronted.get("/bytes", "").body, "for today");
}

/// What the rule says of one of its destinations alone.
fn of_a_destination(fronted: &Fronted, one: &Scripted) {
    let mine = "X-Set: mine\r\nX-Add: mine\r\nX-Remove: mine\r\n";
    let answer = fronted.get("/of-destination", mine);
    let heard = one.heard_at("/of-destination").remove(0);
    for (found, value) in [
        (heard.header("x-set"), Some("own")),
        (heard.header("x-add"), Some("mine,added")),
        (heard.header("x-remove"), None),
        (answer.header("x-tone"), Some("own")),
        (answer.header("x-server"), None),
    ] {
        assert_eq!(found.as_deref(), value, "{} {}", heard.head, answer.head);
    }
    let lines = answer
        .head
        .lines()
        .filter(|line| line.starts_with("x-gone: "));
    assert_eq!(lines.collect::<Vec<_>>(), ["x-gone: yes", "x-gone: no"]);
}
