//! Texts are matched as a whole, by how they begin or by an expression, wherever they stand; gateways of others
//! match nothing; and rules and matches have names.

use ambit_e2e::scripted::Scripted;

use super::virtual_service;
use crate::fronted::Fronted;

/// Each answers with its name; the last one takes what no other did.
const RULES: &str = r"
  hosts: [server]
  gateways: [mesh, edge]
  http:
    - match: [{uri: {exact: /scheme/prefix}, scheme: {prefix: https}}]
      directResponse: {status: 200, body: {string: matched}}
    - match: [{uri: {exact: /scheme/regex}, scheme: {regex: 'h.*s'}}]
      directResponse: {status: 200, body: {string: matched}}
    - match: [{uri: {exact: /method/prefix}, method: {prefix: P}}]
      directResponse: {status: 200, body: {string: matched}}
    - match: [{uri: {exact: /method/regex}, method: {regex: 'GET|PUT'}}]
      directResponse: {status: 200, body: {string: matched}}
    - match: [{uri: {exact: /authority/prefix}, authority: {prefix: 'shop.'}}]
      directResponse: {status: 200, body: {string: matched}}
    - match: [{uri: {exact: /authority/regex}, authority: {regex: '[a-z]+\.example'}}]
      directResponse: {status: 200, body: {string: matched}}
    - match: [{uri: {exact: /headers}, headers: {x-tier: {exact: gold}, x-any: {}}}]
      directResponse: {status: 200, body: {string: matched}}
    - match: [{uri: {exact: /without/exact}, withoutHeaders: {x-tier: {exact: gold}}}]
      directResponse: {status: 200, body: {string: matched}}
    - match: [{uri: {exact: /without/prefix}, withoutHeaders: {x-tier: {prefix: go}}}]
      directResponse: {status: 200, body: {string: matched}}
    - match: [{uri: {exact: /without/regex}, withoutHeaders: {x-tier: {regex: 'g.*'}}}]
      directResponse: {status: 200, body: {string: matched}}
    - match: [{uri: {exact: /query/exact}, queryParams: {tier: {exact: gold}}}]
      directResponse: {status: 200, body: {string: matched}}
    - match: [{uri: {exact: /query/prefix}, queryParams: {tier: {prefix: go}}}]
      directResponse: {status: 200, body: {string: matched}}
    - match: [{uri: {exact: /gateways/edge}, gateways: [edge]}]
      directResponse: {status: 200, body: {string: matched}}
    - match: [{uri: {exact: /gateways/mesh}, gateways: [edge, mesh]}]
      directResponse: {status: 200, body: {string: matched}}
    - name: own
      match: [{name: beginning, uri: {prefix: /named}}]
      directResponse: {status: 200, body: {string: matched}}
    - name: rest
      route: [{destination: {host: one}}]
";

/// Method and path, more lines of the head, and whether the rule of the path takes it.
const ASKED: [(&str, &str, bool); 30] = [
    ("GET /scheme/prefix", "X-Forwarded-Proto: https\r\n", true),
    ("GET /scheme/prefix", "", false),
    ("GET /scheme/regex", "X-Forwarded-Proto: https\r\n", true),
    ("GET /scheme/regex", "X-Forwarded-Proto: http\r\n", false),
    ("PUT /method/prefix", "", true),
    ("GET /method/prefix", "", false),
    ("GET /method/regex", "", true),
    ("OPTIONS /method/regex", "", false),
    ("GET /authority/prefix", "Host: shop.example\r\n", true),
    ("GET /authority/prefix", "Host: a.shop.example\r\n", false),
    ("GET /authority/regex", "Host: shop.example\r\n", true),
    ("GET /authority/regex", "Host: shop.example.org\r\n", false),
    ("GET /headers", "X-Tier: gold\r\nX-Any: x\r\n", true),
    ("GET /headers", "X-Tier: golden\r\nX-Any: x\r\n", false),
    ("GET /headers", "X-Tier: gold\r\n", false),
    ("GET /without/exact", "X-Tier: golden\r\n", true),
    ("GET /without/exact", "", true),
    ("GET /without/exact", "X-Tier: gold\r\n", false),
    ("GET /without/prefix", "X-Tier: silver\r\n", true),
    ("GET /without/prefix", "X-Tier: golden\r\n", false),
    ("GET /without/regex", "X-Tier: silver\r\n", true),
    ("GET /without/regex", "X-Tier: golden\r\n", false),
    ("GET /query/exact?tier=gold", "", true),
    ("GET /query/exact?tier=golden", "", false),
    ("GET /query/prefix?a=b&tier=golden", "", true),
    ("GET /query/prefix?tier=silver", "", false),
    ("GET /query/prefix", "", false),
    ("GET /gateways/edge", "", false),
    ("GET /gateways/mesh", "", true),
    ("GET /named/too", "", true),
];

#[test]
fn texts_are_matched_in_every_way_and_rules_have_names() {
    let fronted = Fronted::start(&["one"]);
    let _one = Scripted::saying(&fronted.pod("one"), 8080, "another").unwrap();
    let text = virtual_service("matches", RULES);
    fronted.route(&text, "VirtualService/shop/matches/rest");
    for (asked, headers, is_matched) in ASKED {
        let host = if headers.starts_with("Host:") {
            ""
        } else {
            "Host: server\r\n"
        };
        let mut client = fronted.connect(80);
        let head = format!("{asked} HTTP/1.1\r\n{host}{headers}\r\n");
        client.send(head).unwrap();
        let expected = if is_matched { "matched" } else { "another" };
        assert_eq!(client.answer().unwrap().body, expected, "{asked} {headers}");
    }
    for (path, name) in [("/named/too", "own.beginning"), ("/gateways/edge", "rest")] {
        let route = fronted.logged(path).field("route");
        assert_eq!(route, format!("VirtualService/shop/matches/{name}"));
    }
}
