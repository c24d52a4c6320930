//! The schema of `RequestAuthentication`.

use super::schema::Schema;
use super::{Definition, selector};
use crate::config::objects::Kind;

/// Most rules, and most targets.
const RULES: u32 = 4096;
const FEW: u32 = 16;

pub(super) fn definition() -> Definition {
    Definition {
        kind: Kind::RequestAuthentication,
        singular: "requestauthentication",
        short_name: "ra",
        column: Some([
            "Issuers",
            ".spec.jwtRules[*].issuer",
            "Whose tokens are believed.",
        ]),
        spec: spec(),
    }
}

fn spec() -> Schema {
    let references = Schema::list(
        "Services, Gateways or, in a root namespace, classes of Gateways that it is bound to.",
        selector::reference(),
    );
    let rules = Schema::list(
        "Whose tokens are believed, and where they are found.",
        rule(),
    );
    Schema::object(
        "How requests prove on whose behalf they come.",
        [
            ("selector", selector::schema()),
            ("targetRef", selector::reference()),
            ("targetRefs", references.with("maxItems", FEW)),
            ("jwtRules", rules.with("maxItems", RULES)),
        ],
    )
    .rule(
        "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
        "only one of selector, targetRef and targetRefs can be given",
    )
}

fn rule() -> Schema {
    let some = |description| Schema::text(description).with("minLength", 1);
    let texts = |description| Schema::list(description, some(""));
    let header = Schema::object(
        "",
        [
            ("name", some("Its name.")),
            ("prefix", Schema::text("What stands before the token.")),
        ],
    );
    let output = Schema::object(
        "",
        [
            ("header", some("Its name.")),
            ("claim", some("The claim; a dot leads into an object.")),
        ],
    );
    Schema::object(
        "Tokens of one issuer.",
        [
            ("issuer", some("Who issues them, the claim `iss`.")),
            ("audiences", texts("A token must be for one of these.")),
            (
                "jwksUri",
                some(
                    "Where the keys are fetched; if absent, where the issuer's discovery document says.",
                ),
            ),
            ("jwks_uri", some("The same by an older name.")),
            ("jwks", Schema::text("The keys, a JSON Web Key Set.")),
            (
                "fromHeaders",
                Schema::list(
                    "Headers that a token may stand in.",
                    header.with("required", vec!["name"]),
                ),
            ),
            (
                "fromParams",
                texts("Parameters of the query that may be one."),
            ),
            ("fromCookies", texts("Cookies that may be one.")),
            (
                "outputPayloadToHeader",
                Schema::text("Header in which the application is given the claims."),
            ),
            (
                "forwardOriginalToken",
                Schema::truth("The token goes on to the application."),
            ),
            (
                "outputClaimToHeaders",
                Schema::list(
                    "Headers in which it is given single claims.",
                    output.with("required", vec!["header", "claim"]),
                ),
            ),
            (
                "timeout",
                Schema::text("How long fetching the keys may take; 5s if absent."),
            ),
            (
                "spaceDelimitedClaims",
                texts("Claims whose words are values of their own."),
            ),
        ],
    )
}
