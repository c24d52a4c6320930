use http::{HeaderMap, HeaderValue};

use super::*;

fn telling(access_log: AccessLog) -> Telling {
    Telling::of(&MeshTelemetry { access_log }).unwrap()
}

#[test]
fn only_a_format_has_anything_kept() {
    assert!(telling(AccessLog::Usual).lines().is_none());
    assert!(telling(AccessLog::Off).lines().is_none());
    let text = "%REQ(X-B?X-A)% %REQ(:PATH)% %RESP(SERVER)% %TRAILER(X-T)%";
    let telling = telling(AccessLog::Text(text.into()));
    let lines = telling.lines().unwrap();
    let names = |names: &Names| names.0.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&lines.request), ["x-a", "x-b"]);
    assert_eq!(names(&lines.response), ["server"]);
    assert_eq!(names(&lines.trailers), ["x-t"]);
    let headers: HeaderMap = [("x-b", "b"), ("x-c", "c")]
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .into_iter()
        .collect();
    let kept = lines.request.take(&headers);
    assert_eq!(lines.request.find(&kept, "x-b"), Some(&b"b"[..]));
    for absent in ["x-a", "x-c", ":path"] {
        assert_eq!(lines.request.find(&kept, absent), None);
    }
}

#[test]
fn what_cannot_be_read_is_no_telling() {
    for wrong in [
        AccessLog::Text("%NOTHING%".into()),
        AccessLog::Json("[]".into()),
        AccessLog::Json(r#"{"a": "%NOTHING%"}"#.into()),
    ] {
        assert!(Telling::of(&MeshTelemetry { access_log: wrong }).is_err());
    }
}
