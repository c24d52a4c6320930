//! The way of a mesh: client's agent, waypoint, server's agent; and the same with Envoy as waypoint.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::super::figures::show;
use super::super::load::{Route, idle_http};
use super::super::memory::resting;
use super::super::report::Section;
use super::super::usage::{family, memory, pin};
use super::super::{Effort, note};
use super::proxies::{ENVOY_BOUNDS, ENVOY_HTTP2, Proxy, ambit, envoy_http};
use super::rounds::{Contender, Taken};
use super::traffic::{At, HTTP1, HTTP2, Traffic};
use super::{MEASURED, backend, name_ports, options};
use crate::envoy::{TLS, envoy};
use crate::lab::Program;
use crate::lab::address::Family;
use crate::mesh::Agent;
use crate::wait::wait_until;
use crate::world::{WAYPOINT, World};

const PROXIES: [Proxy; 2] = [Proxy::Ambit, Proxy::Envoy];
/// How long it may take until a client is served again by another waypoint.
const CHANGE: Duration = Duration::from_secs(30);
const WARM_UP: Duration = Duration::from_secs(1);
const TUNNELS: u16 = 15008;
/// Connections that are open and idle.
const IDLE: usize = 5_000;

/// Measures in a world of its own.
pub(super) fn measure(kinds: &[Traffic], effort: Effort) -> Result<Vec<Section>> {
    note("building the waypoint's world, in a mesh");
    let pods = [("client", 1), ("server", 2), ("waypoint", 1)];
    let world = World::fronted(&pods, &options(), &[])?;
    name_ports(&world)?;
    let _backend = backend(&world, &*world.pod("server")?)?;
    let (client, files) = (world.pod("client")?, world.dir("backend"));
    let service = world.service("server", Family::V4, 80)?;
    let at = At {
        ip: service.ip(),
        http1: service.port(),
        http2: HTTP2,
    };
    let route = Route {
        from: client.namespace(),
        to: at.ip,
    };
    let served = || idle_http(route, at.http1, 1).is_ok();
    let mut taken = Taken::default();
    let mut memories = Vec::new();
    for round in 0..effort.runs {
        let mut order = PROXIES;
        order.rotate_left(round % PROXIES.len());
        for proxy in order {
            let program = start(&world, proxy)?;
            pin(&family(program.pid()), MEASURED)?;
            wait_until("the client to be served", CHANGE, served)
                .with_context(|| said(&world, proxy, &program))?;
            let contender = Contender {
                proxy,
                pids: family(program.pid()),
                from: client.namespace(),
                at,
                files: &files,
                headers: Vec::new(),
            };
            if round == 0 {
                let held = idle(&contender, &program);
                memories.push((proxy, held.with_context(|| said(&world, proxy, &program))?));
            }
            for &traffic in kinds {
                contender.cost(traffic, WARM_UP)?;
                taken.take(&contender, traffic, effort.time)?;
            }
            taken.pace(&contender, effort.time)?;
        }
    }
    let speed = Section {
        title: "Waypoint, in a mesh".to_owned(),
        note: format!(
            "Client's agent, waypoint, server's agent, tunnels between them. As above, but {} \
             rounds in each of which both waypoints are started anew. CPU is that of the waypoint \
             alone.",
            effort.runs
        ),
        head: Taken::head(&PROXIES),
        rows: taken.rows(&PROXIES),
    };
    let of = |wanted: Proxy| memories.iter().find(|(proxy, _)| *proxy == wanted);
    let cells = |pick: fn(&(f64, f64)) -> f64| {
        PROXIES.map(|proxy| of(proxy).map_or_else(String::new, |(_, pair)| show(pick(pair))))
    };
    let row = |what: &str, cells: [String; 2]| [&[what.to_owned()], &cells[..]].concat();
    let memory = Section {
        title: "Waypoint, memory in a mesh".to_owned(),
        note: format!("As above; {IDLE} connections of one client, in tunnels of its agent."),
        head: vec!["figure".to_owned(), "ambit".to_owned(), "Envoy".to_owned()],
        rows: vec![
            row("at rest: MB", cells(|pair| pair.0)),
            row("per idle connection: kB", cells(|pair| pair.1)),
        ],
    };
    Ok(vec![speed, memory])
}

/// What there is to look at when nobody is served.
fn said(world: &World, proxy: Proxy, program: &Program) -> String {
    let log = world.dir(proxy.pod()).join("access.log");
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let agents: String = world.mesh.agents.iter().map(Agent::log_end).collect();
    format!(
        "{} said: {}\n{log}\n{agents}",
        proxy.name(),
        program.errors()
    )
}

