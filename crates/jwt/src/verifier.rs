//! The rules that apply together, and the judgement of a request's tokens by them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ambit_model::{AuthenticationProblem, PolicyName, RequestAuthentication};
use http::HeaderName;

use crate::cache::{Cache, Scope};
use crate::head::Head;
use crate::keys::{IgnoredKey, KeySetError};
use crate::outputs::Verified;
use crate::passed::{Judged, Passed};
use crate::places::{Found, Places};
use crate::refusal::{Fault, Reason, Refusal};
use crate::rule::{Rule, RuleError, timely};
use crate::token::{MAX_TOKEN, Token};

/// How much of an issuer that nobody knows is told.
const MAX_TOLD: usize = 128;

/// The rules that apply together, to a service or a pod.
#[derive(Debug)]
pub struct Verifier {
    /// By issuer.
    pub(crate) rules: Vec<Rule>,
    pub(crate) places: Places,
    /// By index of the place.
    watched: Vec<Watched>,
    /// Headers that are made of claims.
    pub(crate) outputs: Vec<HeaderName>,
    /// Issuers that rules name.
    named: BTreeSet<Arc<str>>,
    cache: Arc<Cache>,
}

/// What watches a place.
#[derive(Debug)]
struct Watched {
    /// Indexes of rules, in order.
    rules: Vec<usize>,
    /// What good tokens are kept under.
    scope: Scope,
}

/// An object that cannot be used. A service that it applies to must not be served without it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("RequestAuthentication {name}: {problem}")]
pub struct Unusable {
    /// Which one.
    pub name: PolicyName,
    /// What is wrong with it.
    pub problem: AuthenticationProblem,
}

/// A rule whose keys cannot be used, so that all its tokens are refused, or some of whose are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyProblem<'v> {
    /// The object.
    pub policy: &'v PolicyName,
    /// The issuer.
    pub issuer: Option<&'v str>,
    /// Why none can be used; none: some can.
    pub error: Option<&'v KeySetError>,
    /// Which cannot.
    pub ignored: &'v [IgnoredKey],
}

