//! What each thing that a waypoint may be told to do costs per request, over one that does none of it.
//!
//! One waypoint in a mesh runs all the time and is told something else in turn, so that a round compares
//! one process with itself. Every request carries a token, whoever looks at it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::super::figures::{Goal, median, show_if};
use super::super::report::Section;
use super::super::usage::{family, pin};
use super::super::{Effort, note};
use super::proxies::{Proxy, ambit};
use super::rounds::Contender;
use super::traffic::{At, HTTP2, Traffic};
use super::{MEASURED, backend, name_ports, options};
use crate::keepalive::Connection;
use crate::lab::address::Family;
use crate::mesh::{Options, Waypoint, sum_of};
use crate::scripted::{Deed, Scripted};
use crate::team;
use crate::wait::wait_until;
use crate::world::{SPREAD, World, identity};

/// Rules of the policy; requests meet the last one.
const RULES: u16 = 100;
/// Where the collector listens.
const OTLP: u16 = 4318;
/// Requests that show whether some are traced: one in ten is, if any.
const PROBES: usize = 60;
const WARM_UP: Duration = Duration::from_secs(1);
/// Until spans have been told of: they wait a second for others.
const TOLD: Duration = Duration::from_secs(2);
/// What policy, log and traces may cost together.
const TOGETHER: Goal = Goal::AtMost(1.15);
/// Who signs tokens.
const ISSUER: &str = "https://issuer.example";
/// A token of RS256 of that issuer for alice, which ends in the year 2096, and the issuer's keys. Whoever had the
/// private key has thrown it away.
const TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6Im9uZSJ9.eyJhdWQiOlsic2hvcCJdLCJleHAiOjQwMDAwMDAwMDAsImlzcyI\
    6Imh0dHBzOi8vaXNzdWVyLmV4YW1wbGUiLCJzdWIiOiJhbGljZSJ9.C4IA6Tza2rMIv_RFoW4GBQSWclV4wY_hIC\
    ch9vn3LeNSIm2OnolPQieC-MyPmA9KfkvT9y59j3RQbdNEOI7uop9C3nNkzjxeUrbtrL_mSC6PsVM8TtBzqdyIBp\
    NT8MwY9QJIdMoxArPyBOvy4j_tVfv2PmMA1B2zSVVT6HGAWuP2SxQwxCn_vlUqE4tvmcChfNVdXxyoVZbT9ETLF8\
    hJAEpKiYYKMTFU_X66lSaHYh5zzX3Eo26LB9mDTnN6A39Pi1cmLKqtW3F2o4VtvK6I227ZBQNbjgORhRxfSDjfNb\
    IippegvDD7NJtZ6V42640MOJm7DtU95p73BqW838OSyg";
const KEYS: &str = "{\"keys\":[{\"e\":\"AQAB\",\"kid\":\"one\",\"kty\":\"RSA\",\"n\":\"zaPOReyEi-2A2w4h91GdJh7wW34VyMT7Fjx-UD\
    vjrX2iP86uK_VOWcjRQICkZe295TX7l_Xcq820jpidCZ7QBngfOaq2uszqS4F6ltP_QI3gLzt1SeXWOY0x6r-kb8\
    vmzX4MaFZBDsmfwuMRp04f8a4qZ8aP_375qSUlzAi6rEoxdpPsfDsRh7ouuLJL3cwaxusKmadakb3BOSqAYhP0AZ\
    _fRHFrZv4geQD3kiCKPA9yxVxYCLRa7BlYX1fce5kzCmoIqnXGejJMbSc0S_1sc6ykNUjvbJ6Hib7xd5AO4xgSin\
    0ePn2Y6anZaXHa1nfbFAMVQZ1DysM304Jtr1z9VQ\"}]}";

/// What the waypoint is told to do.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Features {
    log: bool,
    policy: bool,
    traces: bool,
    token: bool,
}

const BARE: Features = Features {
    log: false,
    policy: false,
    traces: false,
    token: false,
};

const VARIANTS: [(&str, Features, Option<Goal>); 6] = [
    ("nothing", BARE, None),
    (
        "access log, ten operators",
        Features { log: true, ..BARE },
        None,
    ),
    (
        "policy of 100 rules",
        Features {
            policy: true,
            ..BARE
        },
        None,
    ),
    (
        "traces, 10 %",
        Features {
            traces: true,
            ..BARE
        },
        None,
    ),
    (
        "log, policy and traces",
        Features {
            log: true,
            policy: true,
            traces: true,
            token: false,
        },
        Some(TOGETHER),
    ),
    (
        "token verified",
        Features {
            token: true,
            ..BARE
        },
        None,
    ),
];