/// Megabytes at rest, and kilobytes of an idle connection.
fn idle(contender: &Contender<'_>, program: &Program) -> Result<(f64, f64)> {
    let used = || Ok(memory(program.pid())?.rss);
    let route = Route {
        from: contender.from,
        to: contender.at.ip,
    };
    drop(idle_http(route, contender.at.http1, IDLE / 20)?);
    let before = resting(used, |used| *used)?;
    let opened = idle_http(route, contender.at.http1, IDLE)?;
    let held = resting(used, |used| *used)?;
    drop(opened);
    Ok((before / 1024.0, (held - before) / IDLE as f64))
}

fn start(world: &World, proxy: Proxy) -> Result<Program> {
    let pod = world.pod("waypoint")?;
    match proxy {
        Proxy::Ambit => Ok(ambit(world)?.program),
        _ => {
            let dir = world.dir("envoy");
            let server = world.pod("server")?.ip(Family::V4);
            let vip = world.service("server", Family::V4, 80)?.ip();
            let resources = as_waypoint(&dir, &vip.to_string(), &server.to_string());
            envoy(world, &pod, WAYPOINT, &resources, TUNNELS)
                .context("starting Envoy as a waypoint")
        }
    }
}

/// Envoy as Istio has it for a waypoint: CONNECT ends in a listener of its own, from there requests
/// go to the server's port, and what is for that goes out in a tunnel to the server's agent.
fn as_waypoint(dir: &Path, vip: &str, server: &str) -> String {
    let ports = [("http1", 80, HTTP1), ("http2", HTTP2, HTTP2)];
    let each = |text: &dyn Fn(&str, u16, u16) -> String| -> String {
        ports
            .iter()
            .map(|(name, port, target)| text(name, *port, *target))
            .collect()
    };
    let connects = each(&|name, port, _| {
        format!(
            "{{name: {name}, domains: [\"{vip}:{port}\"], routes: [{{match: {{connect_matcher: \
             {{}}}}, route: {{cluster: in-{name}, upgrade_configs: [{{upgrade_type: CONNECT, \
             connect_config: {{}}}}]}}}}]}}, "
        )
    });
    let listeners = each(&|name, _, target| {
        format!(
            "  - {{name: in-{name}, internal_listener: {{}}, filter_chains: [{{filters: \
             [{http}]}}]}}\n  - {{name: out-{name}, internal_listener: {{}}, filter_chains: \
             [{{filters: [{{name: tcp, typed_config: {{\"@type\": \
             type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, \
             stat_prefix: out-{name}, cluster: agent, tunneling_config: {{hostname: \
             \"{server}:{target}\"}}}}}}]}}]}}\n",
            http = envoy_http(dir, name, &format!("app-{name}")),
        )
    });
    let internal = |cluster: &str, listener: &str, more: &str| {
        format!(
            "  - {{name: {cluster}, {ENVOY_BOUNDS}{more}load_assignment: {{cluster_name: {cluster}, endpoints: \
             [{{lb_endpoints: [{{endpoint: {{address: {{envoy_internal_address: \
             {{server_listener_name: {listener}}}}}}}}}]}}]}}, transport_socket: {{name: internal, \
             typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.\
             internal_upstream.v3.InternalUpstreamTransport, transport_socket: {{name: raw, \
             typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.\
             raw_buffer.v3.RawBuffer}}}}}}}}}}\n"
        )
    };
    let clusters = each(&|name, _, _| {
        let more = match name {
            "http2" => format!("{ENVOY_HTTP2}, "),
            _ => String::new(),
        };
        let (inside, app) = (format!("in-{name}"), format!("app-{name}"));
        let out = format!("out-{name}");
        internal(&inside, &inside, "") + &internal(&app, &out, &more)
    });
    format!(
        r#"bootstrap_extensions:
- name: internal
  typed_config: {{"@type": type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener}}
static_resources:
  listeners:
  - name: tunnels
    address: {{socket_address: {{address: "::", ipv4_compat: true, port_value: {TUNNELS}}}}}
    filter_chains:
    - transport_socket:
        name: tls
        typed_config:
          "@type": {TLS}.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context: {{@TLS@, validation_context: {{trusted_ca: {{filename: @DIR@/root.pem}}}}}}
      filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: tunnels
          http2_protocol_options: {{allow_connect: true}}
          upgrade_configs: [{{upgrade_type: CONNECT}}]
          route_config: {{virtual_hosts: [{connects}]}}
          http_filters:
          - name: router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
{listeners}  clusters:
{clusters}  - name: agent
    {bounds}
    load_assignment: {{cluster_name: agent, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: {server}, port_value: {TUNNELS}}}}}}}}}]}}]}}
    {ENVOY_HTTP2}
    transport_socket:
      name: tls
      typed_config:
        "@type": {TLS}.UpstreamTlsContext
        common_tls_context: {{@TLS@, validation_context: {{trusted_ca: {{filename: @DIR@/root.pem}}, match_typed_subject_alt_names: [{{san_type: URI, matcher: {{exact: "{identity}"}}}}]}}}}
"#,
        bounds = ENVOY_BOUNDS.trim_end_matches(", "),
        identity = crate::world::identity("server"),
    )
}
