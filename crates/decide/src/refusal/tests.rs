use std::collections::BTreeSet;

use super::*;

/// What ztunnel puts into the label `response_flags`.
const FLAGS: [&str; 8] = [
    "-",
    "DENY",
    "CONNECT",
    "TLS_FAILURE",
    "H2_HANDSHAKE_FAILURE",
    "NETWORK_POLICY",
    "IDENTITY_ERROR",
    "CERT_REVOKED",
];

#[test]
fn words_are_unique_and_lead_back_to_their_reason() {
    let words: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.word()).collect();
    assert_eq!(words.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        let word = reason.word();
        assert!(
            word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{word}"
        );
        assert_eq!(Reason::from_word(word), Some(*reason));
        assert_eq!(reason.to_string(), word);
    }
    assert_eq!(Reason::from_word("nonsense"), None);
}

#[test]
fn every_reason_has_an_explanation_and_a_flag_that_ztunnel_knows() {
    for reason in Reason::ALL {
        assert!(FLAGS.contains(&reason.response_flag()), "{reason}");
        assert!(reason.explanation().ends_with('.'), "{reason}");
        assert!(
            !reason.explanation().contains('|'),
            "{reason} would break the table"
        );
    }
}

#[test]
fn the_page_of_reasons_is_in_step_with_the_code() {
    let page = include_str!("../../../../docs/reasons.md");
    let table = reasons_table();
    assert!(
        page.contains(&table),
        "put this table into docs/reasons.md:\n\n{table}"
    );
}

#[test]
fn a_refusal_reads_as_word_and_detail() {
    let refusal = Refusal::new(Reason::NoEndpoint, "service shop/web has none");
    assert_eq!(
        refusal.to_string(),
        "no_endpoint: service shop/web has none"
    );
    assert_eq!(refusal.policy, None);
}
