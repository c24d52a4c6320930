//! Thousands of routes and endpoints: what a request costs among them, and what a change does.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::unistd::Pid;

use super::super::figures::{Goal, median, show};
use super::super::report::Section;
use super::super::usage::{Threads, family, pin};
use super::super::{Effort, note};
use super::proxies::{Proxy, ambit};
use super::rounds::Contender;
use super::traffic::Traffic;
use super::{MEASURED, backend, plain};
use crate::mesh::{Waypoint, sum_of};
use crate::wait::wait_until;
use crate::world::{NAMESPACE, SPREAD, WAYPOINT, World};
use crate::yaml::{self, PodObject};

/// Routes of the service: few, and many.
const ROUTES: [u16; 2] = [10, 1_000];
/// Endpoints of a service that is bound to the same waypoint: few, and many.
const ENDPOINTS: [u16; 2] = [100, 10_000];
/// Changes whose cost is taken together.
const CHANGES: u32 = 50;
/// Between two changes: longer than the control plane waits for more of them.
const PACE: Duration = Duration::from_millis(100);
/// What a change among many may cost, compared to one among few.
const NO_GROWTH: Goal = Goal::AtMost(1.5);
/// The same of a request.
const NOT_MEASURABLE: Goal = Goal::AtMost(1.05);

/// How much the waypoint has to know, beside the service that is asked.
#[derive(Debug, Clone, Copy)]
struct Size {
    routes: u16,
    endpoints: u16,
}

const SIZES: [Size; 3] = [
    Size {
        routes: ROUTES[0],
        endpoints: ENDPOINTS[0],
    },
    Size {
        routes: ROUTES[1],
        endpoints: ENDPOINTS[0],
    },
    Size {
        routes: ROUTES[0],
        endpoints: ENDPOINTS[1],
    },
];

/// Measures in a world of its own.
pub(super) fn measure(effort: Effort) -> Result<Section> {
    note("building the waypoint's world, to grow");
    let world = plain::world()?;
    let server = world.pod("server")?;
    let _backend = backend(&world, &server)?;
    let waypoint = ambit(&world)?;
    pin(&family(waypoint.program.pid()), MEASURED)?;
    let mut taken = Vec::new();
    for size in SIZES {
        taken.push(measure_size(&world, &waypoint, size, effort)?);
    }
    let mut rows = Vec::new();
    for (index, (what, goal)) in [
        ("HTTP/1.1, 1 KiB: CPU s/100k", NOT_MEASURABLE),
        ("one changed route: CPU ms", NO_GROWTH),
        ("one changed endpoint: CPU ms", NO_GROWTH),
    ]
    .into_iter()
    .enumerate()
    {
        let figures: Vec<f64> = taken
            .iter()
            .filter_map(|all| all.get(index).copied())
            .collect();
        let few = figures.first().copied().unwrap_or(f64::NAN);
        let worst = figures.iter().copied().fold(few, f64::max) / few;
        let mut row = vec![what.to_owned()];
        row.extend(figures.iter().map(|figure| show(*figure)));
        row.extend([
            format!("{worst:.2}"),
            goal.text(""),
            goal.verdict(worst).to_owned(),
        ]);
        rows.push(row);
    }
    let mut head = vec!["figure".to_owned()];
    head.extend(SIZES.map(|size| format!("{} routes, {} endpoints", size.routes, size.endpoints)));
    head.extend(["worst to first", "target", ""].map(str::to_owned));
    Ok(Section {
        title: "Waypoint, growth".to_owned(),
        note: format!(
            "One hop, HTTPRoutes of the service that is asked (requests meet the last one), \
             endpoints of another service bound to the same waypoint. The cost of a change is the \
             waypoint's CPU time for {CHANGES} of them, one each {} ms, less what it uses without.",
            PACE.as_millis()
        ),
        head,
        rows,
    })
}

