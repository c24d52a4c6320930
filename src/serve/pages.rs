//! The control plane's pages: metrics and readiness for everybody (15014), administration for
//! whoever is on the machine.

use std::sync::Arc;

use ambit_kit::clock;
use ambit_kit::logs::Logs;
use ambit_kit::metrics::Registry;
use ambit_kit::pages::{Ask, Page, Routes};
use ambit_kit::tasks::Tasks;
use http::{Method, StatusCode};
use serde::Serialize;
use tokio::sync::watch;

use super::capture::Reported;
use super::configuration::Handle;
use super::progress::{Progress, Stream};
use super::publication::Publication;
use crate::ca::{Authority, RotateError};

/// What the pages show.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// All metrics.
    pub(crate) registry: Registry,
    /// What is served.
    pub(crate) configuration: Handle,
    /// How far the agents have come.
    pub(crate) progress: Progress,
    /// What connected agents have captured.
    pub(crate) reported: Reported,
    /// The roots.
    pub(crate) authority: Arc<Authority>,
    /// What runs.
    pub(crate) tasks: Tasks,
    /// The logs, where they can be changed.
    pub(crate) logs: Option<Logs>,
}

/// Pages that anybody may see.
pub(crate) fn public(shown: &Shown) -> Routes {
    let registry = shown.registry.clone();
    let published = shown.configuration.publications();
    Routes::new()
        .get(
            "/metrics",
            "metrics, as Prometheus text or OpenMetrics",
            move |ask| {
                let (content_type, text) = registry.render(ask.accept.as_deref());
                Page::new(StatusCode::OK, content_type, text)
            },
        )
        .get(
            "/ready",
            "200 once the configuration has been read",
            move |_ask| ready(&published),
        )
}

/// Pages for the operator.
pub(crate) fn admin(shown: &Shown) -> Routes {
    let (authority, rotating) = (Arc::clone(&shown.authority), Arc::clone(&shown.authority));
    let published = shown.configuration.publications();
    let configuration = shown.configuration.clone();
    let (progress, for_agents) = (shown.progress.clone(), shown.configuration.publications());
    let (tasks, reported) = (shown.tasks.clone(), shown.reported.clone());
    let (logs, changed) = (shown.logs.clone(), shown.logs.clone());
    public(shown)
        .get("/ca", "roots, and what a rotation waits for", move |_ask| {
            Page::json(&authority.status())
        })
        .route(
            Method::POST,
            "/ca/rotate",
            "begins a rotation of the root",
            move |_ask| rotate(Arc::clone(&rotating)),
        )
        .get(
            "/config_dump",
            "workloads, services and policies as they are served",
            move |_ask| dump(&published),
        )
        .route(
            Method::GET,
            "/problems",
            "what is wrong with the configuration now",
            move |_ask| problems(configuration.clone()),
        )
        .get(
            "/debug/agents",
            "discovery streams, and how far each has come",
            move |_ask| Page::json(&Agents::now(&progress, &for_agents)),
        )
        .get(
            "/debug/captures",
            "pods that connected agents have captured, by node",
            move |_ask| Page::json(&reported.list()),
        )
        .get("/debug/tasks", "how many tasks run, by name", move |_ask| {
            Page::json(&tasks.running())
        })
        .get("/logging", "the log level", move |_ask| {
            Page::text(format!(
                "{}\n",
                logs.as_ref().map(Logs::level).unwrap_or_default()
            ))
        })
        .post(
            "/logging",
            "changes the log level: ?level=info,ambit=debug",
            move |ask| set_level(changed.as_ref(), &ask),
        )
}

type Published = watch::Receiver<Option<Arc<Publication>>>;

fn ready(published: &Published) -> Page {
    match &*published.borrow() {
        Some(publication) => Page::text(format!("serving change {}\n", publication.sequence)),
        None => Page::not_ready("the configuration has not been read yet\n"),
    }
}

async fn rotate(authority: Arc<Authority>) -> Page {
    match authority.rotate(clock::wall()).await {
        Ok(generation) => Page::text(format!(
            "a new root is in trust bundle {generation}; GET /ca shows how it goes on\n"
        )),
        Err(error @ (RotateError::UnderWay | RotateError::Given)) => Page {
            status: StatusCode::CONFLICT,
            ..Page::text(format!("{error}\n"))
        },
        Err(error) => Page::failed(format!("{error}\n")),
    }
}

fn dump(published: &Published) -> Page {
    #[derive(Serialize)]
    struct Dump<'a> {
        sequence: u64,
        workloads: Vec<&'a ambit_model::Workload>,
        services: Vec<&'a ambit_model::Service>,
        policies: Vec<&'a ambit_model::Policy>,
    }
    let Some(publication) = published.borrow().clone() else {
        return Page::not_ready("the configuration has not been read yet\n");
    };
    let mesh = &publication.mesh;
    Page::json(&Dump {
        sequence: publication.sequence,
        workloads: mesh.workloads().map(AsRef::as_ref).collect(),
        services: mesh.services().map(AsRef::as_ref).collect(),
        policies: mesh.policies().map(AsRef::as_ref).collect(),
    })
}

async fn problems(configuration: Handle) -> Page {
    match configuration.problems().await {
        Ok(problems) => {
            let lines: Vec<String> = problems.iter().map(|p| format!("{p}\n")).collect();
            Page::text(lines.concat())
        }
        Err(not_ready) => Page::not_ready(format!("{not_ready}\n")),
    }
}

#[derive(Serialize)]
struct Agents {
    sequence: u64,
    streams: Vec<Stream>,
}

impl Agents {
    fn now(progress: &Progress, published: &Published) -> Self {
        let sequence = published
            .borrow()
            .as_ref()
            .map_or(0, |publication| publication.sequence);
        Self {
            sequence,
            streams: progress.streams(),
        }
    }
}

fn set_level(logs: Option<&Logs>, ask: &Ask) -> Page {
    let Some(level) = ask.parameter("level") else {
        return Page::bad_request("which level? POST /logging?level=debug\n");
    };
    match logs.map(|logs| logs.set_level(&level)) {
        Some(Ok(())) => Page::text(format!("{level}\n")),
        Some(Err(error)) => Page::bad_request(format!("{error}\n")),
        None => Page::failed("the logs of this process cannot be changed\n"),
    }
}
