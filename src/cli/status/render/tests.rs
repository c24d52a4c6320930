use super::*;
use crate::cli::standing::LeftOut;
use crate::cli::status::report::tests::healthy;

#[test]
fn a_report_is_told_in_tables() {
    let mut facts = healthy();
    insta::assert_snapshot!("well", text(&Report::of(&facts), facts.now, false));
    facts.pods[0].standing = Standing::Pending;
    facts.pods[0].why = Some("its namespace cannot be entered".to_owned());
    facts.unread = vec!["nodes: you may not list them".to_owned()];
    let mut other = facts.pods[0].clone();
    (other.name, other.older_connections) = ("web-2".into(), Some(2));
    other.standing = Standing::LeftOut(LeftOut::HostNetwork);
    facts.pods.push(other);
    insta::assert_snapshot!("ill", text(&Report::of(&facts), facts.now, true));
}

#[test]
fn spans_have_two_units_at_most() {
    let spans = [-5, 0, 119, 120, 7199, 7260, 172_799, 172_800].map(|s| span(Some(s)));
    let texts = [
        "0s", "0s", "119s", "2m0s", "119m59s", "2h1m", "47h59m", "2d",
    ];
    assert_eq!(spans, texts);
    assert_eq!(span(None), "");
}
