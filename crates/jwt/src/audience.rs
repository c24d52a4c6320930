//! Whom a token is for.
//!
//! As the proxy of Istio compares them: `https://shop.example/` and `shop.example` are the same.

/// The audiences that a rule asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audiences(Vec<Box<str>>);

impl Audiences {
    /// Those of a rule.
    pub(crate) fn new<'a>(wanted: impl Iterator<Item = &'a str>) -> Self {
        Self(wanted.map(|audience| bare(audience).into()).collect())
    }

    /// Whether one of the token's is asked for, or none is.
    pub(crate) fn accept<'a>(&self, mut of_token: impl Iterator<Item = &'a str>) -> bool {
        let wanted = |audience| {
            let audience = bare(audience);
            !audience.is_empty() && self.0.iter().any(|wanted| **wanted == *audience)
        };
        self.0.is_empty() || of_token.any(wanted)
    }
}

/// Without scheme and last slash.
fn bare(audience: &str) -> &str {
    let host = audience.strip_prefix("https://");
    let host = host.or_else(|| audience.strip_prefix("http://"));
    let host = host.unwrap_or(audience);
    host.strip_suffix('/').unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_enough() {
        let asked = Audiences::new(["https://shop.example/", "cart"].into_iter());
        for (audience, accepted) in [
            ("shop.example", true),
            ("http://shop.example", true),
            ("https://shop.example//", false),
            ("cart", true),
            ("Cart", false),
            ("", false),
        ] {
            assert_eq!(
                asked.accept(["other", audience].into_iter()),
                accepted,
                "{audience}"
            );
        }
        let nobody = Audiences::new(["https://"].into_iter());
        assert!(!nobody.accept(["", "/", "http://"].into_iter()));
        assert!(!asked.accept([].into_iter()));
        assert!(Audiences::default().accept([].into_iter()));
    }
}