const KINDS: [Traffic; 3] = [Traffic::Http1, Traffic::Http2, Traffic::Grpc];

/// A world whose waypoint can be told to do things.
struct Scene {
    world: World,
    waypoint: Waypoint,
    collector: SocketAddr,
    settings: PathBuf,
    at: At,
}

/// Measures in a world of its own.
pub(super) fn measure(kinds: &[Traffic], effort: Effort) -> Result<Section> {
    note("building the waypoint's world, to tell it what to do");
    let mut scene = Scene::build()?;
    let server = scene.world.pod("server")?;
    let _backend = backend(&scene.world, &server)?;
    let collector = scene.world.pod("collector")?;
    let _collector = Scripted::start(&collector, OTLP, |_, _| Deed::answer(200, ""))?;
    let (client, files) = (scene.world.pod("client")?, scene.world.dir("backend"));
    scene.at.http1 = 80;
    let contender = Contender {
        proxy: Proxy::Ambit,
        pids: family(scene.waypoint.program.pid()),
        from: client.namespace(),
        at: scene.at,
        files: &files,
        headers: vec![format!("authorization: Bearer {TOKEN}")],
    };
    let kinds: Vec<Traffic> = KINDS
        .into_iter()
        .filter(|kind| kinds.contains(kind))
        .collect();
    let mut taken = vec![vec![Vec::new(); VARIANTS.len()]; kinds.len()];
    for round in 0..effort.runs {
        let mut order: Vec<usize> = (0..VARIANTS.len()).collect();
        order.rotate_left(round % VARIANTS.len());
        for variant in order {
            let Some((name, features, _)) = VARIANTS.get(variant) else {
                continue;
            };
            scene
                .tell(*features)
                .with_context(|| format!("telling the waypoint: {name}"))?;
            note(name);
            for (kind, taken) in kinds.iter().zip(&mut taken) {
                contender.cost(*kind, WARM_UP)?;
                let (cost, _) = contender.cost(*kind, effort.time)?;
                if let Some(taken) = taken.get_mut(variant) {
                    taken.push(cost);
                }
            }
        }
    }
    Ok(section(&kinds, &taken, effort))
}

