//! Routes of services, of which only the pieces come and are read that have changed.
//!
//! What has not changed of a service's routes is the very object that it was, so that whoever makes
//! something of them sees at a glance what to make anew.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::{HttpRoutes, HttpRule, RoutedMatch, ServiceRoutes};
use bytes::Bytes;
use prost::Message;
use serde::de::DeserializeOwned;

use super::DecodeError;
use crate::waypoint;

/// Reads the routes of services again and again.
#[derive(Debug, Default)]
pub struct RoutesReader {
    /// By the name of the resource.
    last: HashMap<Arc<str>, Last>,
}

/// What was read last of one service.
#[derive(Debug)]
struct Last {
    version: Arc<str>,
    /// The routes without what is in their lists for requests.
    frame: ServiceRoutes,
    routes: Arc<ServiceRoutes>,
    /// True if somebody has asked for them.
    is_known: bool,
}

impl RoutesReader {
    /// Reads a resource of this version: all of it, or what has changed since the last one of this name.
    /// If that cannot be read, the last one stays.
    pub fn read(
        &mut self,
        name: &Arc<str>,
        version: &Arc<str>,
        body: &Bytes,
    ) -> Result<Arc<ServiceRoutes>, DecodeError> {
        let message = decoded(body.clone())?;
        let last = self.last.get(name);
        let (frame, routes) = match last.filter(|last| *last.version == *message.since) {
            _ if message.since.is_empty() => whole(message)?,
            Some(last) => edited(message, last)?,
            None => {
                let expected = "the version that was read last";
                return Err(DecodeError::field("since", &message.since, expected));
            }
        };
        let routes = Arc::new(routes);
        let last = Last {
            version: Arc::clone(version),
            frame,
            routes: Arc::clone(&routes),
            is_known: false,
        };
        self.last.insert(Arc::clone(name), last);
        Ok(routes)
    }

    /// What was read last.
    pub fn last(&mut self, name: &str) -> Option<Arc<ServiceRoutes>> {
        let last = self.last.get_mut(name)?;
        last.is_known = true;
        Some(Arc::clone(&last.routes))
    }

    /// Forgets a resource that is gone. What came after that, and nobody has asked for yet, stays.
    pub fn forget(&mut self, name: &str) {
        if self.last.get(name).is_some_and(|last| last.is_known) {
            self.last.remove(name);
        }
    }
}

/// Reads the routes of a service from their encoding.
pub fn routes_from_bytes(body: &[u8]) -> Result<ServiceRoutes, DecodeError> {
    let message = decoded(Bytes::copy_from_slice(body))?;
    if !message.since.is_empty() {
        let expected = "nothing, where nothing was before";
        return Err(DecodeError::field("since", &message.since, expected));
    }
    whole(message).map(|(_, routes)| routes)
}

fn decoded(body: Bytes) -> Result<waypoint::ServiceRoutes, DecodeError> {
    waypoint::ServiceRoutes::decode(body).map_err(|error| DecodeError::Message(error.to_string()))
}

fn whole(message: waypoint::ServiceRoutes) -> Result<(ServiceRoutes, ServiceRoutes), DecodeError> {
    let frame = frame(&message.frame)?;
    let routes = filled(frame.clone(), message.http, &[])?;
    Ok((frame, routes))
}

fn edited(
    message: waypoint::ServiceRoutes,
    last: &Last,
) -> Result<(ServiceRoutes, ServiceRoutes), DecodeError> {
    let frame = match message.frame.is_empty() {
        true => last.frame.clone(),
        false => frame(&message.frame)?,
    };
    let before: Vec<&HttpRoutes> = last.routes.http_lists().collect();
    let routes = filled(frame.clone(), message.http, &before)?;
    Ok((frame, routes))
}

fn frame(json: &[u8]) -> Result<ServiceRoutes, DecodeError> {
    let frame: ServiceRoutes = from_json(json)?;
    let mut lists = frame.http_lists();
    if lists.any(|list| *list != HttpRoutes::default()) {
        let expected = "empty lists for requests";
        return Err(DecodeError::field("frame", &"a list with routes", expected));
    }
    drop(lists);
    Ok(frame)
}

