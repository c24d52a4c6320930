//! Istio's RequestAuthentication, written as its users write it and seen through a real waypoint; the keys come
//! from an issuer of ours, which can be slow, huge, lying or away.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use ambit_e2e::clients::Answer;
use ambit_e2e::lab::address::WAN_V4;
use ambit_e2e::scripted::{Deed, Scripted, Then};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::SPREAD;
use ambit_jwt::testing::{Signer, key_set};
use serde_json::{Value, json};

use crate::fronted::{Beside, Fronted};

/// Where the issuer's server is, on the control plane's own network.
const PORT: u16 = 8181;
const FIRST: &str = "first";
const SECOND: &str = "second";

static KEY: LazyLock<Signer> = LazyLock::new(Signer::rsa);
static NEXT: LazyLock<Signer> = LazyLock::new(|| Signer::curve("ES256"));
static FOREIGN: LazyLock<Signer> = LazyLock::new(Signer::rsa);

/// A server of keys.
struct Issuer {
    says: Arc<Mutex<Deed>>,
    server: Option<Scripted>,
}

impl Issuer {
    fn start(fronted: &Fronted) -> Self {
        let says = Arc::new(Mutex::new(Deed::answer(200, "")));
        let mut issuer = Self { says, server: None };
        issuer.open(fronted);
        issuer
    }

    /// The server is there (again).
    fn open(&mut self, fronted: &Fronted) {
        let says = Arc::clone(&self.says);
        let server = Scripted::start_in(fronted.world.lab.wan(), PORT, move |heard, _| match heard
            .path()
        {
            "/.well-known/openid-configuration" => {
                let at = SocketAddr::from((WAN_V4, PORT));
                let document = json!({
                    "issuer": format!("http://{at}"), "jwks_uri": format!("http://{at}/keys"),
                });
                Deed::answer(200, &document.to_string())
            }
            _ => says.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        });
        self.server = Some(server.unwrap());
    }

    fn close(&mut self) {
        self.server = None;
    }

    fn say(&self, deed: Deed) {
        *self.says.lock().unwrap_or_else(PoisonError::into_inner) = deed;
    }

    fn publish(&self, keys: &[Value]) {
        self.say(Deed::answer(200, &key_set(keys)));
    }

    fn url() -> String {
        format!("http://{}", SocketAddr::from((WAN_V4, PORT)))
    }
}

/// A `RequestAuthentication` of namespace `shop`.
fn authentication(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\n\
         metadata: {{name: {name}, namespace: shop}}\nspec:\n{spec}"
    )
}

