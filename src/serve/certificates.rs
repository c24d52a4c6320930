//! The certificate service: signs for an agent the identities of pods on its own node, for a
//! waypoint its own, and no others.

use std::sync::Arc;
use std::time::Duration;

use ambit_kit::clock;
use ambit_model::SpiffeId;
use ambit_wire::ca::istio_certificate_service_server::IstioCertificateService;
use ambit_wire::ca::{IstioCertificateRequest, IstioCertificateResponse};
use prost_types::value::Kind;
use tonic::{Request, Response, Status};

use super::caller::{Caller, Who};
use super::configuration::Handle;
use super::gate;
use super::metrics::{CertificateRefusal, Metrics};
use crate::ca::{Authority, LeafError};

/// Field of the request's metadata that names the identity asked for, as Istio's agents have it.
const IDENTITY: &str = "ImpersonatedIdentity";

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    /// Who signs.
    pub(crate) authority: Arc<Authority>,
    /// Who knows which pods run where.
    pub(crate) configuration: Handle,
    /// What is counted.
    pub(crate) metrics: Metrics,
}

#[tonic::async_trait]
impl IstioCertificateService for Certificates {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        self.metrics.certificate_requests.inc();
        let caller = gate::caller_of(&request)?;
        match self.issue(&caller, &request.into_inner()).await {
            Ok(response) => {
                self.metrics.certificates_signed.inc();
                Ok(Response::new(response))
            }
            Err((refusal, status)) => {
                self.metrics.certificate_refused(refusal);
                let reason = refusal.word();
                let name = &caller.name;
                tracing::warn!(%name, reason, "no certificate: {}", status.message());
                Err(status)
            }
        }
    }
}

type Refused = (CertificateRefusal, Status);

impl Certificates {
    async fn issue(
        &self,
        caller: &Caller,
        request: &IstioCertificateRequest,
    ) -> Result<IstioCertificateResponse, Refused> {
        let identity = identity_of(request)?;
        if !self.may_have(caller, &identity).await? {
            let why = match &caller.who {
                Who::Agent => format!(
                    "{identity} is the identity of no pod on node {}",
                    caller.name
                ),
                Who::Waypoint(_) => format!("{identity} is not the identity of {}", caller.name),
            };
            return Err((
                CertificateRefusal::NotOnNode,
                Status::permission_denied(why),
            ));
        }
        let life = Duration::from_secs(u64::try_from(request.validity_duration).unwrap_or(0));
        let leaf = self
            .authority
            .sign(&request.csr, &identity, life, clock::wall());
        let leaf = leaf.map_err(|error| refused(&error))?;
        tracing::info!(
            caller = %caller.name, %identity, serial = leaf.serial,
            until = clock::rfc3339(leaf.not_after), "signed a certificate"
        );
        let roots = self.authority.bundle().borrow().pem.clone();
        let cert_chain = std::iter::once(leaf.pem)
            .chain(leaf.chain)
            .chain([roots])
            .collect();
        Ok(IstioCertificateResponse { cert_chain })
    }

    /// An agent may have what the pods of its node have, a waypoint what it has itself.
    async fn may_have(&self, caller: &Caller, identity: &SpiffeId) -> Result<bool, Refused> {
        match &caller.who {
            Who::Agent => {
                let allowed = self.configuration.may_ask(&caller.name, identity).await;
                allowed.map_err(|not_ready| {
                    (
                        CertificateRefusal::Internal,
                        Status::unavailable(not_ready.to_string()),
                    )
                })
            }
            Who::Waypoint(waypoint) => {
                let own = SpiffeId::from_parts(
                    self.authority.trust_domain().as_str(),
                    &waypoint.service.namespace,
                    &waypoint.service_account,
                );
                Ok(*identity == own)
            }
        }
    }
}

fn identity_of(request: &IstioCertificateRequest) -> Result<SpiffeId, Refused> {
    let bad = |why: String| (CertificateRefusal::Request, Status::invalid_argument(why));
    let named = request
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.fields.get(IDENTITY));
    let Some(Kind::StringValue(named)) = named.and_then(|value| value.kind.as_ref()) else {
        return Err(bad(format!("the request's metadata has no {IDENTITY}")));
    };
    named
        .parse()
        .map_err(|error| bad(format!("{IDENTITY}: {error}")))
}

fn refused(error: &LeafError) -> Refused {
    if error.is_the_senders() {
        (
            CertificateRefusal::Request,
            Status::invalid_argument(error.to_string()),
        )
    } else {
        (
            CertificateRefusal::Internal,
            Status::internal(error.to_string()),
        )
    }
}
