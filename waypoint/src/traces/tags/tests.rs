use super::*;

fn tracing(tags: &[(&str, TraceTag)]) -> Tracing {
    let tags = tags.iter();
    Tracing {
        tags: tags
            .map(|(name, tag)| ((*name).into(), tag.clone()))
            .collect(),
        ..Tracing::default()
    }
}

#[test]
fn tags_are_texts_variables_and_headers_and_tell_no_secrets() {
    let environment = |name: &str, default: Option<&str>| {
        TraceTag::Environment(name.into(), default.map(Into::into))
    };
    let header =
        |name: &str, default: Option<&str>| TraceTag::Header(name.into(), default.map(Into::into));
    let asked = tracing(&[
        ("a", TraceTag::Literal("text".into())),
        ("b", environment("POD_NAME", None)),
        ("c", environment("POD_NAMESPACE", Some("else"))),
        ("d", environment("POD_IP", None)),
        ("e", environment("AWS_SECRET", None)),
        ("f", header("x-tenant", None)),
        ("g", header("x-none", Some("nobody"))),
        ("h", header("x-none", None)),
        ("i", header("authorization", Some("told"))),
    ]);
    let variable = |name: &str| match name {
        "POD_NAME" | "AWS_SECRET" => Some(format!("value of {name}")),
        _ => None,
    };
    let tags = with_environment(asked, variable).tags;
    let long = "x".repeat(1000);
    let mut headers = HeaderMap::new();
    headers.insert("x-tenant", long.parse().unwrap());
    headers.insert("authorization", "secret".parse().unwrap());
    let told: Vec<(String, String)> = of(&tags, &headers)
        .into_iter()
        .map(|(name, text)| (name.into(), text.into()))
        .collect();
    let expected = [
        ("a", "text"),
        ("b", "value of POD_NAME"),
        ("c", "else"),
        ("f", long.get(..MOST_TOLD).unwrap()),
        ("g", "nobody"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(told, expected);
}
