//! Makes the node as the roster says: running pods that are to be captured are found and captured,
//! captured pods that are to be left alone are released, and a pod that was captured before its
//! service account was known gets its identity.
//!
//! Task: [`run`], one, woken by every change and, while anything is left to do, by the clock. What
//! fails is tried again, ever more rarely, and the control plane hears why.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ambit_kit::clock;
use ambit_wire::node::CaptureFailure;
use ambit_wire::node::host_to_control::Kind as ToControl;
use tokio::task::JoinSet;

use super::capture_dns;
use super::enrol;
use super::find::{self, Found};
use super::names::{PodNames, PodUid};
use super::pods::PodState;
use super::release;
use super::state::Host;

/// Pods captured or released at a time.
const AT_ONCE: usize = 8;
/// First and longest pause before a pod is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// A pod whose namespace is not found is told of after this long: it may just be starting.
const STARTING: Duration = Duration::from_secs(10);

/// What failed for a pod, and when it is tried again.
#[derive(Debug)]
struct Failure {
    since: Instant,
    again: Instant,
    pause: Duration,
    told: Option<String>,
}

/// One thing to do.
#[derive(Debug)]
enum Job {
    Capture(PodNames),
    Release(PodUid),
    Identify(PodNames),
    /// Questions about names are redirected and should not be, or the other way round.
    Names(PodUid),
}

/// Works until the role stops, a successor has taken over, or the mesh leaves the node.
pub(crate) async fn run(host: Arc<Host>) {
    let mut failures: HashMap<PodUid, Failure> = HashMap::new();
    let mut changes = host.changes_of_state();
    loop {
        let now = clock::now();
        let jobs = jobs(&host);
        forget_others(&host, &mut failures, &jobs);
        let due = due(jobs, &failures, now);
        if !due.is_empty() {
            do_all(&host, due, &mut failures).await;
        }
        // One whose time has come and that was not due is being changed by somebody else.
        let times = failures.values().map(|failure| failure.again);
        let next = times.filter(|again| *again > now).min();
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = clock::until(next) => {}
            () = host.departure.asked.cancelled() => return,
            () = host.retired.cancelled() => return,
        }
    }
}

impl Job {
    /// Whom it is for.
    fn uid(&self) -> &PodUid {
        match self {
            Self::Capture(names) | Self::Identify(names) => &names.uid,
            Self::Release(uid) | Self::Names(uid) => uid,
        }
    }
}

/// Forgets failures of pods that nothing is to be done for any more; who was told of one hears that
/// it is over, of a captured pod by its capture.
fn forget_others(host: &Host, failures: &mut HashMap<PodUid, Failure>, jobs: &[Job]) {
    let wanted: HashSet<&PodUid> = jobs.iter().map(Job::uid).collect();
    let state = |uid: &PodUid| host.pods.lock().get(uid).map(|pod| pod.state);
    let is_over = |uid: &PodUid| {
        let is_changing = matches!(
            state(uid),
            Some(PodState::Enrolling | PodState::Withdrawing)
        );
        !wanted.contains(uid) && !is_changing
    };
    for (uid, failure) in failures.extract_if(|uid, _| is_over(uid)) {
        if failure.told.is_some() && state(&uid) != Some(PodState::Captured) {
            tell_why(host, &uid, String::new());
        }
    }
}

/// What is to be done now.
fn due(mut jobs: Vec<Job>, failures: &HashMap<PodUid, Failure>, now: Instant) -> Vec<Job> {
    let is_due = |failure: &Failure| failure.again <= now;
    jobs.retain(|job| failures.get(job.uid()).is_none_or(is_due));
    jobs
}

/// What is to be done, now or when it is tried again.
fn jobs(host: &Host) -> Vec<Job> {
    let pods = host.pods.lock();
    let mut jobs = Vec::new();
    let settled = host.settled.load(Ordering::Relaxed);
    for record in host.roster.records() {
        let uid = &record.names.uid;
        let known = pods.get(uid).map(|pod| (pod.state, &pod.names));
        let dns = !host.dns.is_empty() && !record.no_dns;
        let lacks_dns = || {
            pods.get(uid)
                .is_some_and(|pod| pod.attachment.lacks_dns(dns))
        };
        let job = match known {
            None | Some((PodState::Draining, _)) if record.enrolled => {
                let is_running = !record.names.ips.is_empty();
                is_running.then(|| Job::Capture(record.names.clone()))
            }
            Some((PodState::Captured, _)) if !record.enrolled => Some(Job::Release(uid.clone())),
            Some((PodState::Captured, names)) if names.service_account.is_empty() => {
                let service_account = record.names.service_account.clone();
                let names = PodNames {
                    service_account,
                    ..names.clone()
                };
                Some(Job::Identify(names))
            }
            Some((PodState::Captured, _)) if settled && lacks_dns() => {
                Some(Job::Names(uid.clone()))
            }
            _ => None,
        };
        jobs.extend(job);
    }
    jobs
}

