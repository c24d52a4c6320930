//! Routes of a service: a frame, and in pieces what there may be thousands of.
//!
//! Encoded is always all of it. Of that and what somebody has already, an edit is made, which has only the
//! pieces that he does not have.

use ambit_model::{HttpRoutes, PortRoutes, RouteList, Same, ServiceRoutes};
use bytes::Bytes;
use prost::Message;
use serde::Serialize;

use crate::waypoint;

/// The message that stands for the routes of a service.
pub fn routes_to_wire(routes: &ServiceRoutes) -> waypoint::ServiceRoutes {
    waypoint::ServiceRoutes {
        since: String::new(),
        frame: piece(&frame(routes)),
        http: routes.http_lists().map(list).collect(),
    }
}

/// What leads from routes as they were encoded, with this version, to others. `None` if those are sent
/// as easily.
pub fn routes_edit(since: &str, before: &Bytes, now: &Bytes) -> Option<Bytes> {
    let decode = |body: &Bytes| waypoint::ServiceRoutes::decode(body.clone()).ok();
    let (old, new) = (decode(before)?, decode(now)?);
    let is_same = old.frame == new.frame;
    let sources = if is_same {
        (0..old.http.len()).map(Some).collect()
    } else {
        sources(&old.frame, &new.frame)?
    };
    let lists: Vec<Parts> = old.http.into_iter().map(Parts::of).collect();
    let none = Parts::default();
    let edited = new.http.into_iter().zip(sources).map(|(list, source)| {
        let of = u32::try_from(source.map_or(0, |place| place + 1)).ok()?;
        let before = source.and_then(|place| lists.get(place)).unwrap_or(&none);
        edited(of, before, Parts::of(list))
    });
    let edit = waypoint::ServiceRoutes {
        since: since.to_owned(),
        frame: if is_same { Bytes::new() } else { new.frame },
        http: edited.collect::<Option<_>>()?,
    };
    (edit.encoded_len() < now.len()).then(|| edit.encode_to_vec().into())
}

/// The same without what is in its lists for requests.
fn frame(routes: &ServiceRoutes) -> ServiceRoutes {
    let of_port = |port: &PortRoutes| PortRoutes {
        producer: port.producer.as_ref().map(frame_of_list),
        consumers: port
            .consumers
            .iter()
            .map(|(namespace, list)| (namespace.clone(), frame_of_list(list)))
            .collect(),
    };
    let ports = routes.ports.iter();
    ServiceRoutes {
        service: routes.service.clone(),
        ports: ports
            .map(|(number, port)| (*number, of_port(port)))
            .collect(),
    }
}

fn frame_of_list(list: &RouteList) -> RouteList {
    match list {
        RouteList::Http(_) => RouteList::Http(HttpRoutes::default()),
        RouteList::Tls(_) | RouteList::Tcp(_) => list.clone(),
    }
}

fn list(http: &HttpRoutes) -> waypoint::HttpRoutes {
    let rules = waypoint::Rules {
        more: http.rules.iter().map(|rule| piece(&**rule)).collect(),
        ..waypoint::Rules::default()
    };
    let matches = waypoint::Matches {
        more: http.matches.iter().map(|one| piece(&*one.when)).collect(),
        leads_to: http.matches.iter().map(|one| one.rule).collect(),
        ..waypoint::Matches::default()
    };
    waypoint::HttpRoutes {
        of: 0,
        rules: vec![rules],
        matches: vec![matches],
    }
}

fn piece(part: &impl Serialize) -> Bytes {
    // No type of the model has a map whose keys are not texts or numbers: this does not fail.
    serde_json::to_vec(part).unwrap_or_default().into()
}

/// The pieces of a list that is told whole.
#[derive(Default)]
struct Parts {
    rules: Vec<Bytes>,
    /// With the place of the rule that each leads to.
    matches: Vec<(Bytes, u32)>,
}

impl Parts {
    fn of(list: waypoint::HttpRoutes) -> Self {
        let matches = list.matches.into_iter();
        Self {
            rules: list.rules.into_iter().flat_map(|run| run.more).collect(),
            matches: matches
                .flat_map(|run| run.more.into_iter().zip(run.leads_to))
                .collect(),
        }
    }
}

