//! Filters of a rule or a backend reference.
//!
//! All of a kind that is known can be combined, in the order of the fields of
//! [`HttpFilters`] whatever the order in the route; but for a redirect and a
//! rewrite, and for two of one type other than copies. What is not known, or not taken by waypoints
//! ([`ambit_route::Filters`]), is never passed over: its rule is answered with 500.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ambit_model::{Cors, HeaderChanges, HttpFilters, Mirror, PathChange, Redirect, Rewrite};

use super::compile::{Compiler, Wrong};
use crate::config::objects::Kind;
use crate::config::objects::names::Name;
use crate::config::objects::route_filters::{
    Cors as GivenCors, Filter, Header, HeaderModifier, PathModifier, RequestMirror,
    RequestRedirect, UrlRewrite,
};

/// Types of filters that a GRPCRoute may have.
const OF_GRPC: [&str; 3] = [
    "RequestHeaderModifier",
    "ResponseHeaderModifier",
    "RequestMirror",
];
/// Statuses of redirects that are known.
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];
/// What to do about a value that waypoints do not take.
pub(super) const CORRECT: &str = "correct it, or do without it";
/// How long a browser may remember an answer where nothing is said, in seconds.
const MAX_AGE: u32 = 5;

/// Where filters stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// Path of the rule, or of the backend reference.
    pub(super) field: &'a str,
    /// Whether all that leads there is one match of a prefix.
    pub(super) has_one_prefix: bool,
}

impl Compiler<'_> {
    pub(super) fn filters(
        &mut self,
        place: &Place<'_>,
        given: &[Filter],
    ) -> Result<HttpFilters, Wrong> {
        let mut filters = HttpFilters::default();
        let mut seen = BTreeSet::new();
        for (index, filter) in given.iter().enumerate() {
            let field = format!("{}.filters[{index}]", place.field);
            let kind = &*filter.kind;
            if kind != "RequestMirror" && !seen.insert(kind) {
                let what = format!("a second {kind}");
                return Err(Wrong::incompatible(field, what, "put the two together"));
            }
            self.add(&field, place, filter, &mut filters)?;
        }
        if filters.redirect.is_some() && filters.rewrite.is_some() {
            let what = "both RequestRedirect and URLRewrite";
            let field = format!("{}.filters", place.field);
            return Err(Wrong::incompatible(field, what, "remove one of the two"));
        }
        match ambit_route::Filters::new(&filters) {
            Ok(_) => Ok(filters),
            Err(problem) => {
                let field = format!("{}.filters", place.field);
                Err(Wrong::unsupported(field, problem.to_string(), CORRECT))
            }
        }
    }

    fn add(
        &mut self,
        field: &str,
        place: &Place<'_>,
        filter: &Filter,
        filters: &mut HttpFilters,
    ) -> Result<(), Wrong> {
        let kind = &*filter.kind;
        if self.key.kind == Kind::GrpcRoute && !OF_GRPC.contains(&kind) {
            return Err(unknown(field, kind));
        }
        match kind {
            "RequestHeaderModifier" => {
                let given = given(
                    field,
                    "requestHeaderModifier",
                    filter.request_header_modifier.as_ref(),
                )?;
                filters.request_headers = changes(given);
            }
            "ResponseHeaderModifier" => {
                let given = given(
                    field,
                    "responseHeaderModifier",
                    filter.response_header_modifier.as_ref(),
                )?;
                filters.response_headers = changes(given);
            }
            "RequestRedirect" => {
                let given = given(field, "requestRedirect", filter.request_redirect.as_ref())?;
                let field = format!("{field}.requestRedirect");
                filters.redirect = Some(redirect(&field, place, given)?);
            }
            "URLRewrite" => {
                let given = given(field, "urlRewrite", filter.url_rewrite.as_ref())?;
                let field = format!("{field}.urlRewrite");
                filters.rewrite = Some(rewrite(&field, place, given)?);
            }
            "RequestMirror" => {
                let given = given(field, "requestMirror", filter.request_mirror.as_deref())?;
                filters
                    .mirrors
                    .push(self.mirror(&format!("{field}.requestMirror"), given)?);
            }
            "CORS" => {
                let given = given(field, "cors", filter.cors.as_ref())?;
                filters.cors = Some(cors(&format!("{field}.cors"), given)?);
            }
            kind => return Err(unknown(field, kind)),
        }
        Ok(())
    }

    fn mirror(&mut self, field: &str, given: &RequestMirror) -> Result<Mirror, Wrong> {
        let (share, of) = match (given.percent, given.fraction) {
            (None, None) => (100, 100),
            (Some(percent), None) => (percent, 100),
            (None, Some(fraction)) => (fraction.numerator, fraction.denominator.unwrap_or(100)),
            (Some(_), Some(_)) => {
                let what = "both percent and fraction";
                return Err(Wrong::unsupported(field, what, "remove one of the two"));
            }
        };
        if of == 0 || share > of {
            let what = format!("a share of {share} out of {of}");
            return Err(Wrong::unsupported(field, what, "name a part of the whole"));
        }
        let target = self.target(&format!("{field}.backendRef"), &given.backend_ref);
        Ok(Mirror {
            target,
            share,
            of,
            shadow: false,
        })
    }
}

fn unknown(field: &str, kind: &str) -> Wrong {
    let what = format!("a filter of type {kind} is not supported here");
    Wrong::unsupported(format!("{field}.type"), what, "do without it")
}

/// The field that belongs to a filter's type.
fn given<'a, T>(field: &str, name: &str, value: Option<&'a T>) -> Result<&'a T, Wrong> {
    value.ok_or_else(|| {
        let what = "missing, though the type of the filter asks for it";
        Wrong::unsupported(format!("{field}.{name}"), what, "add it")
    })
}

