//! Istio's VirtualService, written as its users write it and seen through a real waypoint.

mod changes;
mod faults;
mod many;
mod matches;
mod moves;
mod places;
mod streams;
mod ways;

use ambit_e2e::scripted::{Deed, Scripted, Then};
use ambit_e2e::wait::wait_until;

use crate::fronted::Fronted;
use crate::support::SOON;

/// A VirtualService of namespace `shop`, with a spec given as YAML.
fn virtual_service(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: {name}, namespace: shop}}\nspec:\n{spec}"
    )
}

/// Contract lines M12 and M13 as they stand there: retries and time-outs, a canary of one in ten, a
/// mirror.
const CONTRACT: &str = "
  hosts:
    - server
  http:
    - match:
        - uri:
            prefix: /m12
      timeout: 10s # total timeout including retries
      retries:
        attempts: 3
        perTryTimeout: 2s
        retryOn: 5xx,reset,connect-failure,retriable-4xx
      route:
        - destination:
            host: one
    - route:
        - destination:
            host: one
          weight: 90
        - destination:
            host: two
          weight: 10
      mirror:
        host: three
      mirrorPercentage:
        value: 20.0
";

/// What the server does about a request under `/m12`, by the words of its path: a misdeed, and for how
/// many tries.
fn misbehave(path: &str, before: usize) -> Deed {
    let mut words = path.rsplit('/');
    let times: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    match words.next().unwrap_or_default() {
        _ if before >= times => Deed::answer(200, "one"),
        "reset" => Deed::new("", Then::Reset),
        "slow" => Deed::new("", Then::Hang),
        status => Deed::answer(status.parse().unwrap_or(200), "badly"),
    }
}

#[test]
fn the_contract_s_canary_mirror_retries_and_time_outs_hold() {
    let fronted = Fronted::start(&["one", "two", "three"]);
    let one = Scripted::start(&fronted.pod("one"), 8080, |heard, before| {
        misbehave(heard.path(), before)
    });
    let one = one.unwrap();
    let two = Scripted::saying(&fronted.pod("two"), 8080, "two").unwrap();
    let three = Scripted::saying(&fronted.pod("three"), 8080, "three").unwrap();
    let text = virtual_service("contract", CONTRACT);
    fronted.route(&text, "VirtualService/shop/contract/1");
    canary(&fronted, &one, &two, &three);
    for misdeed in ["reset", "500", "503", "409"] {
        let path = format!("/m12/{misdeed}/3");
        assert_eq!(fronted.get(&path, "").status, 200, "{path}");
        assert_eq!(one.heard_at(&path).len(), 4, "{path}");
        let line = fronted.logged(&path);
        assert_eq!(line.field("tries"), "4");
        assert_eq!(line.field("route"), "VirtualService/shop/contract/0");
        let path = format!("/m12/{misdeed}/9");
        let status = fronted.get(&path, "").status;
        assert_eq!(status, misdeed.parse().unwrap_or(503), "{path}");
        assert_eq!(one.heard_at(&path).len(), 4, "{path}");
    }
    // Not a reason to try again.
    assert_eq!(fronted.get("/m12/404/1", "").status, 404);
    assert_eq!(one.heard_at("/m12/404/1").len(), 1);
    // Four tries of two seconds each.
    let began = std::time::Instant::now();
    assert_eq!(fronted.get("/m12/slow/9", "").status, 504);
    let took = began.elapsed().as_secs();
    assert!((8..10).contains(&took), "{took}");
    assert_eq!(one.heard_at("/m12/slow/9").len(), 4);
    let flags = fronted.logged("/m12/slow/9").field("response_flags");
    assert_eq!(flags, "URX,UT");
}

/// Ten thousand requests, of which one in ten goes to the canary, and one in five is copied.
fn canary(fronted: &Fronted, one: &Scripted, two: &Scripted, three: &Scripted) {
    let args = ["--h1", "-n10000", "-c8", "-t1", "http://server/canary"];
    let report = fronted.run("h2load", &args);
    assert!(report.contains("10000 2xx"), "{report}");
    let count = |server: &Scripted| server.heard_at("/canary").len();
    assert_eq!(count(one) + count(two), 10_000);
    assert_near(count(two), 10_000, 0.1);
    let near = wait_until("the copies", SOON, || is_near(count(three), 10_000, 0.2));
    near.unwrap_or_else(|error| panic!("{} copies: {error:#}", count(three)));
    let copies = three.heard_at("/canary");
    assert_eq!(copies[0].header("host").as_deref(), Some("server-shadow"));
}

/// Whether a count is what chance makes of a share; otherwise once in ten million times.
fn is_near(count: usize, of: u32, share: f64) -> bool {
    let of = f64::from(of);
    let bound = 5.4 * (of * share * (1.0 - share)).sqrt();
    let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    (count - of * share).abs() <= bound
}

pub(crate) fn assert_near(count: usize, of: u32, share: f64) {
    assert!(
        is_near(count, of, share),
        "{count} of {of} instead of {share}"
    );
}