/// For each list of a frame its place in another one: for the same port, and the same clients.
fn sources(before: &[u8], now: &[u8]) -> Option<Vec<Option<usize>>> {
    let (before, now): (ServiceRoutes, ServiceRoutes) = (
        serde_json::from_slice(before).ok()?,
        serde_json::from_slice(now).ok()?,
    );
    let before: Vec<_> = http_places(&before).collect();
    let place_of = |place| before.iter().position(|other| *other == place);
    Some(http_places(&now).map(place_of).collect())
}

/// What the lists for requests are for, in their order.
fn http_places(routes: &ServiceRoutes) -> impl Iterator<Item = (u16, Option<&str>)> {
    routes.ports.iter().flat_map(|(number, port)| {
        let producer = port.producer.iter().map(|list| (None, list));
        let consumers = port.consumers.iter();
        let consumers = consumers.map(|(namespace, list)| (Some(&**namespace), list));
        let http = |(_, list): &(_, &RouteList)| matches!(list, RouteList::Http(_));
        let lists = producer.chain(consumers).filter(http);
        lists.map(|(client, _)| (*number, client))
    })
}

/// A list, told by what it has of another one.
fn edited(of: u32, before: &Parts, now: Parts) -> Option<waypoint::HttpRoutes> {
    let mut known = Same::new(&before.rules, |rule| &**rule);
    // Where each rule of before is now.
    let mut moved: Vec<Option<u32>> = vec![None; before.rules.len()];
    let mut rules = Runs::default();
    for (place, rule) in (0_u32..).zip(now.rules) {
        let found = known.find(&*rule);
        match found.filter(|old| moved.get(*old) == Some(&None)) {
            Some(old) => {
                *moved.get_mut(old)? = Some(place);
                rules.take(old)?;
            }
            None => rules.add(rule),
        }
    }
    let mut known = Same::new(&before.matches, |(when, _)| &**when);
    let mut taken = vec![false; before.matches.len()];
    let mut matches = Runs::default();
    for (when, rule) in now.matches {
        let leads_there = |old: &usize| {
            let routed = before.matches.get(*old);
            let led_to = routed.and_then(|(_, rule)| usize::try_from(*rule).ok());
            led_to.and_then(|rule| moved.get(rule)) == Some(&Some(rule))
        };
        let is_free = |old: &usize| taken.get(*old) == Some(&false);
        let found = known.find(&*when).filter(is_free);
        match found.filter(leads_there) {
            Some(old) => {
                *taken.get_mut(old)? = true;
                matches.take(old)?;
            }
            None => matches.add((when, rule)),
        }
    }
    Some(waypoint::HttpRoutes {
        of,
        rules: rules.0.into_iter().map(rules_of).collect(),
        matches: matches.0.into_iter().map(matches_of).collect(),
    })
}

fn rules_of(run: Run<Bytes>) -> waypoint::Rules {
    waypoint::Rules {
        from: run.from,
        count: run.count,
        more: run.more,
    }
}

fn matches_of(run: Run<(Bytes, u32)>) -> waypoint::Matches {
    let (more, leads_to) = run.more.into_iter().unzip();
    waypoint::Matches {
        from: run.from,
        count: run.count,
        more,
        leads_to,
    }
}

/// Pieces of a list: some that were there, and behind them some that were not.
struct Run<T> {
    from: u32,
    count: u32,
    more: Vec<T>,
}

struct Runs<T>(Vec<Run<T>>);

impl<T> Default for Runs<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Runs<T> {
    /// Goes on with a piece that was there.
    fn take(&mut self, place: usize) -> Option<()> {
        let place = u32::try_from(place).ok()?;
        match self.0.last_mut() {
            Some(run) if run.more.is_empty() && place == run.from + run.count => run.count += 1,
            _ => self.0.push(Run {
                from: place,
                count: 1,
                more: Vec::new(),
            }),
        }
        Some(())
    }

    /// Goes on with a new piece.
    fn add(&mut self, piece: T) {
        if self.0.is_empty() {
            self.0.push(Run {
                from: 0,
                count: 0,
                more: Vec::new(),
            });
        }
        if let Some(run) = self.0.last_mut() {
            run.more.push(piece);
        }
    }
}
