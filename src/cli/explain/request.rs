//! A request that is asked about, and what the policies of a waypoint say of it.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use ambit_decide::Said;
use ambit_model::{Policy, SpiffeId};
use ambit_policy::{Attributes, Headers, Request as Asked, joined};
use ambit_route::{Head, Normalization, normalize};
use http::HeaderMap;
use http::header::HOST;
use http::request::Parts;

/// A request, as flags say it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RequestArgs {
    /// The method of a request that a waypoint on the way would judge
    #[arg(long)]
    pub method: Option<String>,
    /// Its path
    #[arg(long)]
    pub path: Option<String>,
    /// A header of it, NAME:VALUE; may be given several times
    #[arg(long = "header", value_name = "NAME:VALUE")]
    pub headers: Vec<String>,
    /// The form that waypoints put paths into: NONE, BASE, MERGE_SLASHES or DECODE_AND_MERGE_SLASHES
    #[arg(long, default_value = "BASE")]
    pub path_normalization: Normalization,
}

impl RequestArgs {
    /// The request, as a waypoint sees it; `None` if none is asked about. `host` is that of a client that
    /// is not told another one.
    pub(super) fn read(&self, host: &str) -> Result<Option<Request>, String> {
        if self.method.is_none() && self.path.is_none() && self.headers.is_empty() {
            return Ok(None);
        }
        let path = self.path.as_deref().unwrap_or("/");
        if !path.starts_with('/') {
            return Err(format!("`{path}` is no path; it begins with a slash"));
        }
        let method = self.method.as_deref().unwrap_or("GET");
        let mut request = http::Request::builder().method(method).uri(path);
        let mut names_host = false;
        for header in &self.headers {
            let (name, value) = header
                .split_once(':')
                .ok_or_else(|| format!("`{header}` is no header; write NAME:VALUE"))?;
            names_host |= name.eq_ignore_ascii_case(HOST.as_str());
            request = request.header(name, value.trim());
        }
        if !names_host {
            request = request.header(HOST, host);
        }
        let request = request.body(());
        let request = request.map_err(|error| format!("that is no request: {error}"))?;
        let (mut head, ()) = request.into_parts();
        let normal = normalize(&mut head, self.path_normalization);
        normal.map_err(|error| error.to_string())?;
        Ok(Some(Request(head)))
    }
}

/// A request, with its path in normal form.
#[derive(Clone, Debug)]
pub(super) struct Request(Parts);

impl Request {
    /// What routes look at, but for who sends it.
    pub(super) fn head(&self) -> Head<'_> {
        Head::of(&self.0)
    }

    /// To be changed.
    pub(super) fn parts(&mut self) -> &mut Parts {
        &mut self.0
    }

    /// In one line.
    pub(super) fn describe(&self) -> String {
        let head = self.head();
        let (method, path) = (head.method, head.path);
        format!("{method} {path} of {}", head.authority.unwrap_or("no host"))
    }
}

/// Who connects to what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client<'a> {
    pub(super) identity: &'a SpiffeId,
    pub(super) address: IpAddr,
}

/// What a waypoint says of a policy, for a request or else for a connection that is no HTTP.
pub(super) fn say(
    policy: &Policy,
    client: Client<'_>,
    destination: SocketAddr,
    request: Option<&Request>,
) -> Said {
    let Some(requests) = &policy.requests else {
        return Said::Nothing;
    };
    let lines = request.map(|request| Lines(&request.0.headers));
    let asked = request.zip(lines.as_ref()).map(|(request, lines)| {
        let head = Head::of(&request.0);
        Asked {
            method: head.method.as_str(),
            host: head.authority,
            path: head.path,
            headers: lines,
            claims: None,
        }
    });
    let ready = ambit_policy::Policy::new(&requests.policy);
    Said::Rule(ready.matched_by(&Attributes {
        peer: Some(client.identity),
        source_ip: client.address,
        remote_ip: client.address,
        destination,
        sni: None,
        request: asked,
    }))
}

/// Headers as policies ask for them.
#[derive(Debug)]
struct Lines<'a>(&'a HeaderMap);

impl Headers for Lines<'_> {
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let lines = self.0.get_all(name).iter();
        joined(lines.map(|line| line.as_bytes()))
    }

    fn any_line(&self, name: &str, is: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut lines = self.0.get_all(name).iter();
        lines.any(|line| is(line.as_bytes()))
    }
}
