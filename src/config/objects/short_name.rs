//! Names by which pods call Services in short: their resolvers try such a name with the search domains of the
//! pod behind it, and some ask for it as it is.

use std::sync::Arc;

use super::{Kind, ObjectKey};

/// What a host may be short for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShortName {
    /// `NAME`: a Service of whatever namespace the client is in.
    Name(Arc<str>),
    /// `NAME.NAMESPACE`, `NAME.NAMESPACE.svc`: a Service.
    Service(ObjectKey),
    /// `POD.NAME.NAMESPACE`, `*.NAME.NAMESPACE`: pods of a Service.
    Pods(ObjectKey),
    /// `*.NAMESPACE`: all Services of a namespace.
    Namespace(Arc<str>),
}

impl ShortName {
    /// What this host may be short for, if it is not too long for that.
    pub fn of(host: &str) -> Option<Self> {
        let host = host.to_ascii_lowercase();
        let (host, is_many) = match host.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (host.as_str(), false),
        };
        let service = |name: &str, namespace: &str| ObjectKey::new(Kind::Service, namespace, name);
        let labels: Vec<&str> = host.split('.').collect();
        Some(match (labels.as_slice(), is_many) {
            ([name], false) => Self::Name((*name).into()),
            ([namespace], true) => Self::Namespace((*namespace).into()),
            ([name, namespace] | [name, namespace, "svc"], false) => {
                Self::Service(service(name, namespace))
            }
            ([name, namespace], true) | ([_, name, namespace], false) => {
                Self::Pods(service(name, namespace))
            }
            _ => return None,
        })
    }

    /// The Service, to clients of a namespace.
    pub fn service(&self, namespace: &str) -> Option<ObjectKey> {
        match self {
            Self::Name(name) => Some(ObjectKey::new(Kind::Service, namespace, Arc::clone(name))),
            Self::Service(key) | Self::Pods(key) => Some(key.clone()),
            Self::Namespace(_) => None,
        }
    }

    /// The namespace that it names.
    pub fn namespace(&self) -> Option<&Arc<str>> {
        match self {
            Self::Name(_) => None,
            Self::Service(key) | Self::Pods(key) => Some(&key.namespace),
            Self::Namespace(namespace) => Some(namespace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_short_for_what_search_domains_make_of_it() {
        let key = |name: &str| ObjectKey::new(Kind::Service, "prod", name);
        for (host, short) in [
            ("payments", Some(ShortName::Name("payments".into()))),
            ("Payments.prod", Some(ShortName::Service(key("payments")))),
            (
                "payments.prod.svc",
                Some(ShortName::Service(key("payments"))),
            ),
            ("db-0.db.prod", Some(ShortName::Pods(key("db")))),
            ("*.db.prod", Some(ShortName::Pods(key("db")))),
            ("*.prod", Some(ShortName::Namespace("prod".into()))),
            ("db-0.db.prod.svc", None),
            ("payments.prod.svc.cluster.local", None),
            ("a.b.example.com", None),
            ("*.api.example.com", None),
        ] {
            assert_eq!(ShortName::of(host), short, "{host}");
        }
    }
}