/// A frame with what is given for its lists.
fn filled(
    mut frame: ServiceRoutes,
    given: Vec<waypoint::HttpRoutes>,
    before: &[&HttpRoutes],
) -> Result<ServiceRoutes, DecodeError> {
    let none = HttpRoutes::default();
    let mut lists = given.into_iter();
    for list in frame.http_lists_mut() {
        let given = lists.next().ok_or(DecodeError::Empty("http"))?;
        let of = match place(given.of).checked_sub(1) {
            None => &none,
            Some(index) => before.get(index).ok_or_else(|| {
                DecodeError::field("of", &given.of, "the place of a list that was there")
            })?,
        };
        let mut rules = Rules::of(of);
        rules.read(given.rules)?;
        *list = rules.with_matches(given.matches)?;
    }
    if lists.next().is_some() {
        let expected = "as many lists as the frame has";
        return Err(DecodeError::field("http", &"more lists", expected));
    }
    Ok(frame)
}

/// The rules of a list, and where those are now that it was made of.
struct Rules<'o> {
    before: &'o HttpRoutes,
    rules: Vec<Arc<HttpRule>>,
    moved: Vec<Option<u32>>,
}

impl<'o> Rules<'o> {
    fn of(before: &'o HttpRoutes) -> Self {
        Self {
            before,
            rules: Vec::with_capacity(before.rules.len()),
            moved: vec![None; before.rules.len()],
        }
    }

    fn read(&mut self, runs: Vec<waypoint::Rules>) -> Result<(), DecodeError> {
        for run in runs {
            let taken = range(&self.before.rules, run.from, run.count)?;
            let places = range_mut(&mut self.moved, run.from, run.count)?;
            for (now, place) in (self.rules.len()..).zip(places) {
                let now = u32::try_from(now).ok();
                if std::mem::replace(place, now).is_some() {
                    return Err(DecodeError::field("from", &run.from, "a rule that is left"));
                }
            }
            self.rules.extend_from_slice(taken);
            for piece in &run.more {
                self.rules.push(from_json(piece)?);
            }
        }
        Ok(())
    }

    fn with_matches(self, runs: Vec<waypoint::Matches>) -> Result<HttpRoutes, DecodeError> {
        let before = &self.before.matches;
        let mut matches = Vec::with_capacity(before.len());
        let mut left = before.len();
        for run in runs {
            let taken = range(before, run.from, run.count)?;
            left = left.checked_sub(taken.len()).ok_or_else(|| {
                DecodeError::field("count", &run.count, "as many matches as are left")
            })?;
            for routed in taken {
                let rule = self.moved.get(place(routed.rule)).copied().flatten();
                matches.push(RoutedMatch {
                    when: Arc::clone(&routed.when),
                    rule: rule.ok_or_else(|| {
                        DecodeError::field("from", &run.from, "matches whose rules are still there")
                    })?,
                });
            }
            if run.more.len() != run.leads_to.len() {
                let expected = "as many as there are matches";
                return Err(DecodeError::field(
                    "leads_to",
                    &run.leads_to.len(),
                    expected,
                ));
            }
            for (piece, rule) in run.more.iter().zip(run.leads_to) {
                if place(rule) >= self.rules.len() {
                    let expected = "the place of a rule";
                    return Err(DecodeError::field("leads_to", &rule, expected));
                }
                let when = from_json(piece)?;
                matches.push(RoutedMatch { when, rule });
            }
        }
        Ok(HttpRoutes {
            matches,
            rules: self.rules,
        })
    }
}

/// So many items of a list, from a place on.
fn range<T>(items: &[T], from: u32, count: u32) -> Result<&[T], DecodeError> {
    let rest = items.get(place(from)..);
    let taken = rest.and_then(|rest| rest.get(..place(count)));
    taken.ok_or_else(|| DecodeError::field("count", &count, "not more than were there"))
}

fn range_mut<T>(items: &mut [T], from: u32, count: u32) -> Result<&mut [T], DecodeError> {
    let rest = items.get_mut(place(from)..);
    let taken = rest.and_then(|rest| rest.get_mut(..place(count)));
    taken.ok_or_else(|| DecodeError::field("count", &count, "not more than were there"))
}

fn place(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(json).map_err(|error| DecodeError::Message(error.to_string()))
}

#[cfg(test)]
mod tests;
