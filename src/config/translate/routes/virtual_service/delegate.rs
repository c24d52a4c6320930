//! Rules that others say: a rule with a `delegate` stands for the rules of that object, for the
//! requests that both are for.
//!
//! What the delegate leaves open, the rule that delegates to it fills in. Of two matches that can never
//! hold at once nothing comes.

use std::borrow::Cow;
use std::sync::Arc;

use super::Notes;
use super::matches::called;
use crate::config::objects::virtual_service::hosts::Export;
use crate::config::objects::virtual_service::{HttpMatch, HttpRule, MAX_MATCHES, StringMatch};
use crate::config::objects::{Kind, ObjectKey};
use crate::config::problem::Finding;
use crate::config::translate::Inputs;
use crate::config::translate::routes::compile::Wrong;

/// A rule as it holds, and whose it is.
#[derive(Debug)]
pub(super) struct Effective<'a> {
    /// The object that says it.
    pub(super) key: &'a ObjectKey,
    /// Where it stands there.
    pub(super) field: String,
    index: usize,
    pub(super) rule: Cow<'a, HttpRule>,
    /// The object that says where copies go, and where it says so.
    pub(super) copies_by: (&'a ObjectKey, String),
}

impl<'a> Effective<'a> {
    /// A rule as it is written.
    pub(super) fn of(key: &'a ObjectKey, index: usize, rule: &'a HttpRule) -> Self {
        let field = format!("spec.http[{index}]");
        Self {
            key,
            copies_by: (key, field.clone()),
            field,
            index,
            rule: Cow::Borrowed(rule),
        }
    }

    /// How logs name it on a port: with the name of its matches there, if they have one.
    pub(super) fn name(&self, port: Option<u16>) -> Arc<str> {
        let ObjectKey {
            namespace, name, ..
        } = self.key;
        let index = self.index.to_string();
        let rule = self.rule.name.as_deref().unwrap_or(&index);
        match called(&self.rule, port) {
            Some(of_match) => format!("VirtualService/{namespace}/{name}/{rule}.{of_match}").into(),
            None => format!("VirtualService/{namespace}/{name}/{rule}").into(),
        }
    }
}

/// The rules that a rule stands for.
#[derive(Debug)]
pub(super) struct Stands<'a> {
    pub(super) rules: Vec<Effective<'a>>,
    /// Some of the delegate's can never hold together with it, and are not among them.
    pub(super) lacks_some: bool,
}

/// The rules that a rule stands for, with at most as many matches as are `left` of an object's.
pub(super) fn effective<'a>(
    inputs: &Inputs<'a>,
    key: &'a ObjectKey,
    (index, rule): (usize, &'a HttpRule),
    left: &mut usize,
    notes: &mut Notes,
) -> Result<Stands<'a>, Wrong> {
    let Some(delegate) = &rule.delegate else {
        return Ok(Stands {
            rules: vec![Effective::of(key, index, rule)],
            lacks_some: false,
        });
    };
    let field = format!("spec.http[{index}].delegate");
    let namespace = delegate.namespace.as_ref();
    let namespace = namespace.map_or_else(|| Arc::clone(&key.namespace), |name| name.shared());
    let wanted = ObjectKey::new(Kind::VirtualService, namespace, delegate.name.shared());
    let found = inputs.objects.virtual_service_with_key(&wanted);
    let Some((wanted, object)) = found else {
        let what = format!("{wanted} is not there");
        return Err(Wrong::unsupported(
            field,
            what,
            "correct the name or make it",
        ));
    };
    if !object.is_delegate() {
        let what = format!("{wanted} has hosts of its own, so that nothing can be delegated to it");
        return Err(Wrong::unsupported(field, what, "name one without hosts"));
    }
    let export = Export::of(&wanted.namespace, &object.spec.export_to);
    if !export.reaches(&key.namespace) {
        let what = format!("{wanted} is not exported to namespace {}", key.namespace);
        return Err(Wrong::unsupported(
            field,
            what,
            "add the namespace to its exportTo",
        ));
    }
    notes.of(wanted);
    let theirs = object.spec.http.iter();
    let pairs = theirs.map(|theirs| rule.matches.len().max(1) * theirs.matches.len().max(1));
    *left = left.checked_sub(pairs.sum()).ok_or_else(|| {
        let what = format!(
            "more than {MAX_MATCHES} matches in this object, as each here is one with each of the \
             delegate's"
        );
        Wrong::unsupported(field, what, "cut the object in two")
    })?;
    let (mut all, mut lacks_some) = (Vec::new(), false);
    for (place, theirs) in object.spec.http.iter().enumerate() {
        let merged = merged(rule, theirs);
        if merged.matches.is_empty() && !(rule.matches.is_empty() && theirs.matches.is_empty()) {
            let what = format!("never holds together with spec.http[{place}] of {wanted}");
            let advice = "make the matches there narrower ones of these";
            let field = format!("spec.http[{index}].match");
            notes.warn(key, Finding::new(field, what, advice));
            lacks_some = true;
            continue;
        }
        let alone = Effective::of(wanted, place, theirs);
        let copies_by = match has_copies(theirs) {
            true => alone.copies_by,
            false => (key, format!("spec.http[{index}]")),
        };
        all.push(Effective {
            rule: Cow::Owned(merged),
            copies_by,
            ..alone
        });
    }
    Ok(Stands {
        rules: all,
        lacks_some,
    })
}