/// Of several with one name the first counts.
fn changes(given: &HeaderModifier) -> HeaderChanges {
    let headers = |list: &[Header]| {
        let mut names = BTreeSet::new();
        let headers = list
            .iter()
            .map(|header| (header.name.lower_case(), header.value.shared()));
        headers
            .filter(|(name, _)| names.insert(Arc::clone(name)))
            .collect()
    };
    HeaderChanges {
        set: headers(&given.set),
        add: headers(&given.add),
        remove: given.remove.iter().map(|name| name.lower_case()).collect(),
    }
}

fn redirect(field: &str, place: &Place<'_>, given: &RequestRedirect) -> Result<Redirect, Wrong> {
    if let Some(scheme) = given.scheme.as_deref()
        && !["http", "https"].contains(&scheme)
    {
        let what = format!("unknown scheme `{scheme}`");
        return Err(Wrong::unsupported(
            format!("{field}.scheme"),
            what,
            "write http or https",
        ));
    }
    let status = given.status_code.unwrap_or(302);
    if !REDIRECTS.contains(&status) {
        let what = format!("{status} is not a redirect that is known");
        let advice = "write 301, 302, 303, 307 or 308";
        return Err(Wrong::unsupported(
            format!("{field}.statusCode"),
            what,
            advice,
        ));
    }
    Ok(Redirect {
        scheme: given.scheme.clone(),
        host: host(field, given.hostname.as_ref())?,
        path: path(field, place, given.path.as_ref())?,
        port: given.port.map(|port| port.number()),
        status,
        as_asked: false,
    })
}

fn rewrite(field: &str, place: &Place<'_>, given: &UrlRewrite) -> Result<Rewrite, Wrong> {
    Ok(Rewrite {
        host: host(field, given.hostname.as_ref())?,
        path: path(field, place, given.path.as_ref())?,
    })
}

fn host(field: &str, given: Option<&Arc<str>>) -> Result<Option<Arc<str>>, Wrong> {
    let checked = given.map(|host| Name::new(host).map(|host| host.shared()));
    checked.transpose().map_err(|error| {
        let field = format!("{field}.hostname");
        Wrong::unsupported(field, error.to_string(), "write a host name without a port")
    })
}

fn path(
    field: &str,
    place: &Place<'_>,
    given: Option<&PathModifier>,
) -> Result<Option<PathChange>, Wrong> {
    let Some(given) = given else { return Ok(None) };
    let field = format!("{field}.path");
    let change = match (
        &*given.kind,
        &given.replace_full_path,
        &given.replace_prefix_match,
    ) {
        ("ReplaceFullPath", Some(path), None) => PathChange::Full(Arc::clone(path)),
        ("ReplacePrefixMatch", None, Some(_)) if !place.has_one_prefix => {
            let what =
                "ReplacePrefixMatch in a rule that has not just one match, of type PathPrefix";
            let advice = "cut the rule in several, one for each prefix";
            return Err(Wrong::incompatible(field, what, advice));
        }
        ("ReplacePrefixMatch", None, Some(path)) => PathChange::Prefix(Arc::clone(path)),
        _ => {
            let what = format!(
                "type `{}` without its field, or beside another's",
                given.kind
            );
            let advice = "write ReplaceFullPath with replaceFullPath, or ReplacePrefixMatch with replacePrefixMatch";
            return Err(Wrong::unsupported(field, what, advice));
        }
    };
    let path = match &change {
        PathChange::Full(path) | PathChange::Prefix(path) => path,
        PathChange::Regex { replacement, .. } => replacement,
    };
    let legal = |byte: u8| byte.is_ascii_graphic() && !b"#?".contains(&byte);
    if path.len() > 1024 || !path.bytes().all(legal) {
        let what = "a path with a character that no path has, or of more than 1024";
        return Err(Wrong::unsupported(
            field,
            what,
            "write what comes before the query",
        ));
    }
    Ok(Some(change))
}

fn cors(field: &str, given: &GivenCors) -> Result<Cors, Wrong> {
    let origins: Vec<Arc<str>> = given
        .allow_origins
        .iter()
        .map(|origin| origin.shared())
        .collect();
    if let Some(origin) = origins.iter().find(|origin| !is_origin(origin)) {
        let what = format!("`{origin}` is not an origin");
        let advice = "write `*` or http(s)://HOST[:PORT], in which the host may begin with `*.`";
        return Err(Wrong::unsupported(
            format!("{field}.allowOrigins"),
            what,
            advice,
        ));
    }
    let names = |list: &[crate::config::objects::route_values::FieldName]| {
        list.iter().map(|name| name.lower_case()).collect()
    };
    Ok(Cors {
        allow_origins: origins,
        allow_credentials: given.allow_credentials,
        allow_methods: given.allow_methods.clone(),
        allow_headers: names(&given.allow_headers),
        expose_headers: names(&given.expose_headers),
        max_age: Some(Duration::from_secs(given.max_age.unwrap_or(MAX_AGE).into())),
        ..Cors::default()
    })
}

fn is_origin(origin: &str) -> bool {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| origin.strip_prefix(scheme));
    let Some(rest) = rest else {
        return origin == "*";
    };
    let (host, port) = rest
        .split_once(':')
        .map_or((rest, None), |(host, port)| (host, Some(port)));
    let named = host.strip_prefix("*.").unwrap_or(host);
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let is_label = |label: &str| !label.is_empty() && label.chars().all(legal);
    let is_host = host == "*" || named.split('.').all(is_label);
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}