async fn do_all(host: &Arc<Host>, jobs: Vec<Job>, failures: &mut HashMap<PodUid, Failure>) {
    let wanted: Vec<PodNames> = jobs
        .iter()
        .filter_map(|job| match job {
            Job::Capture(names) => Some(names.clone()),
            Job::Release(_) | Job::Identify(_) | Job::Names(_) => None,
        })
        .collect();
    let found = tokio::task::spawn_blocking(move || match wanted.is_empty() {
        true => Ok(HashMap::new()),
        false => find::namespaces_of(&wanted),
    });
    let mut found = match found.await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::error!(%error, "the node's processes cannot be listed");
            HashMap::new()
        }
        Err(_stopping) => return,
    };
    let mut under_way = JoinSet::new();
    for job in jobs {
        if under_way.len() >= AT_ONCE
            && let Some(Ok((uid, outcome))) = under_way.join_next().await
        {
            note(host, failures, &uid, outcome);
        }
        let host = Arc::clone(host);
        match job {
            Job::Capture(names) => {
                let found = found.remove(&names.uid);
                under_way
                    .spawn(async move { (names.uid.clone(), capture(&host, names, found).await) });
            }
            Job::Release(uid) => {
                under_way.spawn(async move {
                    let released = release::release(&host, &uid).await;
                    (uid, released.map(drop).map_err(|error| error.to_string()))
                });
            }
            Job::Identify(names) => {
                under_way
                    .spawn(async move { (names.uid.clone(), enrol::identify(&host, names).await) });
            }
            Job::Names(uid) => {
                under_way.spawn(async move {
                    let changed = capture_dns::change(&host, &uid).await;
                    (uid, changed.map_err(|error| error.to_string()))
                });
            }
        }
    }
    while let Some(done) = under_way.join_next().await {
        if let Ok((uid, outcome)) = done {
            note(host, failures, &uid, outcome);
        }
    }
}

async fn capture(host: &Arc<Host>, names: PodNames, found: Option<Found>) -> Result<(), String> {
    let Some(Found { netns, path }) = found else {
        return Err(NOT_FOUND.to_owned());
    };
    let enrolled = enrol::enrol(host, names, netns, path).await;
    enrolled.map(drop).map_err(|error| error.to_string())
}

/// Why a pod without a process is not captured.
const NOT_FOUND: &str = "no process of the pod was found on its node";

/// Notes how it went, and tells the control plane of a reason that it has not heard yet.
fn note(
    host: &Host,
    failures: &mut HashMap<PodUid, Failure>,
    uid: &PodUid,
    outcome: Result<(), String>,
) {
    let now = clock::now();
    let why = match outcome {
        Ok(()) => {
            failures.remove(uid);
            return;
        }
        Err(why) => why,
    };
    let failure = failures.entry(uid.clone()).or_insert(Failure {
        since: now,
        again: now,
        pause: PAUSES.0,
        told: None,
    });
    failure.again = now + failure.pause;
    failure.pause = (failure.pause * 2).min(PAUSES.1);
    let is_starting = why == NOT_FOUND && now.duration_since(failure.since) < STARTING;
    if is_starting || failure.told.as_ref() == Some(&why) {
        return;
    }
    tracing::warn!(pod = %uid, "the pod is not as the control plane wants it: {why}");
    failure.told = Some(why.clone());
    let pod = host.pods.lock().get(uid).map(|pod| pod.state);
    if pod == Some(PodState::Captured) {
        // It failed to be released; what is told of is captures.
        return;
    }
    tell_why(host, uid, why);
}

/// Why a pod is not captured; empty if it is not to be any more.
fn tell_why(host: &Host, uid: &PodUid, message: String) {
    let uid = uid.as_str().to_owned();
    host.control
        .tell(ToControl::Failed(CaptureFailure { uid, message }));
}

#[cfg(test)]
mod tests;
