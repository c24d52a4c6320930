//! What requests a rule of a virtual service is for.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::{FieldMatch, HttpMatch, PathMatch, SourceMatch, TextMatch};

use super::Reader;
use super::delegate::Effective;
use crate::config::objects::virtual_service::{HttpMatch as Given, HttpRule, StringMatch, is_mesh};
use crate::config::problem::Finding;
use crate::config::translate::routes::compile::Wrong;

/// Names that are no headers in a match: Istio has fields for them.
const FIELDS: [&str; 4] = ["uri", "scheme", "method", "authority"];

/// Whether a rule may be for a port.
pub(super) fn may_be_for(rule: &HttpRule, port: u16) -> bool {
    let mut matches = rule.matches.iter();
    rule.matches.is_empty() || matches.any(|one| is_here(one, Some(port)))
}

/// Whether a match is for the port, and for the mesh.
fn is_here(given: &Given, port: Option<u16>) -> bool {
    let of_port = given
        .port
        .is_none_or(|wanted| port.is_none_or(|p| p == wanted.number()));
    of_port && is_mesh(&given.gateways)
}

/// What the matches of a rule that are for the port are called, if all of them are called the same: a rule
/// has one name in logs.
pub(super) fn called(rule: &HttpRule, port: Option<u16>) -> Option<&Arc<str>> {
    let mut here = rule.matches.iter().filter(|one| is_here(one, port));
    let name = here.next()?.name.as_ref()?;
    here.all(|one| one.name.as_ref() == Some(name))
        .then_some(name)
}

impl Reader<'_, '_> {
    /// The matches of a rule that are for the port; none if it has some, and none of them is.
    pub(super) fn matches(&mut self, one: &Effective<'_>) -> Option<Result<Vec<HttpMatch>, Wrong>> {
        let given = &one.rule.matches;
        if given.is_empty() {
            let all = HttpMatch {
                path: covering(one, None),
                ..HttpMatch::default()
            };
            return Some(Ok(vec![all]));
        }
        let port = self.scene.port;
        let here: Vec<_> = given
            .iter()
            .enumerate()
            .filter(|(_, one)| is_here(one, port))
            .collect();
        if here.is_empty() {
            return None;
        }
        let read = here.into_iter().map(|(index, given)| {
            let field = format!("{}.match[{index}]", one.field);
            self.read(one, &field, given)
        });
        Some(read.collect())
    }

    fn read(
        &mut self,
        one: &Effective<'_>,
        field: &str,
        given: &Given,
    ) -> Result<HttpMatch, Wrong> {
        if given.stat_prefix.is_some() {
            let what = "not followed: series are named by services";
            let finding = Finding::new(format!("{field}.statPrefix"), what, "remove it");
            self.notes.warn(one.key, finding);
        }
        let port = self.scene.port;
        if given.name.is_some() && port.is_some() && called(&one.rule, port).is_none() {
            let what =
                "not told in logs: a rule has one name, and not all of its matches have this one";
            let advice = "give the match a rule of its own, or all matches of the rule one name";
            let finding = Finding::new(format!("{field}.name"), what, advice);
            self.notes.warn(one.key, finding);
        }
        let uri = given.uri.as_ref();
        let path = uri
            .map(|uri| self.path(&format!("{field}.uri"), uri))
            .transpose()?;
        let text = |reader: &mut Self, name: &str, given: Option<&StringMatch>| {
            let read = given.map(|given| reader.text(&format!("{field}.{name}"), given));
            read.transpose()
        };
        let mut headers = Vec::new();
        for (list, map, invert) in [
            ("headers", &given.headers, false),
            ("withoutHeaders", &given.without_headers, true),
        ] {
            for (name, given) in map {
                let field = format!("{field}.{list}.{}", name.shared());
                let name = name.lower_case();
                if FIELDS.contains(&&*name) {
                    let advice = format!("write match.{name} in its place");
                    return Err(Wrong::unsupported(
                        field,
                        "not the name of a header",
                        advice,
                    ));
                }
                let value = self.text(&field, given)?;
                headers.push(FieldMatch {
                    name,
                    value,
                    invert,
                });
            }
        }
        let mut query = Vec::new();
        for (name, given) in &given.query_params {
            query.push(FieldMatch {
                name: Arc::clone(name),
                value: self.text(&format!("{field}.queryParams.{name}"), given)?,
                invert: false,
            });
        }
        let source = SourceMatch {
            namespace: given.source_namespace.as_ref().map(|name| name.shared()),
            labels: given
                .source_labels
                .clone()
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
        };
        Ok(HttpMatch {
            path: covering(one, path),
            method: text(self, "method", given.method.as_ref())?,
            headers,
            query,
            ignore_case: given.ignore_uri_case && given.uri.is_some(),
            scheme: text(self, "scheme", given.scheme.as_ref())?,
            authority: text(self, "authority", given.authority.as_ref())?,
            source: (source != SourceMatch::default()).then_some(source),
        })
    }

    fn path(&mut self, field: &str, given: &StringMatch) -> Result<PathMatch, Wrong> {
        Ok(match self.text(field, given)? {
            TextMatch::Exact(path) => PathMatch::Exact(path),
            TextMatch::Prefix(path) => PathMatch::Prefix(path),
            TextMatch::Regex(pattern) => PathMatch::Regex(pattern),
            TextMatch::Present => PathMatch::Prefix("".into()),
        })
    }

    /// How a text is compared. In place of an expression that there are too many of: anything.
    pub(super) fn text(&mut self, field: &str, given: &StringMatch) -> Result<TextMatch, Wrong> {
        Ok(match (&given.exact, &given.prefix, &given.regex) {
            (Some(text), ..) => TextMatch::Exact(Arc::clone(text)),
            (None, Some(text), _) => TextMatch::Prefix(Arc::clone(text)),
            (None, None, Some(text)) => {
                let pattern = self.room.pattern(&format!("{field}.regex"), text)?;
                pattern.map_or(TextMatch::Present, TextMatch::Regex)
            }
            (None, None, None) => TextMatch::Present,
        })
    }
}

/// A path that is not asked for begins with `/`, which a rewrite of its beginning replaces.
fn covering(one: &Effective<'_>, path: Option<PathMatch>) -> Option<PathMatch> {
    let rewrite = one.rule.rewrite.as_ref().and_then(|it| it.uri.as_ref());
    let redirect = one
        .rule
        .redirect
        .as_ref()
        .and_then(|it| it.uri_prefix.as_ref());
    let replaces = rewrite.is_some() || redirect.is_some();
    path.or_else(|| replaces.then(|| PathMatch::Prefix("/".into())))
}

/// Whether a match is met by every request.
pub(super) fn is_for_all(when: &HttpMatch) -> bool {
    let anywhere = match &when.path {
        None => true,
        Some(PathMatch::Prefix(prefix)) => matches!(&**prefix, "" | "/"),
        Some(_) => false,
    };
    let rest = HttpMatch {
        path: None,
        ignore_case: false,
        ..when.clone()
    };
    anywhere && rest == HttpMatch::default()
}
