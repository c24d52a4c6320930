//! Changes on the way: headers, redirects, rewrites, copies, CORS.
//!
//! Values of headers are texts. What Envoy would put in place of `%...%` is not known here, so that a
//! rule with such a value is not followed; `%%` is a `%`.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_model::{
    Cors, HeaderChanges, HttpFilters, Mirror, PathChange, Pattern, Redirect, Rewrite, TextMatch,
};

use super::Reader;
use super::backends::target;
use super::delegate::Effective;
use crate::config::objects::virtual_service::Destination;
use crate::config::objects::virtual_service::actions::{
    CorsPolicy, DerivePort, HeaderOperations, Preflights, Redirect as GivenRedirect,
    Rewrite as GivenRewrite,
};
use crate::config::objects::virtual_service::values::Percent;
use crate::config::problem::Finding;
use crate::config::translate::routes::compile::Wrong;

/// Statuses of redirects that are known.
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];
/// What stands for the rest of the path in a redirect's `uri`.
const PREFIX: &str = "%PREFIX()%";

impl Reader<'_, '_> {
    /// The changes that a rule makes for all of its destinations.
    pub(super) fn filters(&mut self, one: &Effective<'_>) -> Result<HttpFilters, Wrong> {
        let (rule, field) = (&*one.rule, &one.field);
        let headers = rule.headers.as_ref();
        let request = headers.and_then(|headers| headers.request.as_ref());
        let response = headers.and_then(|headers| headers.response.as_ref());
        if rule.redirect.is_some() && rule.rewrite.is_some() {
            let what = "beside redirect, which answers itself";
            let field = format!("{field}.rewrite");
            return Err(Wrong::incompatible(field, what, "remove one of the two"));
        }
        let redirect = rule.redirect.as_ref();
        let rewrite = rule.rewrite.as_ref();
        let cors = rule.cors_policy.as_ref();
        let filters = HttpFilters {
            cors: cors.map(|given| self.cors(field, given)).transpose()?,
            request_headers: changes(&format!("{field}.headers.request"), request, true)?,
            redirect: redirect
                .map(|given| self.redirect(field, given))
                .transpose()?,
            rewrite: rewrite
                .map(|given| self.rewrite(field, given))
                .transpose()?,
            mirrors: self.mirrors(one)?,
            response_headers: changes(&format!("{field}.headers.response"), response, false)?,
        };
        self.checked(field, filters)
    }

    fn redirect(&self, field: &str, given: &GivenRedirect) -> Result<Redirect, Wrong> {
        let field = format!("{field}.redirect");
        let status = given.redirect_code.unwrap_or(301);
        if !REDIRECTS.contains(&status) {
            let what = format!("{status} is not a redirect that is known");
            let advice = "write 301, 302, 303, 307 or 308";
            return Err(Wrong::unsupported(
                format!("{field}.redirectCode"),
                what,
                advice,
            ));
        }
        if given.port.is_some() && given.derive_port.is_some() {
            let what = "beside port";
            let field = format!("{field}.derivePort");
            return Err(Wrong::unsupported(field, what, "remove one of the two"));
        }
        let path = match (&given.uri, &given.uri_prefix) {
            (None, None) => None,
            (Some(uri), None) if **uri == *PREFIX => None,
            (Some(uri), None) => Some(PathChange::Full(Arc::clone(uri))),
            (None, Some(prefix)) => Some(PathChange::Prefix(Arc::clone(prefix))),
            (Some(_), Some(_)) => {
                let what = "both uri and uriPrefix";
                return Err(Wrong::unsupported(field, what, "remove one of the two"));
            }
        };
        let (host, in_host) = split_port(&format!("{field}.authority"), given.authority.as_ref())?;
        let from_request = given.derive_port == Some(DerivePort::FromRequestPort);
        let asked = self.scene.port.filter(|_| from_request);
        let port = given.port.map(|port| port.number()).or(asked).or(in_host);
        Ok(Redirect {
            scheme: given.scheme.clone(),
            host,
            path,
            port,
            status,
            as_asked: true,
        })
    }

    fn rewrite(&mut self, field: &str, given: &GivenRewrite) -> Result<Rewrite, Wrong> {
        let field = format!("{field}.rewrite");
        let uri = given.uri.as_ref().filter(|uri| !uri.is_empty());
        let path = match (uri, &given.uri_regex_rewrite) {
            (None, None) => None,
            (Some(uri), None) => Some(PathChange::Prefix(Arc::clone(uri))),
            (None, Some(regex)) => {
                let field = format!("{field}.uriRegexRewrite.match");
                let pattern = self.room.pattern(&field, &regex.matches)?;
                // Without room for it the whole rule is refused.
                let pattern = pattern.unwrap_or_else(|| Pattern("".into()));
                Some(PathChange::Regex {
                    pattern,
                    replacement: Arc::clone(&regex.rewrite),
                })
            }
            (Some(_), Some(_)) => {
                let what = "both uri and uriRegexRewrite";
                return Err(Wrong::unsupported(field, what, "remove one of the two"));
            }
        };
        Ok(Rewrite {
            host: given.authority.clone(),
            path,
        })
    }

