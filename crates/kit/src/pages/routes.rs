//! The table of pages: method and path to a closure.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::{Method, StatusCode};

/// What a client asks of a page.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The part of the address after `?`, as it came.
    pub query: String,
    /// The `Accept` header.
    pub accept: Option<String>,
    /// The body; bounded, empty for GET.
    pub body: Bytes,
}

impl Ask {
    /// The value of a parameter of the query, with `%XX` and `+` undone.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then(|| unescape(value))
        })
    }
}

/// The answer of a page.
#[derive(Clone, Debug)]
pub struct Page {
    /// HTTP status.
    pub status: StatusCode,
    /// Content type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

impl Page {
    /// A text, with status 200.
    pub fn text(body: impl Into<Bytes>) -> Self {
        Self::new(StatusCode::OK, "text/plain; charset=utf-8", body)
    }

    /// A value as JSON, with status 200.
    pub fn json<T: serde::Serialize>(value: &T) -> Self {
        match serde_json::to_vec_pretty(value) {
            Ok(mut body) => {
                body.push(b'\n');
                Self::new(StatusCode::OK, "application/json", body)
            }
            Err(error) => Self::failed(format!("this page could not be written: {error}\n")),
        }
    }

    /// A text that says what is wrong with the request, with status 400.
    pub fn bad_request(body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            ..Self::text(body)
        }
    }

    /// A text that says what went wrong, with status 500.
    pub fn failed(body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..Self::text(body)
        }
    }

    /// A text that says what is being waited for, with status 503.
    pub fn not_ready(body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            ..Self::text(body)
        }
    }

    /// Any answer.
    pub fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type,
            body: body.into(),
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Page> + Send>>;
type Closure = Box<dyn Fn(Ask) -> Answer + Send + Sync>;

struct Route {
    about: &'static str,
    answer: Closure,
}

/// The table of pages.
#[derive(Default)]
pub struct Routes {
    table: BTreeMap<&'static str, Vec<(Method, Route)>>,
}

impl Routes {
    /// No page yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a page that is read with GET (and HEAD).
    #[must_use]
    pub fn get<F>(self, path: &'static str, about: &'static str, answer: F) -> Self
    where
        F: Fn(Ask) -> Page + Send + Sync + 'static,
    {
        self.route(Method::GET, path, about, move |ask| {
            std::future::ready(answer(ask))
        })
    }

    /// Adds an action that is asked for with POST.
    #[must_use]
    pub fn post<F>(self, path: &'static str, about: &'static str, answer: F) -> Self
    where
        F: Fn(Ask) -> Page + Send + Sync + 'static,
    {
        self.route(Method::POST, path, about, move |ask| {
            std::future::ready(answer(ask))
        })
    }

    /// Adds a page of any method whose answer has to be waited for.
    #[must_use]
    pub fn route<F, Fut>(
        mut self,
        method: Method,
        path: &'static str,
        about: &'static str,
        answer: F,
    ) -> Self
    where
        F: Fn(Ask) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Page> + Send + 'static,
    {
        let answer: Closure = Box::new(move |ask| Box::pin(answer(ask)));
        self.table
            .entry(path)
            .or_default()
            .push((method, Route { about, answer }));
        self
    }

    /// The answer for a method and path.
    pub(super) async fn answer(&self, method: &Method, path: &str, ask: Ask) -> Page {
        // HEAD is GET without the body, which the HTTP layer leaves out (RFC 9110 section 9.3.2).
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let Some(routes) = self.table.get(path) else {
            return Page {
                status: StatusCode::NOT_FOUND,
                ..Page::text(self.contents())
            };
        };
        match routes.iter().find(|(of, _)| of == method) {
            Some((_, route)) => (route.answer)(ask).await,
            None => Page {
                status: StatusCode::METHOD_NOT_ALLOWED,
                ..Page::text(format!("{path} is not asked for with {method}\n"))
            },
        }
    }

    fn contents(&self) -> String {
        let mut text = String::from("no such page; these there are:\n");
        for (path, routes) in &self.table {
            for (method, route) in routes {
                text.push_str(&format!(
                    "  {:<4} {path:<24} {}\n",
                    method.as_str(),
                    route.about
                ));
            }
        }
        text
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.table.keys()).finish()
    }
}

/// Undoes `%XX` and `+` of a query's value; what is not valid stays as it is.
fn unescape(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            (other, _) => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
