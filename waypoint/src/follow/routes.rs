//! Routes as they come over the wire: read, made ready, and brought into the view. Of all three only what
//! has changed costs something.
//!
//! They are read when they are checked, since what comes next may build on them; whoever brings them in
//! asks for what was read last.

use std::sync::Arc;

use ambit_kit::clock;
use ambit_model::{ServiceName, ServiceRoutes};
use ambit_route::CompileError;
use ambit_wire::decode::RoutesReader;
use ambit_wire::delta::{Received, Update};
use parking_lot::Mutex;

use super::{Kind, removal};
use crate::view::{Table, View};

/// Reads routes: whoever checks them and whoever brings them in share what was read.
pub(crate) type SharedReader = Arc<Mutex<RoutesReader>>;

/// Whether routes can be read: if not, the control plane is told.
pub(super) fn readable_routes(reader: &SharedReader, received: &Received) -> Result<(), String> {
    let Received {
        name,
        version,
        body,
    } = received;
    let read = reader.lock().read(name, version, body);
    read.map(drop).map_err(|error| error.to_string())
}

/// Takes routes in, and says of which services some cannot be used. They are made ready on a thread of
/// their own: new expressions take their time. What has not changed is as it was.
pub(super) async fn bring_in_routes(
    view: &mut View,
    reader: &SharedReader,
    update: &Update,
) -> Vec<ServiceName> {
    let with_table = |received: &Received| {
        let service = ServiceName::parse(&received.name);
        let before = service.and_then(|service| view.table(&service).cloned());
        (Arc::clone(&received.name), before)
    };
    let changed: Vec<_> = update.changed.iter().map(with_table).collect();
    let its_reader = Arc::clone(reader);
    let ready = tokio::task::spawn_blocking(move || {
        let ready = changed
            .iter()
            .filter_map(|(name, before)| made_ready(&its_reader, name, before.as_deref()));
        ready.collect::<Vec<_>>()
    });
    let mut unreadable: Vec<&Arc<str>> = update.rejected.iter().map(|one| &one.name).collect();
    let ready = ready.await.unwrap_or_else(|error| {
        tracing::error!(%error, "routes could not be made ready");
        unreadable.extend(update.changed.iter().map(|received| &received.name));
        Vec::new()
    });
    let mut wrong = Vec::new();
    for (routes, table, problems) in ready {
        for problem in &problems {
            let service = &routes.service;
            tracing::error!(%service, %problem, "a rule cannot be used; what it matches is refused");
        }
        if !problems.is_empty() {
            wrong.push(routes.service.clone());
        }
        view.put_routes(routes, table);
    }
    for service in unreadable
        .into_iter()
        .filter_map(|name| ServiceName::parse(name))
    {
        view.reject_routes(service);
    }
    for name in &update.removed {
        reader.lock().forget(name);
        for change in removal(Kind::Routes, name) {
            view.apply(change, clock::now());
        }
    }
    wrong
}

fn made_ready(
    reader: &SharedReader,
    name: &str,
    before: Option<&Table>,
) -> Option<(Arc<ServiceRoutes>, Table, Vec<CompileError>)> {
    // What cannot be read was rejected before it came here.
    let routes = reader.lock().last(name)?;
    let (table, problems) = Table::new(&routes, before);
    Some((routes, table, problems))
}

#[cfg(test)]
mod tests;