fn token(signer: &Signer, algorithm: &str, kid: &str, more: &Value) -> String {
    let mut claims = json!({
        "iss": Issuer::url(), "sub": "alice", "aud": ["shop"], "exp": 4_000_000_000_u64,
        "groups": ["a", "b"],
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    signer.token(&json!({"alg": algorithm, "kid": kid}), &claims)
}

fn good() -> String {
    token(&KEY, "RS256", FIRST, &json!({}))
}

fn next() -> String {
    token(&NEXT, "ES256", SECOND, &json!({}))
}

fn ask(fronted: &Fronted, path: &str, token: &str) -> Answer {
    fronted.get(path, &format!("Authorization: Bearer {token}\r\n"))
}

fn await_status(fronted: &Fronted, what: &str, token: &str, status: u16) {
    let path = format!("/await/{}", what.replace(' ', "-"));
    let seen = || ask(fronted, &path, token).status;
    let came = wait_until(what, SPREAD, || seen() == status);
    came.unwrap_or_else(|error| {
        let metrics = fronted
            .world
            .mesh
            .control_plane
            .metrics()
            .unwrap_or_default();
        let fetches = metrics.lines().filter(|line| line.contains("jwks"));
        let fetches: Vec<&str> = fetches.collect();
        panic!("{error:#}: {} {fetches:#?}", seen())
    });
}

/// How often a fetch has had this outcome.
fn fetches(fronted: &Fronted, outcome: &str) -> u64 {
    let metrics = fronted
        .world
        .mesh
        .control_plane
        .metrics()
        .unwrap_or_default();
    let series = format!("ambit_jwks_fetches_total{{outcome=\"{outcome}\"}} ");
    let mut found = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(&series));
    found
        .next()
        .and_then(|count| count.parse().ok())
        .unwrap_or(0)
}

const BOUND: &str = "  targetRefs: [{kind: Service, name: server}]\n";

/// A world in which keys are fetched every second.
fn fetching_often() -> Fronted {
    Fronted::beside(&Beside {
        control_plane: &["--jwks-refresh=1s"],
        ..Beside::default()
    })
}

#[test]
fn tokens_are_verified_by_keys_that_are_fetched() {
    let fronted = fetching_often();
    let server = Scripted::saying(&fronted.pod("server"), 8080, "served").unwrap();
    let mut issuer = Issuer::start(&fronted);
    issuer.publish(&[KEY.public(FIRST)]);
    let spec = format!(
        "{BOUND}  jwtRules:\n  - issuer: {url}\n    jwksUri: {url}/keys\n    audiences: [shop]\n    timeout: 1s\n\
         \x20   outputPayloadToHeader: x-payload\n\
         \x20   outputClaimToHeaders: [{{header: x-sub, claim: sub}}, {{header: x-groups, claim: groups}}]\n",
        url = Issuer::url()
    );
    let configuration = &fronted.world.mesh.configuration;
    configuration
        .apply("tokens", &authentication("tokens", &spec))
        .unwrap();
    let foreign = token(&FOREIGN, "RS256", FIRST, &json!({}));
    await_status(&fronted, "the rule", &foreign, 401);
    await_status(&fronted, "the keys", &good(), 200);
    verdicts(&fronted, &server);
    rotation(&fronted, &issuer);
    // Whatever the server does, the last good keys stay.
    for (what, outcome, deed) in [
        (
            "slow",
            "late",
            Deed::new(
                "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
                Then::Hang,
            ),
        ),
        (
            "huge",
            "too_long",
            Deed::answer(200, &" ".repeat((1 << 20) + 1)),
        ),
        (
            "lying",
            "unusable",
            Deed::answer(200, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}"),
        ),
        ("a page", "unusable", Deed::answer(200, "<html>")),
        ("broken", "status", Deed::answer(500, "")),
        (
            "elsewhere",
            "redirect",
            Deed::with(302, "Location: http://169.254.169.254/\r\n", ""),
        ),
    ] {
        let before = fetches(&fronted, outcome);
        issuer.say(deed);
        let came = wait_until(what, SPREAD, || fetches(&fronted, outcome) > before);
        came.unwrap();
        assert_eq!(ask(&fronted, "/meanwhile", &next()).status, 200, "{what}");
    }
    issuer.close();
    let before = fetches(&fronted, "connect");
    wait_until("away", SPREAD, || fetches(&fronted, "connect") > before).unwrap();
    assert_eq!(ask(&fronted, "/meanwhile", &next()).status, 200);
    issuer.publish(&[KEY.public(FIRST)]);
    issuer.open(&fronted);
    await_status(&fronted, "the old key", &good(), 200);
    await_status(&fronted, "the new key to be gone", &next(), 401);
}

/// What becomes of requests with and without tokens.
fn verdicts(fronted: &Fronted, server: &Scripted) {
    let heard = |path: &str| {
        let heard = server.heard_at(path);
        assert_eq!(heard.len(), 1, "{path}");
        heard.into_iter().next().unwrap()
    };
    // No token passes, and nobody forges what is made of one.
    let forged = "X-Sub: mallory\r\nX-Payload: e30\r\n";
    assert_eq!(fronted.get("/none", forged).status, 200);
    assert_eq!(heard("/none").header("x-sub"), None);
    assert_eq!(heard("/none").header("x-payload"), None);

    assert_eq!(ask(fronted, "/good", &good()).status, 200);
    let seen = heard("/good");
    assert_eq!(seen.header("x-sub").as_deref(), Some("alice"));
    assert!(seen.header("x-groups").is_some() && seen.header("authorization").is_none());
    let payload = good().split('.').nth(1).map(str::to_owned);
    assert_eq!(seen.header("x-payload"), payload);
    assert_eq!(
        fronted
            .get(&format!("/query?a=1&access_token={}", good()), "")
            .status,
        200
    );
    assert_eq!(server.heard_at("/query?a=1").len(), 1);

    let with = |more: Value| token(&KEY, "RS256", FIRST, &more);
    let unsigned = {
        let parts: Vec<String> = token(&KEY, "none", FIRST, &json!({}))
            .split('.')
            .map(str::to_owned)
            .collect();
        format!("{}.{}.{}", parts[0], parts[1], parts[2])
    };
    for (name, bad, status, said) in [
        ("none-algorithm", unsigned, 401, "jwt_algorithm"),
        (
            "foreign",
            token(&FOREIGN, "RS256", FIRST, &json!({})),
            401,
            "jwt_signature",
        ),
        ("other-key", next(), 401, "jwt_unknown_key"),
        (
            "issuer",
            with(json!({"iss": "https://other"})),
            401,
            "jwt_unknown_issuer",
        ),
        (
            "audience",
            with(json!({"aud": "bank"})),
            403,
            "jwt_audience",
        ),
        ("expired", with(json!({"exp": 1})), 401, "jwt_expired"),
        (
            "early",
            with(json!({"nbf": 4_000_000_000_u64})),
            401,
            "jwt_not_yet_valid",
        ),
        ("garbage", "abc".to_owned(), 401, "jwt_malformed"),
    ] {
        let path = format!("/bad/{name}");
        let answer = ask(fronted, &path, &bad);
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(
            challenge.ends_with("error=\"invalid_token\""),
            "{challenge}"
        );
        assert!(server.heard_at(&path).is_empty(), "{name}");
        let line = fronted.logged(&path);
        let fields = ["reason", "response_flags", "policy"].map(|field| line.field(field));
        assert_eq!(fields, [said, "-", "shop/tokens"], "{name}");
    }
    let expired = ask(fronted, "/expired", &with(json!({"exp": 1})));
    assert_eq!(expired.body, "Jwt is expired");
}

/// The issuer changes its keys: first both count, then only the new one.
fn rotation(fronted: &Fronted, issuer: &Issuer) {
    issuer.publish(&[KEY.public(FIRST), NEXT.public(SECOND)]);
    await_status(fronted, "the new key", &next(), 200);
    assert_eq!(ask(fronted, "/both", &good()).status, 200);
    issuer.publish(&[NEXT.public(SECOND)]);
    await_status(fronted, "the old key to be gone", &good(), 401);
    assert_eq!(ask(fronted, "/new", &next()).status, 200);
}

#[test]
fn pods_and_issuers_that_say_where_their_keys_are() {
    let fronted = fetching_often();
    let server = Scripted::saying(&fronted.pod("server"), 8080, "served").unwrap();
    let issuer = Issuer::start(&fronted);
    issuer.publish(&[KEY.public(FIRST)]);
    // Of the pods of the namespace, not of the service; the token goes on.
    let spec = format!(
        "  jwtRules:\n  - issuer: {}\n    forwardOriginalToken: true\n    fromHeaders: [{{name: x-token, prefix: 'Token '}}]\n",
        Issuer::url()
    );
    let configuration = &fronted.world.mesh.configuration;
    configuration
        .apply("rules", &authentication("pods", &spec))
        .unwrap();
    let ask = |path: &str, token: &str| fronted.get(path, &format!("X-Token: Token {token}\r\n"));
    let foreign = token(&FOREIGN, "RS256", FIRST, &json!({}));
    wait_until("the rule", SPREAD, || ask("/await", &foreign).status == 401).unwrap();
    wait_until("the keys", SPREAD, || ask("/await", &good()).status == 200).unwrap();
    assert_eq!(ask("/good", &good()).status, 200);
    let heard = server.heard_at("/good").remove(0);
    assert_eq!(heard.header("x-token"), Some(format!("Token {}", good())));
    // One that cannot be read leaves the last good one in force.
    let broken = authentication("pods", "  jwtRules: [{isuer: a}]\n");
    configuration.apply("rules", &broken).unwrap();
    configuration
        .apply(
            "more",
            &authentication("more", &format!("{BOUND}  jwtRules: [{{isuer: a}}]\n")),
        )
        .unwrap();
    // One that never could refuses.
    wait_until("the other", SPREAD, || ask("/await", &good()).status == 503).unwrap();
    assert_eq!(ask("/unknown", "x").status, 503);
    assert_eq!(
        fronted.logged("/unknown").field("reason"),
        "authentication_unknown"
    );
    configuration.remove("more").unwrap();
    wait_until("its end", SPREAD, || ask("/await", &good()).status == 200).unwrap();
    assert_eq!(ask("/bad", &foreign).status, 401);
    // Of other pods, and of these; from where the object itself says.
    let keys = format!("jwks_uri: {}/elsewhere\n    forward", Issuer::url());
    let spec = spec.replace("forward", &keys);
    for (app, status) in [("client", 200), ("server", 401)] {
        let selected = format!("  selector: {{matchLabels: {{app: {app}}}}}\n{spec}");
        let object = authentication("pods", &selected);
        configuration.apply("rules", &object).unwrap();
        wait_until(app, SPREAD, || ask("/await", &foreign).status == status).unwrap();
    }
    wait_until("its keys", SPREAD, || ask("/await", &good()).status == 200).unwrap();
    let asked = || issuer.server.as_ref().unwrap().heard_at("/elsewhere");
    wait_until("them to be fetched", SPREAD, || !asked().is_empty()).unwrap();
    configuration.remove("rules").unwrap();
    wait_until("the end", SPREAD, || ask("/await", &foreign).status == 200).unwrap();
}

#[test]
fn tokens_stand_where_the_rule_says_and_policies_see_the_words_of_their_claims() {
    let fronted = Fronted::start(&[]);
    let server = Scripted::saying(&fronted.pod("server"), 8080, "served").unwrap();
    let keys = key_set(&[KEY.public(FIRST)]);
    let spec = format!(
        "  targetRef: {{group: '', kind: Service, name: server, namespace: shop}}\n\
         \x20 jwtRules:\n  - issuer: {}\n    jwks: '{keys}'\n    fromParams: [auth]\n    fromCookies: [session]\n\
         \x20   spaceDelimitedClaims: [roles]\n",
        Issuer::url()
    );
    let policy = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
                  metadata: {name: admins, namespace: shop}\nspec:\n  \
                  targetRefs: [{kind: Service, group: '', name: server}]\n  \
                  rules: [{when: [{key: 'request.auth.claims[roles]', values: [admin]}]}]\n";
    let objects = authentication("places", &spec) + policy;
    let configuration = &fronted.world.mesh.configuration;
    configuration.apply("places", &objects).unwrap();
    let of = |roles: &str| token(&KEY, "RS256", FIRST, &json!({"roles": roles}));
    let (admin, reader) = (of("reader admin"), of("reader administrator"));
    let by_param =
        |path: &str, token: &str| fronted.get(&format!("{path}?a=1&auth={token}&b=2"), "");
    let by_cookie = |path: &str, token: &str| {
        let cookies = format!("Cookie: a=1; session={token}; b=2\r\n");
        fronted.get(path, &cookies)
    };
    wait_until("the policy", SPREAD, || {
        fronted.get("/await", "").status == 403
    })
    .unwrap();
    assert_eq!(by_param("/param", &admin).status, 200);
    assert_eq!(by_cookie("/cookie", &admin).status, 200);
    // The application does not see it, but in a cookie, and sees all else.
    let heard = server.heard_at("/param?a=1&b=2");
    assert_eq!(heard.len(), 1, "{:?}", server.heard_at("/param"));
    let heard = server.heard_at("/cookie").remove(0);
    let cookies = format!("a=1; session={admin}; b=2");
    assert_eq!(heard.header("cookie"), Some(cookies));
    for (asked, status) in [
        (by_param("/reader", &reader), 403),
        (by_cookie("/reader", &reader), 403),
        (
            by_param(
                "/forged",
                &token(&FOREIGN, "RS256", FIRST, &json!({"roles": "admin"})),
            ),
            401,
        ),
        // Not where the rule looks: it is none.
        (ask(&fronted, "/header", &admin), 403),
        (
            fronted.get(&format!("/usual?access_token={admin}"), ""),
            403,
        ),
    ] {
        assert_eq!(asked.status, status);
    }
    for path in ["/reader", "/forged", "/header", "/usual"] {
        assert!(server.heard_at(path).is_empty(), "{path}");
    }
}
