//! Whose hand has led a request: a route may be written by somebody who has no say in what holds where it leads.

/// Who has written the rule that leads a request, to whoever judges it there, and whether the rule changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// Nobody, or the namespace that it is led to.
    Trusted,
    /// Another namespace.
    Other {
        /// It is sent as another request than it came.
        changes: bool,
    },
    /// The client's own namespace, for a service of another one.
    Client {
        /// The same.
        changes: bool,
        /// The namespace that it is led to has agreed: it is the client's own, or has granted it, without which no route
        /// of the Gateway API leads there.
        is_agreed: bool,
    },
}

impl Hand {
    /// That of the writer of a rule of this name, which leads to something of the namespace `led`. `client` is the
    /// client's namespace, if the list that the rule stands in is for that alone.
    pub fn of(rule: &str, changes: bool, client: Option<&str>, led: Option<&str>) -> Self {
        let writer = writer_of(rule);
        match writer {
            // Of one that is not known the worst is taken.
            _ if client.is_some() && (writer.is_none() || writer == client) => {
                let is_agreed = writer.is_some() && led == client || needs_grant(rule);
                Self::Client { changes, is_agreed }
            }
            Some(_) if writer == led => Self::Trusted,
            _ => Self::Other { changes },
        }
    }

    /// Whether it is judged where it is led by all that is bound to the waypoint too.
    pub fn leads(self) -> bool {
        self != Self::Trusted
    }

    /// Whether it is judged as it is sent, too.
    pub fn changes(self) -> bool {
        matches!(self, Self::Other { changes } | Self::Client { changes, .. } if changes)
    }

    /// The same, also by what is bound to what was asked for.
    pub fn is_changed_by_client(self) -> bool {
        matches!(self, Self::Client { changes: true, .. })
    }

    /// Whether the client has by itself led it where it may not come with the waypoint's name: another waypoint would
    /// judge the waypoint in its place.
    pub fn borrows(self) -> bool {
        matches!(
            self,
            Self::Client {
                is_agreed: false,
                ..
            }
        )
    }
}

/// The namespace of the object that a rule of this name came from; none of a name of another form.
fn writer_of(rule: &str) -> Option<&str> {
    let mut parts = rule.split('/');
    parts.nth(1).filter(|namespace| !namespace.is_empty())
}

/// Whether a rule of this name leads to other namespaces only if they have granted it.
fn needs_grant(rule: &str) -> bool {
    let kind = rule.split('/').next();
    kind.is_some_and(|kind| kind.ends_with("Route"))
}

#[cfg(test)]
mod tests;
