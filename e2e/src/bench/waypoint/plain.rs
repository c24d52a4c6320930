//! One hop without tunnels: speed of all four proxies, and memory.

use std::time::Duration;

use anyhow::Result;

use super::super::figures::{Goal, show};
use super::super::load::{Route, idle_http};
use super::super::memory::resting;
use super::super::report::Section;
use super::super::usage::{family, memory, pin};
use super::super::{Effort, note};
use super::proxies::Proxy;
use super::rounds::{Contender, Taken};
use super::traffic::{At, HTTP1, HTTP2, Traffic};
use super::{MEASURED, backend, name_ports, options};
use crate::lab::Program;
use crate::lab::address::Family;
use crate::world::World;

/// Connections that are open and idle.
const IDLE: usize = 5_000;
/// Opened and closed before: what is allocated once is not counted as theirs.
const FIRST: usize = 200;
/// Before anything is measured: connections up, caches warm.
const WARM_UP: Duration = Duration::from_secs(1);

/// Measures in a world of its own.
pub(super) fn measure(kinds: &[Traffic], effort: Effort) -> Result<Vec<Section>> {
    note("building the waypoint's world, one hop");
    let world = world()?;
    let server = world.pod("server")?;
    let _backend = backend(&world, &server)?;
    let start = |proxy: Proxy| -> Result<(Proxy, Program)> {
        let program = proxy.start(&world, server.ip(Family::V4))?;
        pin(&family(program.pid()), MEASURED)?;
        Ok((proxy, program))
    };
    let proxies = Proxy::ALL
        .map(start)
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    let memory = idle(&world, &proxies)?;

    let (client, files) = (world.pod("client")?, world.dir("backend"));
    let mut contenders = Vec::new();
    for (proxy, program) in &proxies {
        contenders.push(Contender {
            proxy: *proxy,
            pids: family(program.pid()),
            from: client.namespace(),
            at: at(&world, *proxy)?,
            files: &files,
            headers: Vec::new(),
        });
    }
    for contender in &contenders {
        for &traffic in kinds {
            contender.cost(traffic, WARM_UP)?;
        }
    }
    let mut taken = Taken::default();
    for _ in 0..effort.runs {
        for &traffic in kinds {
            for contender in &contenders {
                taken.take(contender, traffic, effort.time)?;
            }
            contenders.rotate_left(1);
        }
        for contender in &contenders {
            taken.pace(contender, effort.time)?;
        }
    }
    let speed = Section {
        title: "Waypoint, one hop".to_owned(),
        note: format!(
            "Medians of {} rounds of {} s; each round takes every proxy once, on a processor of \
             its own, with one thread. CPU is user and system time of the proxy under test. \
             HTTP/1.1 on 64 connections (8 for 1 MiB), HTTP/2 and gRPC 64 requests at a time on 8 \
             (8 on 4 for 1 MiB). nginx goes on with HTTP/1.1 where clients speak HTTP/2, but for \
             gRPC. The ratio is the median of the rounds' own.",
            effort.runs,
            effort.time.as_secs()
        ),
        head: Taken::head(&Proxy::ALL),
        rows: taken.rows(&Proxy::ALL),
    };
    Ok(vec![speed, memory])
}

/// A client, a server and the proxies, nobody captured.
pub(super) fn world() -> Result<World> {
    let proxies = Proxy::ALL.map(|proxy| (proxy.pod(), 1));
    let pods = [&[("client", 1), ("server", 1)], &proxies[..]].concat();
    let world = World::prepare(&pods, &options())?;
    name_ports(&world)?;
    Ok(world)
}

/// Where a proxy is reached.
pub(super) fn at(world: &World, proxy: Proxy) -> Result<At> {
    Ok(At {
        ip: world.pod(proxy.pod())?.ip(Family::V4),
        http1: HTTP1,
        http2: HTTP2,
    })
}

/// Memory at rest, and of idle connections.
fn idle(world: &World, proxies: &[(Proxy, Program)]) -> Result<Section> {
    let client = world.pod("client")?;
    let mut rest = vec!["at rest: MB".to_owned()];
    let mut each = vec!["per idle connection: kB".to_owned()];
    let (most, most_each) = (Goal::AtMost(25.0), Goal::AtMost(20.0));
    let mut verdicts = [String::new(), String::new()];
    for (proxy, program) in proxies {
        let used = || -> Result<f64> {
            let all = family(program.pid()).into_iter().map(memory);
            Ok(all
                .collect::<Result<Vec<_>>>()?
                .iter()
                .map(|used| used.rss)
                .sum())
        };
        let route = Route {
            from: client.namespace(),
            to: at(world, *proxy)?.ip,
        };
        drop(idle_http(route, HTTP1, FIRST)?);
        let before = resting(used, |used| *used)?;
        let opened = idle_http(route, HTTP1, IDLE)?;
        let held = resting(used, |used| *used)?;
        drop(opened);
        let (before, one) = (before / 1024.0, (held - before) / IDLE as f64);
        note(&format!("{}: {before:.1} MB, {one:.1} kB", proxy.name()));
        rest.push(show(before));
        each.push(show(one));
        if *proxy == Proxy::Ambit {
            verdicts = [most.verdict(before), most_each.verdict(one)].map(str::to_owned);
        }
    }
    let goals = [most, most_each].map(|goal| goal.text(""));
    let rows = [rest, each].into_iter().zip(goals).zip(verdicts);
    let mut head = vec!["figure".to_owned()];
    head.extend(proxies.iter().map(|(proxy, _)| proxy.name().to_owned()));
    head.extend(["target", ""].map(str::to_owned));
    Ok(Section {
        title: "Waypoint, memory".to_owned(),
        note: format!(
            "Resident memory after {FIRST} connections have come and gone, and what {IDLE} \
             connections add that have made one request each and are open and idle (HTTP/1.1, no \
             tunnels). Sockets' memory is the kernel's and not counted."
        ),
        head,
        rows: rows
            .map(|((mut row, goal), verdict)| {
                row.extend([goal, verdict]);
                row
            })
            .collect(),
    })
}