    fn mirrors(&mut self, one: &Effective<'_>) -> Result<Vec<Mirror>, Wrong> {
        let (rule, (key, field)) = (&*one.rule, &one.copies_by);
        if rule.mirror.is_some() && !rule.mirrors.is_empty() {
            let what = "beside mirror";
            let advice = "write all copies into mirrors";
            return Err(Wrong::unsupported(format!("{field}.mirrors"), what, advice));
        }
        if rule.mirror_percent.is_some() {
            let what = "an old form, which counts where mirrorPercentage is not given";
            let advice = "write `mirrorPercentage: {value: ...}`";
            let finding = Finding::new(format!("{field}.mirrorPercent"), what, advice);
            self.notes.warn(key, finding);
        }
        let of_one = match (rule.mirror_percentage, rule.mirror_percent) {
            (Some(percentage), _) => percentage.value,
            (None, Some(percent)) => {
                let share = Percent::try_from(f64::from(percent));
                share.map_err(|what| {
                    let field = format!("{field}.mirrorPercent");
                    Wrong::unsupported(field, what, "write a part of a hundred")
                })?
            }
            (None, None) => Percent::all(),
        };
        let mut mirrors = Vec::new();
        let mut add = |field: String, destination: &Destination, percent: Percent| {
            let target = target(&self.scene, key, &field, destination, self.notes);
            let share = percent.share();
            mirrors.push(Mirror {
                target,
                share: share.share,
                of: share.of,
                shadow: true,
            });
        };
        if let Some(destination) = &rule.mirror {
            add(format!("{field}.mirror"), destination, of_one);
        }
        for (index, mirror) in rule.mirrors.iter().enumerate() {
            let field = format!("{field}.mirrors[{index}].destination");
            let percent = mirror.percentage.map(|percentage| percentage.value);
            add(
                field,
                &mirror.destination,
                percent.unwrap_or_else(Percent::all),
            );
        }
        Ok(mirrors)
    }

    fn cors(&mut self, field: &str, given: &CorsPolicy) -> Result<Cors, Wrong> {
        let field = format!("{field}.corsPolicy");
        let mut allow_origins = Vec::new();
        let mut origin_matches = Vec::new();
        let mut add = |test: TextMatch| match test {
            TextMatch::Exact(text) if &*text == "*" => allow_origins.push(text),
            test => origin_matches.push(test),
        };
        for origin in &given.allow_origin {
            add(TextMatch::Exact(Arc::clone(origin)));
        }
        for (index, origin) in given.allow_origins.iter().enumerate() {
            let field = format!("{field}.allowOrigins[{index}]");
            let test = self.text(&field, origin)?;
            if test == TextMatch::Present {
                let advice = "write one of exact, prefix and regex";
                return Err(Wrong::unsupported(field, "empty", advice));
            }
            add(test);
        }
        Ok(Cors {
            allow_origins,
            origin_matches,
            passes_others: given.unmatched_preflights != Some(Preflights::Ignore),
            allow_credentials: given.allow_credentials.unwrap_or(false),
            allow_methods: given.allow_methods.clone(),
            allow_headers: given
                .allow_headers
                .iter()
                .map(|name| name.lower_case())
                .collect(),
            expose_headers: given
                .expose_headers
                .iter()
                .map(|name| name.lower_case())
                .collect(),
            max_age: given.max_age.map(|age| age.length()),
        })
    }
}

/// Host and port of an authority.
fn split_port(
    field: &str,
    given: Option<&Arc<str>>,
) -> Result<(Option<Arc<str>>, Option<u16>), Wrong> {
    let Some(authority) = given.filter(|authority| !authority.is_empty()) else {
        return Ok((None, None));
    };
    let is_ipv6 = authority.ends_with(']');
    match authority.rsplit_once(':').filter(|_| !is_ipv6) {
        None => Ok((Some(Arc::clone(authority)), None)),
        Some((host, port)) => match port.parse() {
            Ok(port) if port != 0 => Ok((Some(host.into()), Some(port))),
            _ => {
                let what = format!("`{authority}` has no port from 1 to 65535");
                Err(Wrong::unsupported(field, what, "write HOST or HOST:PORT"))
            }
        },
    }
}

/// Changes of headers: what is removed goes before anything comes, as in Envoy.
pub(super) fn changes(
    field: &str,
    given: Option<&HeaderOperations>,
    of_request: bool,
) -> Result<HeaderChanges, Wrong> {
    let Some(given) = given else {
        return Ok(HeaderChanges::default());
    };
    let name = |name: &Arc<str>| -> Arc<str> {
        match &*name.to_ascii_lowercase() {
            ":authority" if of_request => "host".into(),
            lower => lower.into(),
        }
    };
    let removed: BTreeSet<Arc<str>> = given.remove.iter().map(name).collect();
    let pair = |list: &str, (key, text): (&Arc<str>, &Arc<str>)| {
        let value = value(&format!("{field}.{list}.{key}"), text)?;
        Ok((name(key), value))
    };
    let mut changes = HeaderChanges::default();
    for given in &given.set {
        changes.set.push(pair("set", given)?);
    }
    for given in &given.add {
        let (name, value) = pair("add", given)?;
        match removed.contains(&name) {
            true => changes.set.push((name, value)),
            false => changes.add.push((name, value)),
        }
    }
    let stays = |name: &Arc<str>| !changes.set.iter().any(|(set, _)| set == name);
    changes.remove = removed.into_iter().filter(stays).collect();
    Ok(changes)
}

fn value(field: &str, text: &Arc<str>) -> Result<Arc<str>, Wrong> {
    if !text.contains('%') {
        return Ok(Arc::clone(text));
    }
    let plain = text.replace("%%", "");
    if plain.contains('%') {
        let what = format!("`{text}` has a value of Envoy's between `%`, which is not known here");
        return Err(Wrong::unsupported(
            field,
            what,
            "write a plain value, and `%%` for `%`",
        ));
    }
    Ok(text.replace("%%", "%").into())
}
