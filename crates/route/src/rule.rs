//! A rule and its filters, ready for requests.

use std::sync::Arc;

use ambit_model::{BackendTarget, HttpBackend, HttpFilters, HttpRule, Mirror};

use crate::cors::CorsPolicy;
use crate::direct::Direct;
use crate::headers::{HeaderEdits, RequestEdits};
use crate::problem::Problem;
use crate::redirect::Redirection;
use crate::rewrite::Rewriting;
use crate::session::Session;
use crate::weight::choose;

/// What happens to a request that matched. One that is broken has nothing but its name.
#[derive(Debug)]
pub struct Rule {
    /// The rule as it was written: its name, time-outs and retries.
    pub model: Arc<HttpRule>,
    /// Changes on the way.
    pub filters: Filters,
    /// Where it goes, by weight.
    pub backends: Vec<RuleBackend>,
    /// Requests of one session go to one endpoint.
    pub session: Option<Session>,
    /// Answers by itself.
    pub direct: Option<Direct>,
    /// Why it cannot be used, nor what leads to it: every request that meets it is answered with 500.
    pub broken: Option<Problem>,
}

/// A destination of a rule.
#[derive(Debug)]
pub struct RuleBackend {
    /// Its share of all weights of the rule.
    pub weight: u32,
    /// Where.
    pub target: BackendTarget,
    /// Changes for this destination: of headers before those of the rule, which have the last word, the others
    /// after them.
    pub filters: Filters,
}

/// Changes of a request and its response, in the order of the fields.
#[derive(Debug, Default)]
pub struct Filters {
    /// Answers requests of other origins, and says so on responses.
    pub cors: Option<CorsPolicy>,
    /// Headers of the request.
    pub request_headers: RequestEdits,
    /// Answers with a redirect.
    pub redirect: Option<Redirection>,
    /// Host and path of the request.
    pub rewrite: Option<Rewriting>,
    /// Copies of the request.
    pub mirrors: Vec<Mirror>,
    /// Headers of the response.
    pub response_headers: HeaderEdits,
}

impl Rule {
    /// Whether a request is another one behind its filters, or those of one of its backends.
    pub fn changes_requests(&self) -> bool {
        let of_backends = self.backends.iter().map(|backend| &backend.filters);
        let mut all = of_backends.chain([&self.filters]);
        all.any(|filters| filters.rewrite.is_some() || !filters.request_headers.is_empty())
    }

    /// Whether it answers all requests by itself.
    pub fn answers(&self) -> bool {
        self.filters.redirect.is_some() || self.direct.is_some()
    }

    pub(crate) fn new(model: &Arc<HttpRule>) -> Result<Self, Problem> {
        let session = model.session.as_ref().map(Session::new);
        let direct = model.direct_response.as_ref();
        let backends = model.backends.iter().map(RuleBackend::new);
        Ok(Self {
            model: Arc::clone(model),
            filters: Filters::new(&model.filters)?,
            backends: backends.collect::<Result<_, _>>()?,
            session: session.transpose()?,
            direct: direct.map(Direct::new).transpose()?,
            broken: None,
        })
    }

    pub(crate) fn broken(model: &Arc<HttpRule>, problem: Problem) -> Self {
        Self {
            model: Arc::clone(model),
            filters: Filters::default(),
            backends: Vec::new(),
            session: None,
            direct: None,
            broken: Some(problem),
        }
    }

    /// A destination by weight; `None` if there is none with a weight.
    pub fn choose(&self, random: u64) -> Option<&RuleBackend> {
        choose(&self.backends, |backend| backend.weight, random)
    }
}

impl RuleBackend {
    fn new(model: &HttpBackend) -> Result<Self, Problem> {
        Ok(Self {
            weight: model.backend.weight,
            target: model.backend.target.clone(),
            filters: Filters::new(&model.filters)?,
        })
    }
}

impl Filters {
    /// Checks filters.
    ///
    /// # Errors
    ///
    /// If one of them has a value that cannot be used.
    pub fn new(model: &HttpFilters) -> Result<Self, Problem> {
        Ok(Self {
            cors: model.cors.as_ref().map(CorsPolicy::new).transpose()?,
            request_headers: RequestEdits::new(&model.request_headers)?,
            redirect: model.redirect.as_ref().map(Redirection::new).transpose()?,
            rewrite: model.rewrite.as_ref().map(Rewriting::new).transpose()?,
            mirrors: model.mirrors.clone(),
            response_headers: HeaderEdits::new("response header", &model.response_headers)?,
        })
    }
}
