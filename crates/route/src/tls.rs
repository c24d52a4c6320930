//! Which route a TLS connection that is passed through takes.

use ambit_model::TlsRoute;

/// The first route for a server name. A route without names takes every connection, also one that
/// names no server. `*.` stands for one label or more; case does not matter.
pub fn tls_route<'r>(routes: &'r [TlsRoute], server_name: Option<&str>) -> Option<&'r TlsRoute> {
    routes.iter().find(|route| {
        route.server_names.is_empty()
            || server_name.is_some_and(|asked| {
                let mut names = route.server_names.iter();
                names.any(|name| names_host(name, asked))
            })
    })
}

/// Whether `name`, exact or beginning with `*.`, names a host.
pub(crate) fn names_host(name: &str, host: &str) -> bool {
    let Some(parent) = name.strip_prefix('*').filter(|p| p.starts_with('.')) else {
        return name.eq_ignore_ascii_case(host);
    };
    let labels = host.len().checked_sub(parent.len());
    let split = labels.and_then(|at| host.split_at_checked(at));
    split.is_some_and(|(labels, rest)| !labels.is_empty() && rest.eq_ignore_ascii_case(parent))
}

#[cfg(test)]
mod tests;