/// A delegate's rule for the requests of a rule that delegates to it.
fn merged(root: &HttpRule, theirs: &HttpRule) -> HttpRule {
    let matches = match (&*root.matches, &*theirs.matches) {
        (all, []) | ([], all) => all.to_vec(),
        (ours, theirs) => {
            let pairs = ours
                .iter()
                .flat_map(|ours| theirs.iter().map(move |it| (ours, it)));
            pairs
                .filter_map(|(ours, theirs)| both(ours, theirs))
                .collect()
        }
    };
    // Copies and their shares belong together.
    let of_mirrors = if has_copies(theirs) { theirs } else { root };
    let mut rule = theirs.clone();
    rule.matches = matches;
    // What is answered here is not rewritten.
    if rule.redirect.is_none() && rule.direct_response.is_none() {
        rule.rewrite = rule.rewrite.or_else(|| root.rewrite.clone());
    }
    rule.timeout = rule.timeout.or(root.timeout);
    rule.retries = rule.retries.or_else(|| root.retries.clone());
    rule.fault = rule.fault.or_else(|| root.fault.clone());
    rule.cors_policy = rule.cors_policy.or_else(|| root.cors_policy.clone());
    rule.headers = rule.headers.or_else(|| root.headers.clone());
    rule.mirror.clone_from(&of_mirrors.mirror);
    rule.mirrors.clone_from(&of_mirrors.mirrors);
    rule.mirror_percent = of_mirrors.mirror_percent;
    rule.mirror_percentage = of_mirrors.mirror_percentage;
    rule
}

fn has_copies(rule: &HttpRule) -> bool {
    rule.mirror.is_some() || !rule.mirrors.is_empty()
}

/// What meets both; none if nothing can.
fn both(ours: &HttpMatch, theirs: &HttpMatch) -> Option<HttpMatch> {
    let mut both = HttpMatch {
        name: both_names(ours.name.as_ref(), theirs.name.as_ref()),
        uri: both_texts(ours.uri.as_ref(), theirs.uri.as_ref())?,
        scheme: both_texts(ours.scheme.as_ref(), theirs.scheme.as_ref())?,
        method: both_texts(ours.method.as_ref(), theirs.method.as_ref())?,
        authority: both_texts(ours.authority.as_ref(), theirs.authority.as_ref())?,
        port: either(ours.port.as_ref(), theirs.port.as_ref())?,
        source_namespace: either(
            ours.source_namespace.as_ref(),
            theirs.source_namespace.as_ref(),
        )?,
        ignore_uri_case: passes_case(ours) && passes_case(theirs),
        gateways: ours.gateways.clone(),
        stat_prefix: theirs.stat_prefix.clone(),
        headers: ours.headers.clone(),
        query_params: ours.query_params.clone(),
        without_headers: ours.without_headers.clone(),
        source_labels: ours.source_labels.clone(),
    };
    for (name, text) in &theirs.headers {
        let text = both_texts(both.headers.get(name), Some(text))??;
        both.headers.insert(name.clone(), text);
    }
    for (name, text) in &theirs.without_headers {
        let text = match both.without_headers.get(name) {
            // What is within the one must not be there, nor what is within the other.
            Some(ours) => wider(ours, text)?.clone(),
            None => text.clone(),
        };
        both.without_headers.insert(name.clone(), text);
    }
    for (name, text) in &theirs.query_params {
        let text = both_texts(both.query_params.get(name), Some(text))??;
        both.query_params.insert(Arc::clone(name), text);
    }
    for (name, value) in &theirs.source_labels {
        agree(
            both.source_labels
                .insert(Arc::clone(name), Arc::clone(value)),
            value,
        )?;
    }
    Some(both)
}

/// Whether a match lets paths pass in any case. Of two the stricter one counts.
fn passes_case(one: &HttpMatch) -> bool {
    one.uri.is_none() || one.ignore_uri_case
}

fn agree<T: PartialEq>(before: Option<T>, now: &T) -> Option<()> {
    before.is_none_or(|before| before == *now).then_some(())
}

/// The one that is given; none if two differ.
fn either<T: PartialEq + Clone>(ours: Option<&T>, theirs: Option<&T>) -> Option<Option<T>> {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => (ours == theirs).then(|| Some(ours.clone())),
        (one, other) => Some(one.or(other).cloned()),
    }
}

/// A name of two, as Istio puts them together.
fn both_names(ours: Option<&Arc<str>>, theirs: Option<&Arc<str>>) -> Option<Arc<str>> {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => Some(format!("{ours}-{theirs}").into()),
        (one, other) => one.or(other).cloned(),
    }
}

/// What meets both texts: the narrower one. None if neither is.
fn both_texts(
    ours: Option<&StringMatch>,
    theirs: Option<&StringMatch>,
) -> Option<Option<StringMatch>> {
    let (Some(ours), Some(theirs)) = (ours, theirs) else {
        return Some(ours.or(theirs).cloned());
    };
    let wide = wider(ours, theirs)?;
    let narrow = if std::ptr::eq(wide, ours) {
        theirs
    } else {
        ours
    };
    Some(Some(narrow.clone()))
}

/// Of two texts the one that is met by whatever meets the other: its beginning, or `{}`, which any text meets.
fn wider<'a>(one: &'a StringMatch, other: &'a StringMatch) -> Option<&'a StringMatch> {
    let covers = |wide: &StringMatch, narrow: &StringMatch| {
        let text = narrow.exact.as_ref().or(narrow.prefix.as_ref());
        let begin = wide.prefix.as_ref().zip(text);
        *wide == StringMatch::default()
            || begin.is_some_and(|(begin, text)| text.starts_with(&**begin))
    };
    if one == other || covers(one, other) {
        Some(one)
    } else {
        covers(other, one).then_some(other)
    }
}