/// The table: a row for each variant, two columns for each kind of traffic.
fn section(kinds: &[Traffic], taken: &[Vec<Vec<f64>>], effort: Effort) -> Section {
    let mut head = vec!["told to do".to_owned()];
    for kind in kinds {
        head.extend([kind.name().to_owned(), "to nothing".to_owned()]);
    }
    head.extend(["target", ""].map(str::to_owned));
    let rows = VARIANTS
        .iter()
        .enumerate()
        .map(|(variant, (name, _, goal))| {
            let mut row = vec![(*name).to_owned()];
            let mut worst = f64::NAN;
            for all in taken {
                let of = |index: usize| all.get(index).map_or(&[][..], Vec::as_slice);
                let pairs = of(variant).iter().zip(of(0));
                let ratios: Vec<f64> = pairs.map(|(cost, bare)| cost / bare).collect();
                let ratio = median(&ratios);
                worst = worst.max(ratio.unwrap_or(f64::NAN));
                row.push(show_if(median(of(variant))));
                row.push(ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")));
            }
            row.push(goal.map_or_else(String::new, |goal| goal.text("")));
            row.push(goal.map_or_else(String::new, |goal| goal.verdict(worst).to_owned()));
            row
        });
    Section {
        title: "Waypoint, what each feature costs".to_owned(),
        note: format!(
            "CPU seconds of the waypoint for 100,000 requests in a mesh, and the ratio to the same waypoint \
             that writes no log, has no policy and traces nothing: medians of {} rounds of {} s. Every request \
             carries a token of RS256. The policy names identities, methods and paths; requests meet its \
             last rule. The target is held against the worst of the ratios.",
            effort.runs,
            effort.time.as_secs()
        ),
        head,
        rows: rows.collect(),
    }
}

impl Scene {
    fn build() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("ambit-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).context("making a folder for the settings")?;
        let settings = folder.join("mesh.yaml");
        fs::write(&settings, "").context("writing the settings")?;
        let options = Options {
            control_plane: vec!["--mesh-config".to_owned(), settings.display().to_string()],
            ..options()
        };
        let pods = [
            ("client", 1),
            ("server", 2),
            ("waypoint", 1),
            ("collector", 2),
        ];
        let world = World::fronted(&pods, &options, &["collector"])?;
        name_ports(&world)?;
        let waypoint = ambit(&world)?;
        pin(&family(waypoint.program.pid()), MEASURED)?;
        let service = world.service("server", Family::V4, 80)?;
        Ok(Self {
            collector: (world.pod("collector")?.v4, OTLP).into(),
            at: At {
                ip: service.ip(),
                http1: service.port(),
                http2: HTTP2,
            },
            settings,
            waypoint,
            world,
        })
    }

    /// Tells the waypoint what to do, and waits until it does so and nothing else.
    fn tell(&self, features: Features) -> Result<()> {
        let configuration = &self.world.mesh.configuration;
        fs::write(&self.settings, self.settings_for(features)).context("writing the settings")?;
        let objects = [
            ("policy", features.policy, policy()),
            ("token", features.token, authentication()),
        ];
        for (name, wanted, text) in objects {
            configuration.apply(name, if wanted { &text } else { "" })?;
        }
        let mut seen = String::new();
        let told = wait_until("the waypoint to do so", SPREAD, || {
            let does = self.does();
            seen = format!("{does:?}");
            does.is_ok_and(|does| does == features)
        });
        told.with_context(|| format!("told {features:?}, it does {seen}"))?;
        Ok(())
    }

    fn settings_for(&self, features: Features) -> String {
        let mut text = match features.log {
            true => team::access_log(),
            false => "accessLogFile: \"\"\n".to_owned(),
        };
        if features.traces {
            let (ip, port) = (self.collector.ip(), self.collector.port());
            text.push_str(&format!(
                "defaultProviders: {{tracing: [collector]}}\nextensionProviders:\n  - name: collector\n    \
                 opentelemetry: {{service: {ip}, port: {port}, http: {{}}}}\n\
                 defaultConfig: {{tracing: {{sampling: 10}}}}\n"
            ));
        }
        text
    }

    /// What it does, seen from outside.
    fn does(&self) -> Result<Features> {
        let client = self.world.pod("client")?;
        let to = SocketAddr::from((self.at.ip, 80));
        let mut connection = Connection::open(client.namespace(), to)?;
        let spans =
            || -> Result<f64> { Ok(sum_of(&self.waypoint.metrics()?, "ambit_spans_total", &[])) };
        let lines = || fs::metadata(self.waypoint.access_log_file()).map_or(0, |file| file.len());
        let (spans_before, lines_before) = (spans()?, lines());
        let denied = connection.get("/denied", "")?.status == 403;
        let mut connection = Connection::open(client.namespace(), to)?;
        let forged = connection
            .get("/small", "Authorization: Bearer e30.e30.e30\r\n")?
            .status
            == 401;
        let mut connection = Connection::open(client.namespace(), to)?;
        for _ in 0..PROBES {
            connection.get("/small", "")?;
        }
        // Lines and spans are told of a little later.
        std::thread::sleep(TOLD);
        Ok(Features {
            policy: denied,
            token: forged,
            traces: spans()? > spans_before,
            log: lines() > lines_before,
        })
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(folder) = self.settings.parent() {
            let _gone = fs::remove_dir_all(folder);
        }
    }
}

/// A policy of many rules, of which the last is for the client.
fn policy() -> String {
    let rule = |principal: &str, paths: &str| {
        format!(
            "  - from: [{{source: {{principals: [\"{principal}\"]}}}}]\n    \
             to: [{{operation: {{methods: [GET, POST], paths: {paths}}}}}]\n"
        )
    };
    let others = (1..RULES).map(|number| {
        let principal = format!("cluster.local/ns/shop/sa/caller-{number}");
        rule(&principal, &format!("[\"/api/{number}/*\"]"))
    });
    let client = identity("client");
    let client = client.trim_start_matches("spiffe://");
    let last = rule(client, "[/small, /large, \"/bench.Echo/*\", /]");
    let rules: String = others.chain([last]).collect();
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: callers, namespace: shop}}\n\
         spec:\n  targetRefs: [{{kind: Service, group: \"\", name: server}}]\n  action: ALLOW\n  rules:\n{rules}"
    )
}

fn authentication() -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: tokens, namespace: shop}}\n\
         spec:\n  targetRefs: [{{kind: Service, group: \"\", name: server}}]\n  \
         jwtRules: [{{issuer: \"{ISSUER}\", jwks: '{KEYS}'}}]\n"
    )
}