/// CPU seconds for 100,000 requests; milliseconds for a changed route, and a changed endpoint.
fn measure_size(
    world: &World,
    waypoint: &Waypoint,
    size: Size,
    effort: Effort,
) -> Result<[f64; 3]> {
    let configuration = &world.mesh.configuration;
    configuration.apply("routes", &routes(size.routes))?;
    configuration.apply("many", &endpoints(size.endpoints))?;
    await_known(waypoint, size)?;
    let (client, files) = (world.pod("client")?, world.dir("backend"));
    let contender = Contender {
        proxy: Proxy::Ambit,
        pids: family(waypoint.program.pid()),
        from: client.namespace(),
        at: plain::at(world, Proxy::Ambit)?,
        files: &files,
        headers: Vec::new(),
    };
    let request = || Ok(contender.cost(Traffic::Http1, effort.time)?.0);
    let requests = (0..effort.runs.max(3))
        .map(|_| request())
        .collect::<Result<Vec<f64>>>()?;
    let request = median(&requests).context("no run")?;

    let idle = used(&contender.pids, |_turn| Ok(()))?;
    let of_route = used(&contender.pids, |turn| {
        configuration.apply("changed", &route("changed", &format!("/changed-{turn}")))
    })?;
    let last = format!("/changed-{}", CHANGES - 1);
    let arrived = || {
        let dump = waypoint.config_dump();
        dump.is_ok_and(|dump| dump.to_string().contains(&last))
    };
    wait_until("the last change of a route", SPREAD, arrived)?;
    configuration.remove("changed")?;
    thread::sleep(PACE * 5);
    let of_endpoint = used(&contender.pids, |turn| match turn % 2 {
        0 => configuration.apply("changed", &pod(u16::MAX)),
        _ => configuration.remove("changed"),
    })?;
    Ok([request, of_route - idle, of_endpoint - idle])
}

/// Milliseconds of CPU time for each of so many changes.
fn used(pids: &[Pid], change: impl Fn(u32) -> Result<()>) -> Result<f64> {
    let (before, start) = (Threads::of(pids), Instant::now());
    for turn in 0..CHANGES {
        change(turn)?;
        let next = start + PACE * (turn + 1);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    // The last one has to arrive too.
    thread::sleep(PACE * 5);
    Ok(Threads::of(pids).since(&before) * 1e3 / f64::from(CHANGES))
}

fn await_known(waypoint: &Waypoint, size: Size) -> Result<()> {
    let last = format!("HTTPRoute/{NAMESPACE}/route-{}/0", size.routes - 1);
    let mut seen = String::new();
    let known = wait_until("the waypoint to know everything", SPREAD * 3, || {
        let dump = waypoint.config_dump().unwrap_or_default();
        let routes = dump
            .get("routes")
            .map(ToString::to_string)
            .unwrap_or_default();
        let page = waypoint.metrics().unwrap_or_default();
        let workloads = sum_of(&page, "ambit_workloads", &[]);
        seen = format!("{workloads} workloads, {} bytes of routes", routes.len());
        routes.contains(&last) && workloads >= f64::from(size.endpoints)
    });
    known.with_context(|| format!("it knows {seen}"))?;
    Ok(())
}

/// Routes of the service, of which the last is for what is asked.
fn routes(count: u16) -> String {
    let text =
        (0..count - 1).map(|number| route(&format!("route-{number}"), &format!("/{number}")));
    let last = route(&format!("route-{}", count - 1), "/small");
    text.chain([last]).collect()
}

fn route(name: &str, path: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, \
         namespace: {NAMESPACE}}}\nspec:\n  parentRefs: [{{group: \"\", kind: Service, name: \
         server, port: 80}}]\n  rules:\n  - matches: [{{path: {{type: PathPrefix, value: \
         {path}}}}}]\n    backendRefs: [{{name: server, port: 80}}]\n"
    )
}

/// A service that is bound to the waypoint, with so many pods.
fn endpoints(count: u16) -> String {
    let address = IpAddr::from([10, 97, 255, 1]);
    let labels = yaml::bound_to(WAYPOINT);
    let service = yaml::service(NAMESPACE, "many", &labels, &[address], &[(80, 8080)]);
    let pods = (0..count).map(pod);
    pods.chain([format!("---\n{service}")]).collect()
}

fn pod(number: u16) -> String {
    let [high, low] = number.to_be_bytes();
    let pod = PodObject {
        namespace: NAMESPACE,
        name: &format!("many-{number}"),
        app: "many",
        gateway: None,
        uid: &format!("many-{number}"),
        node: "node-far",
        service_account: "default",
        addresses: &[IpAddr::from([10, 129, high, low])],
    };
    format!("---\n{}", pod.text())
}
