//! Looks after the listeners: a proxy that an attacker owns can stop one that it was given, and
//! nothing else would tell.

use std::sync::Arc;
use std::time::Duration;

use ambit_netsys::sockets;

use super::counters::Count;
use super::listeners::{self, Listener, Place};
use super::names::PodUid;
use super::state::Host;

/// How often every listener is looked at; one look is one system call.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks at every listener, for ever.
pub(crate) async fn watch(host: Arc<Host>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        renew_pods(&host);
        renew_pages(&host);
    }
}

/// Makes stopped listeners of pods anew and hands them out.
pub(crate) fn renew_pods(host: &Host) {
    let uids: Vec<PodUid> = host
        .pods
        .lock()
        .iter()
        .filter(|pod| pod.state.is_served())
        .filter(|pod| !listeners::silent(&pod.attachment.listeners).is_empty())
        .map(|pod| pod.names.uid.clone())
        .collect();
    for uid in uids {
        let Some(netns) = host.netns(&uid) else {
            continue;
        };
        let renewed = host.pods.lock().get_mut(&uid).is_some_and(|pod| {
            let ours = &mut pod.attachment.listeners;
            renew(host, ours, |addresses| listeners::open(&netns, addresses))
        });
        if renewed {
            host.attach(&uid);
        }
    }
}

fn renew_pages(host: &Host) {
    let mut pages = host.pages.lock();
    let renewed = renew(host, &mut pages, |addresses| {
        listeners::open(&host.node, addresses)
    });
    drop(pages);
    if renewed {
        let parcel = host.parcel_of_pages();
        let generations = host.generations.lock();
        if let Some(serving) = generations.serving() {
            generations.send(serving, parcel);
        }
    }
}

/// Replaces every listener that does not listen; true if there was one and it does again.
fn renew(
    host: &Host,
    ours: &mut Vec<Listener>,
    open: impl Fn(&[Place]) -> Result<Vec<Listener>, listeners::ListenError>,
) -> bool {
    let silent = listeners::silent(ours);
    if silent.is_empty() {
        return false;
    }
    // One for datagrams has its port for itself: it is not made anew, but mended.
    let (datagrams, silent): (Vec<Place>, Vec<Place>) =
        silent.into_iter().partition(|place| place.datagrams);
    for listener in ours.iter().filter(|ours| datagrams.contains(&ours.place)) {
        match sockets::disconnect(&listener.socket) {
            Ok(()) => {
                tracing::error!(place = ?listener.place, "a socket heard one peer only; mended");
                host.counters.add(Count::ListenersRenewed, 1);
            }
            Err(error) => {
                tracing::error!(place = ?listener.place, %error, "a socket that hears one peer only cannot be mended");
            }
        }
    }
    if silent.is_empty() {
        return false;
    }
    // Before the old ones are let go: what fails now is tried again with the next look.
    match open(&silent) {
        Ok(renewed) => {
            ours.retain(|listener| !silent.contains(&listener.place));
            tracing::error!(?silent, "listeners had stopped listening; made anew");
            host.counters
                .add(Count::ListenersRenewed, silent.len() as u64);
            ours.extend(renewed);
            true
        }
        Err(error) => {
            tracing::error!(?silent, %error, "listeners had stopped and cannot be made anew");
            false
        }
    }
}

#[cfg(test)]
mod tests;
