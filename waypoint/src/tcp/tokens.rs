//! What is no HTTP shows no token: it may not go where tokens are judged, unless a port or the routes of the
//! service's own namespace say that it is for something else than requests.

use ambit_decide::{Reason, Refusal};
use ambit_model::ServicePort;

use crate::authorize::Asking;
use crate::call::Call;
use crate::protocol::of_port;
use crate::request::authenticate::{holds_for, holds_for_service};
use crate::view::{Routes, View};

/// Refuses a connection that would have to show a token: for what it asks for, or for the service that it is led to.
pub(crate) fn lacks(view: &View, call: &Call, asking: &Asking<'_>) -> Result<(), Refusal> {
    let what = if is_asked(view, call) {
        "here".to_owned()
    } else if let Some((led, port)) = asking.led_service()
        && !is_raw(view.mesh.service(led).and_then(|led| led.port(port)))
        && holds_for_service(view, led)
    {
        format!("to {led}")
    } else {
        return Ok(());
    };
    let detail = format!("tokens are judged of what comes {what}, and this is no HTTP");
    Err(Refusal::new(Reason::MalformedRequest, detail))
}

/// Whether it would have to for what it asks for.
fn is_asked(view: &View, call: &Call) -> bool {
    let port = call.service().map(|(_, port)| port);
    let is_passed_on = || {
        let routes = call.service_routes(view);
        matches!(routes, Some(Routes::Tcp(_) | Routes::Tls(_)))
    };
    !is_raw(port) && holds_for(view, call) && !is_passed_on()
}

/// Whether a port says that it is for something else than requests.
fn is_raw(port: Option<&ServicePort>) -> bool {
    port.is_some_and(|port| of_port(port.app_protocol).is_some())
}