impl Verifier {
    /// Makes the rules of objects ready. Several verifiers, also one and the next after it, share a
    /// cache.
    pub fn new<'a>(
        objects: impl IntoIterator<Item = &'a RequestAuthentication>,
        cache: &Arc<Cache>,
    ) -> Result<Self, Unusable> {
        let mut all = Vec::new();
        for object in objects {
            let name = &object.name;
            let unusable = |problem| Unusable {
                name: name.clone(),
                problem,
            };
            object.check().map_err(unusable)?;
            all.extend(object.rules.iter().map(|rule| (name, rule)));
        }
        // As Istio does. What does not depend on the objects' order is the same in every waypoint.
        all.sort_by(|(_, one), (_, other)| one.issuer.cmp(&other.issuer));
        let (mut rules, mut places) = (Vec::new(), Places::default());
        let mut watching: Vec<Vec<usize>> = Vec::new();
        for (index, (name, rule)) in all.into_iter().enumerate() {
            let unusable = |error: RuleError| Unusable {
                name: name.clone(),
                problem: AuthenticationProblem {
                    field: "jwtRules".to_owned(),
                    what: error.to_string(),
                    advice: "correct the object",
                },
            };
            rules.push(Rule::new(name, rule).map_err(unusable)?);
            let of_rule = places.add(rule).map_err(|error| unusable(error.into()))?;
            watching.resize_with(places.len(), Vec::new);
            for place in of_rule {
                watching
                    .get_mut(place)
                    .into_iter()
                    .for_each(|w| w.push(index));
            }
        }
        let outputs = rules.iter().flat_map(|rule| rule.outputs.names().cloned());
        let mut outputs: Vec<HeaderName> = outputs.collect();
        outputs.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        outputs.dedup();
        let named = rules.iter().filter_map(|rule| rule.issuer.clone());
        let named = named.collect();
        let watched = watching.into_iter().map(|indexes| Watched {
            scope: cache.scope(&description(&rules, &indexes, &named)),
            rules: indexes,
        });
        Ok(Self {
            watched: watched.collect(),
            rules,
            places,
            outputs,
            named,
            cache: Arc::clone(cache),
        })
    }

    /// Rules whose keys, or some of them, cannot be used: for log and status.
    pub fn key_problems(&self) -> impl Iterator<Item = KeyProblem<'_>> {
        let rules = self.rules.iter().map(|rule| KeyProblem {
            policy: &rule.policy,
            issuer: rule.issuer.as_deref(),
            error: rule.keys.as_ref().err(),
            ignored: rule.keys.as_ref().map_or(&[], |keys| keys.ignored()),
        });
        rules.filter(|problem| problem.error.is_some() || !problem.ignored.is_empty())
    }

    /// The headers that tokens stand in, and those that are made of claims.
    pub fn header_names(&self) -> impl Iterator<Item = &HeaderName> {
        self.places.headers().chain(&self.outputs)
    }

    /// Judges the tokens of a request. What has passed is to be [applied](Passed::apply) to it.
    pub fn judge(&self, head: &Head<'_>, now: SystemTime) -> Result<Passed<'_>, Refusal> {
        let passed = |judged| Passed {
            verifier: self,
            judged,
        };
        if head.is_preflight() {
            return Ok(passed(Vec::new()));
        }
        let found = self.places.find(head).map_err(|_too_many| Refusal {
            reason: Reason::Several,
            policy: self.rules.first().map(|rule| rule.policy.clone()),
            detail: "more tokens than are looked at".to_owned(),
            sentence: Reason::Several.sentence(),
        })?;
        self.one_each(&found)?;
        // A clock before 1970 is wrong: then every token has ended.
        let now = now.duration_since(UNIX_EPOCH);
        let now = now.map_or(u64::MAX, |since| since.as_secs());
        let judged = found.iter().map(|found| self.token(found, now));
        let mut judged = judged.collect::<Result<Vec<_>, _>>()?;
        judged.sort_by_key(|judged| judged.rule);
        Ok(passed(judged))
    }

    /// No rule sees two different tokens.
    fn one_each(&self, found: &[Found<'_>]) -> Result<(), Refusal> {
        for (index, one) in found.iter().enumerate() {
            let others = found.iter().skip(index + 1);
            for other in others.filter(|other| other.token != one.token) {
                let rules = self.rules_at(one.place);
                let common = rules
                    .iter()
                    .find(|rule| self.rules_at(other.place).contains(rule));
                if common.is_some() {
                    let what = format!("another one is in {}", self.told(other.place));
                    let fault = Fault::new(Reason::Several, what);
                    return Err(self.faulty(one, None, &fault));
                }
            }
        }
        Ok(())
    }

    /// Judges one token.
    fn token(&self, found: &Found<'_>, now: u64) -> Result<Judged, Refusal> {
        let judged = |rule: usize, verified| Judged {
            place: found.place,
            rule,
            verified,
        };
        let watched = self.watched.get(found.place);
        let scope = watched.filter(|_| found.token.len() <= MAX_TOKEN);
        let tag = scope.and_then(|watched| watched.scope.tag(&found.token));
        if let Some(kept) = tag.and_then(|tag| self.cache.find(&tag))
            && let Some(rule) = self.rules_at(found.place).get(kept.rule)
        {
            let timely = timely(&kept.claims, now);
            timely.map_err(|fault| self.faulty(found, Some(*rule), &fault))?;
            return Ok(judged(*rule, kept));
        }
        let token = Token::parse(&found.token);
        let token = token.map_err(|fault| self.faulty(found, None, &fault))?;
        let (position, rule) = self.accepting(found, &token, now)?;
        let Some(by) = self.rules.get(rule) else {
            return Err(self.unknown(found, &token));
        };
        let headers = by.outputs.of(token.payload, &token.claims);
        let claims = token.claims.worded(&by.worded);
        let verified = Arc::new(Verified::new(claims, position, headers));
        if let Some(tag) = tag {
            self.cache.keep(tag, &verified);
        }
        Ok(judged(rule, verified))
    }

    /// The rule by which a token is good: its position at the place, and its index.
    fn accepting(
        &self,
        found: &Found<'_>,
        token: &Token<'_>,
        now: u64,
    ) -> Result<(usize, usize), Refusal> {
        let issuer = token.claims.issuer();
        let is_named = self.named.contains(issuer);
        let here = self.rules_at(found.place).iter().copied().enumerate();
        let here = here.filter_map(|(position, index)| {
            let rule = self.rules.get(index)?;
            let fits = match &rule.issuer {
                Some(named) => **named == *issuer,
                None => !is_named,
            };
            fits.then_some((position, index, rule))
        });
        let mut first: Option<(usize, Fault)> = None;
        for (position, index, rule) in here {
            let timely = timely(&token.claims, now);
            match timely.and_then(|()| rule.accept(token)) {
                Ok(()) => return Ok((position, index)),
                // A rule that is for it says more than one that is not.
                Err(fault) => match &first {
                    Some((_, earlier)) if earlier.reason != Reason::Audience => {}
                    _ => first = Some((index, fault)),
                },
            }
        }
        Err(match first {
            Some((index, fault)) => self.faulty(found, Some(index), &fault),
            None => self.unknown(found, token),
        })
    }

    fn unknown(&self, found: &Found<'_>, token: &Token<'_>) -> Refusal {
        let issuer = token.claims.issuer().chars().take(MAX_TOLD);
        let what = format!("its issuer is {:?}", issuer.collect::<String>());
        self.faulty(found, None, &Fault::new(Reason::UnknownIssuer, what))
    }

    fn faulty(&self, found: &Found<'_>, rule: Option<usize>, fault: &Fault) -> Refusal {
        let rule = rule.or_else(|| self.rules_at(found.place).first().copied());
        let rule = rule.and_then(|index| self.rules.get(index));
        Refusal {
            reason: fault.reason,
            policy: rule.map(|rule| rule.policy.clone()),
            detail: format!("the token in {}: {}", self.told(found.place), fault.what),
            sentence: fault.sentence,
        }
    }

    fn rules_at(&self, place: usize) -> &[usize] {
        let watched = self.watched.get(place);
        watched.map_or(&[], |watched| &watched.rules)
    }

    fn told(&self, place: usize) -> Cow<'static, str> {
        let place = self.places.get(place);
        place.map_or(Cow::Borrowed("the request"), |place| {
            place.to_string().into()
        })
    }
}

/// All that the judgement of a token at a place depends on, but for the time.
fn description(rules: &[Rule], here: &[usize], named: &BTreeSet<Arc<str>>) -> Vec<u8> {
    let rules = here.iter().filter_map(|index| rules.get(*index));
    let mut description = here.len().to_be_bytes().to_vec();
    for rule in rules.clone() {
        description.extend_from_slice(&rule.digest);
    }
    if rules.clone().any(|rule| rule.issuer.is_none()) {
        for issuer in named {
            description.push(0);
            description.extend_from_slice(issuer.as_bytes());
        }
    }
    description
}

#[cfg(test)]
mod tests;
