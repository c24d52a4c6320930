use k8s_openapi::api::authentication::v1::UserInfo;
use serde_json::json;

use super::*;

fn status(audiences: &[&str], username: &str) -> TokenReviewStatus {
    let extra = [
        (POD_NAME, "ambit-node-agent-x"),
        (POD_UID, "uid-x"),
        (NODE_NAME, "n1"),
    ];
    let extra = extra.map(|(key, value)| (key.to_owned(), vec![value.to_owned()]));
    TokenReviewStatus {
        authenticated: Some(true),
        audiences: Some(audiences.iter().map(|&a| a.to_owned()).collect()),
        user: Some(UserInfo {
            username: Some(username.to_owned()),
            extra: Some(extra.into()),
            ..UserInfo::default()
        }),
        error: None,
    }
}

fn no_claim() -> String {
    String::new()
}

#[test]
fn the_owner_of_a_bound_token_is_read() {
    let name = "system:serviceaccount:ambit-system:ambit-node-agent";
    let expected = TokenOwner {
        namespace: "ambit-system".into(),
        service_account: "ambit-node-agent".into(),
        pod: Some(("ambit-node-agent-x".into(), "uid-x".into())),
        node: Some("n1".into()),
    };
    for audience in AUDIENCES {
        let review = read(status(&["other", audience], name), no_claim);
        assert_eq!(review, Review::Of(expected.clone()));
    }
}

#[test]
fn an_answer_without_one_of_our_audiences_is_no_answer() {
    let name = "system:serviceaccount:ambit-system:ambit-node-agent";
    for audiences in [&[][..], &["https://kubernetes.default.svc"]] {
        let review = read(status(audiences, name), no_claim);
        assert_eq!(review, Review::WrongAudience(String::new()));
    }
}

#[test]
fn what_is_not_authenticated_is_nobody() {
    let name = "system:serviceaccount:ambit-system:ambit-node-agent";
    for authenticated in [None, Some(false)] {
        let mut status = status(&["ambit-ca"], name);
        status.authenticated = authenticated;
        assert_eq!(
            read(status.clone(), no_claim),
            Review::Unknown(String::new())
        );
        status.error =
            Some("token audiences [\"x\"] is invalid for the target audiences [\"y\"]".to_owned());
        assert_eq!(read(status, no_claim), Review::WrongAudience(String::new()));
    }
}

#[test]
fn other_users_and_unbound_tokens_are_told_apart() {
    let admin = read(status(&["ambit-ca"], "kubernetes-admin"), no_claim);
    assert_eq!(admin, Review::Other("kubernetes-admin".to_owned()));
    let mut unbound = status(&["ambit-ca"], "system:serviceaccount:shop:web");
    let extra = unbound.user.as_mut().unwrap().extra.as_mut().unwrap();
    extra.remove(POD_UID);
    extra.get_mut(NODE_NAME).unwrap().push("n2".to_owned());
    let Review::Of(owner) = read(unbound, no_claim) else {
        panic!("no owner");
    };
    assert_eq!((owner.pod, owner.node), (None, None));
}

#[test]
fn a_claim_is_read_and_never_believed() {
    let claims = json!({"sub": "system:serviceaccount:shop:web"}).to_string();
    let claims = serde_json::to_value(ByteString(claims.into_bytes())).unwrap();
    let claims = claims.as_str().unwrap().trim_end_matches('=');
    let told = claim_of(&format!("e30.{claims}.x"));
    assert_eq!(
        told,
        "it claims to be of \"system:serviceaccount:shop:web\""
    );
    for garbage in ["", "a.b.c", "e30.e30.e30", "e30.===.x"] {
        assert_eq!(claim_of(garbage), "it claims nothing");
    }
}
