use ambit_model::{JwtRule, PolicyName};

use super::*;
use crate::encode::authentication_entry;

fn object() -> RequestAuthentication {
    RequestAuthentication {
        name: PolicyName::new("shop", "tokens"),
        rules: vec![JwtRule {
            issuer: Some("https://issuer".into()),
            from_params: vec!["t".into()],
            ..JwtRule::default()
        }],
    }
}

fn body(json: &str) -> Vec<u8> {
    let json = json.to_owned().into_bytes().into();
    waypoint::RequestAuthentication { json }.encode_to_vec()
}

#[test]
fn it_comes_back_as_it_was() {
    let (name, entry) = authentication_entry(&object());
    assert_eq!(&*name, "shop/tokens");
    assert_eq!(authentication_from_bytes(&name, &entry.body), Ok(object()));
}

#[test]
fn what_is_not_known_or_makes_no_sense_is_an_error() {
    let named = |rule: &str| format!("{{\"name\":\"shop/tokens\",\"rules\":[{rule}]}}");
    let written = serde_json::to_string(&object()).unwrap();
    assert!(written.contains("\"rules\":[{"), "{written}");
    let newer = written.replace("\"rules\":[{", "\"rules\":[{\"claims_must\":1,");
    let forger = written.replace("\"t\"", "\"\"");
    for json in [&*newer, &*forger, &named("1"), "", "{"] {
        let read = authentication_from_bytes("shop/tokens", &body(json));
        assert!(read.is_err(), "{json}: {read:?}");
    }
    let (_, entry) = authentication_entry(&object());
    assert!(authentication_from_bytes("shop/other", &entry.body).is_err());
    assert!(authentication_from_bytes("shop/tokens", &[0xff, 0xff]).is_err());
}
