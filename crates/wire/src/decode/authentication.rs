//! Request authentications from the wire.

use ambit_model::RequestAuthentication;
use prost::Message;

use super::DecodeError;
use crate::waypoint;

/// Reads the request authentication of this name. What is not known of it, or makes no sense, is an error:
/// tokens must not be believed by a part of what was asked for.
pub fn authentication_from_bytes(
    name: &str,
    body: &[u8],
) -> Result<RequestAuthentication, DecodeError> {
    let unreadable = |error: &dyn ToString| DecodeError::Message(error.to_string());
    let message =
        waypoint::RequestAuthentication::decode(body).map_err(|error| unreadable(&error))?;
    let object: RequestAuthentication =
        serde_json::from_slice(&message.json).map_err(|error| unreadable(&error))?;
    if object.name.to_string() != name {
        let expected = "the name of the resource";
        return Err(DecodeError::field("name", &object.name, expected));
    }
    object.check().map_err(|problem| unreadable(&problem))?;
    Ok(object)
}

#[cfg(test)]
mod tests;
