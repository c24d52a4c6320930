//! Everything that the API server has of some kinds, once: for the command line, which has the
//! rights of whoever calls it. A kind that may not be listed is reported, not fatal: the others
//! can still be told about.

use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, ListParams, ObjectList};
use kube::{Client, Error};
use serde_json::Value;

use super::listing::Listings;
use super::watch::{PAGE, document, resource_of};
use crate::config::Batch;
use crate::config::objects::Kind;

/// Longest wait for one page of a listing.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was listed.
#[derive(Debug, Default)]
pub struct Listed {
    /// All objects, and what is wrong with those that cannot be read.
    pub batch: Batch,
    /// Kinds that could not be listed, and why.
    pub unread: Vec<(Kind, String)>,
}

/// Lists these kinds, showing each document as the API server has it.
pub async fn list(
    client: &Client,
    kinds: &[Kind],
    mut show: impl FnMut(Kind, &Value) + Send,
) -> Listed {
    let mut listed = Listed::default();
    let mut listings = Listings::default();
    for kind in kinds {
        let documents = match Box::pin(documents(client, *kind)).await {
            Ok(documents) => documents,
            Err(why) => {
                listed.unread.push((*kind, why));
                Vec::new()
            }
        };
        for document in &documents {
            show(*kind, document);
        }
        listings.take_all(*kind, documents, &mut listed.batch);
    }
    listed
}

/// All objects of a kind; none if the API server does not know it.
async fn documents(client: &Client, kind: Kind) -> Result<Vec<Value>, String> {
    for version in kind.api_versions() {
        let resource = resource_of(kind, version);
        match of_version(client, &resource).await {
            Err(Error::Api(status)) if status.code == 404 => {}
            Err(Error::Api(status)) => return Err(status.message),
            Err(error) => return Err(error.to_string()),
            Ok(documents) => return Ok(documents),
        }
    }
    Ok(Vec::new())
}

async fn of_version(client: &Client, resource: &ApiResource) -> Result<Vec<Value>, Error> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), resource);
    let mut documents = Vec::new();
    let mut from = None;
    loop {
        let mut parameters = ListParams::default().limit(PAGE);
        parameters.continue_token = from;
        let page: ObjectList<DynamicObject> =
            match tokio::time::timeout(PATIENCE, api.list(&parameters)).await {
                Ok(page) => page?,
                Err(elapsed) => return Err(Error::Service(Box::new(elapsed))),
            };
        from = page.metadata.continue_.filter(|token| !token.is_empty());
        documents.extend(page.items.into_iter().map(|item| document(resource, item)));
        if from.is_none() {
            return Ok(documents);
        }
    }
}
