use super::*;

fn id(text: &str) -> SpiffeId {
    text.parse().unwrap()
}

#[test]
fn the_header_has_envoy_s_form() {
    let (own, client) = (
        id("spiffe://cluster.local/ns/shop/sa/waypoint"),
        id("spiffe://cluster.local/ns/shop/sa/client"),
    );
    assert_eq!(
        form(Some(&own), &client).unwrap(),
        "By=spiffe://cluster.local/ns/shop/sa/waypoint;URI=spiffe://cluster.local/ns/shop/sa/client"
    );
    assert_eq!(
        form(None, &client).unwrap(),
        "URI=spiffe://cluster.local/ns/shop/sa/client"
    );
}

#[test]
fn what_is_told_stands_in_place_of_what_was_there() {
    let claimed = || {
        let mut headers = HeaderMap::new();
        for value in [
            "URI=spiffe://a/ns/b/sa/admin",
            "URI=spiffe://a/ns/b/sa/root",
        ] {
            headers.append(CLIENT_CERT, HeaderValue::from_static(value));
        }
        headers
    };
    let written = |told: &ToldClient, is_outside| {
        let mut headers = claimed();
        told.write(is_outside, &mut headers);
        let values = headers.get_all(CLIENT_CERT).iter();
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(written(&ToldClient::AsRouted, false).len(), 2);
    assert_eq!(written(&ToldClient::Nothing, false), [""; 0]);
    let value = HeaderValue::from_static("URI=spiffe://a/ns/b/sa/client");
    let told = ToldClient::Identity(value);
    assert_eq!(written(&told, false), ["URI=spiffe://a/ns/b/sa/client"]);
    assert_eq!(written(&told, true), [""; 0]);
}
