//! Routes of services, of which only the pieces are read that have changed.
//!
//! What has not changed of a service's routes is the very object that it was, so that whoever makes
//! something of them sees at a glance what to make anew.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::{HttpMatch, HttpRoutes, HttpRule, RoutedMatch, Same, ServiceRoutes};
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
    body: Bytes,
    pieces: Pieces,
    routes: Arc<ServiceRoutes>,
}

/// Pieces of all lists, one after the other, and what they are.
#[derive(Debug, Default)]
struct Pieces {
    rules: Vec<Piece<HttpRule>>,
    matches: Vec<Piece<HttpMatch>>,
}

type Piece<T> = (Bytes, Arc<T>);

impl RoutesReader {
    /// Reads a resource. What it says depends on nothing else; what it shares, on what was read last
    /// under this name.
    pub fn read(
        &mut self,
        name: &Arc<str>,
        body: &Bytes,
    ) -> Result<Arc<ServiceRoutes>, DecodeError> {
        let none = Pieces::default();
        let before = match self.last.get(name) {
            Some(last) if last.body == *body => return Ok(Arc::clone(&last.routes)),
            Some(last) => &last.pieces,
            None => &none,
        };
        // What is kept must not hold the whole response that it came with.
        let body = Bytes::copy_from_slice(body);
        let (routes, pieces) = read(&body, before)?;
        let routes = Arc::new(routes);
        let last = Last {
            body,
            pieces,
            routes: Arc::clone(&routes),
        };
        self.last.insert(Arc::clone(name), last);
        Ok(routes)
    }

    /// Forgets a resource that is gone.
    pub fn forget(&mut self, name: &str) {
        self.last.remove(name);
    }
}

/// Reads the routes of a service from their encoding.
pub fn routes_from_bytes(body: &[u8]) -> Result<ServiceRoutes, DecodeError> {
    let body = Bytes::copy_from_slice(body);
    read(&body, &Pieces::default()).map(|(routes, _)| routes)
}

fn read(body: &Bytes, before: &Pieces) -> Result<(ServiceRoutes, Pieces), DecodeError> {
    let message = waypoint::ServiceRoutes::decode(body.clone())
        .map_err(|error| DecodeError::Message(error.to_string()))?;
    let mut routes: ServiceRoutes = from_json(&message.frame)?;
    let mut pieces = Pieces::default();
    let mut known_rules = Same::new(&before.rules, key);
    let mut known_matches = Same::new(&before.matches, key);
    let mut lists = message.http.into_iter();
    for list in routes.http_lists_mut() {
        if *list != HttpRoutes::default() {
            let expected = "empty lists for requests";
            return Err(DecodeError::field("frame", &"a list with routes", expected));
        }
        let given = lists.next().ok_or(DecodeError::Empty("http"))?;
        let rules = read_pieces(given.rules, &mut known_rules)?;
        let matches = read_pieces(given.matches, &mut known_matches)?;
        *list = filled(&rules, &matches, &given.leads_to)?;
        pieces.rules.extend(rules);
        pieces.matches.extend(matches);
    }
    if lists.next().is_some() {
        let expected = "as many lists as the frame has";
        return Err(DecodeError::field("http", &"more lists", expected));
    }
    Ok((routes, pieces))
}

fn filled(
    rules: &[Piece<HttpRule>],
    matches: &[Piece<HttpMatch>],
    leads_to: &[u32],
) -> Result<HttpRoutes, DecodeError> {
    if matches.len() != leads_to.len() {
        let expected = "as many as there are matches";
        return Err(DecodeError::field("leads_to", &leads_to.len(), expected));
    }
    let is_there = |rule: u32| usize::try_from(rule).is_ok_and(|index| index < rules.len());
    if let Some(missing) = leads_to.iter().find(|rule| !is_there(**rule)) {
        let expected = "the place of a rule";
        return Err(DecodeError::field("leads_to", missing, expected));
    }
    let routed = matches
        .iter()
        .zip(leads_to)
        .map(|((_, when), rule)| RoutedMatch {
            when: Arc::clone(when),
            rule: *rule,
        });
    Ok(HttpRoutes {
        matches: routed.collect(),
        rules: rules.iter().map(|(_, rule)| Arc::clone(rule)).collect(),
    })
}

fn read_pieces<'o, T: DeserializeOwned>(
    pieces: Vec<Bytes>,
    known: &mut Same<'o, Piece<T>, &'o [u8]>,
) -> Result<Vec<Piece<T>>, DecodeError> {
    let read = |piece: Bytes| {
        let made = match known.find(&*piece) {
            Some((_, made)) => Arc::clone(made),
            None => Arc::new(from_json(&piece)?),
        };
        Ok((piece, made))
    };
    pieces.into_iter().map(read).collect()
}

fn key<T>(piece: &Piece<T>) -> &[u8] {
    &piece.0
}

fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(json).map_err(|error| DecodeError::Message(error.to_string()))
}

#[cfg(test)]
mod tests;
