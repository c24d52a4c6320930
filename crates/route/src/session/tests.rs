use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn session(by: SessionCarrier, absolute_timeout: Option<Duration>) -> Session {
    Session::new(&SessionPersistence {
        name: "Sticky".into(),
        by,
        absolute_timeout,
    })
    .unwrap()
}

/// The one line of an answer that begins a session.
fn begun(session: &Session, secure: bool) -> (HeaderName, String) {
    let mut headers = HeaderMap::new();
    let tag = EndpointTag::of("pod-1");
    session.begin(&mut headers, tag, now(), "/foo", secure);
    assert_eq!(headers.len(), 1);
    let (name, value) = headers.into_iter().next().unwrap();
    (name.unwrap(), value.to_str().unwrap().to_owned())
}

/// What a client that keeps to the cookie's name and value sends back.
fn sent_back(session: &Session) -> HeaderMap {
    let (name, line) = begun(session, false);
    let mut headers = HeaderMap::new();
    let (name, value) = if name == SET_COOKIE {
        (COOKIE, line.split(';').next().unwrap().to_owned())
    } else {
        (name, line)
    };
    headers.insert(name, value.try_into().unwrap());
    headers
}

fn tags(session: &Session, cookies: &[&str]) -> Vec<EndpointTag> {
    let mut headers = HeaderMap::new();
    for line in cookies {
        headers.append(COOKIE, HeaderValue::from_str(line).unwrap());
    }
    session.read(&headers, now()).collect()
}

#[test]
fn a_session_is_read_as_it_began() {
    let table = [
        (SessionCarrier::SessionCookie, None),
        (SessionCarrier::SessionCookie, Some(HOUR)),
        (SessionCarrier::PermanentCookie, Some(HOUR)),
        (SessionCarrier::Header, None),
        (SessionCarrier::Header, Some(HOUR)),
    ];
    for (by, timeout) in table {
        let session = session(by, timeout);
        let headers = sent_back(&session);
        let read: Vec<_> = session.read(&headers, now()).collect();
        assert_eq!(read, [EndpointTag::of("pod-1")], "{by:?} {timeout:?}");
    }
}

#[test]
fn cookies_have_the_attributes_of_the_proposal() {
    let value = format!("{:032x}", hash("pod-1") ^ hash("Sticky"));
    let common = "Path=/foo; HttpOnly; SameSite=Strict";
    let plain = session(SessionCarrier::SessionCookie, None);
    let (name, line) = begun(&plain, false);
    assert_eq!(
        (name, line),
        (SET_COOKIE, format!("Sticky={value}; {common}"))
    );
    let (_, line) = begun(&plain, true);
    assert_eq!(line, format!("Sticky={value}; {common}; Secure"));
    // Its end is the waypoint's to know, not the browser's.
    let (_, line) = begun(&session(SessionCarrier::SessionCookie, Some(HOUR)), false);
    assert_eq!(line, format!("Sticky={value}-1a3185c5000; {common}"));
    let kept = session(
        SessionCarrier::PermanentCookie,
        Some(Duration::from_millis(1500)),
    );
    let (_, line) = begun(&kept, false);
    assert_eq!(
        line,
        format!("Sticky={value}-1a3185c5000; {common}; Max-Age=2")
    );
    let (name, line) = begun(&session(SessionCarrier::Header, None), true);
    assert_eq!((name.as_str(), line), ("sticky", value));
}

#[test]
fn the_path_of_a_cookie_cannot_add_attributes() {
    let mut headers = HeaderMap::new();
    let session = session(SessionCarrier::SessionCookie, None);
    session.begin(
        &mut headers,
        EndpointTag::of("a"),
        now(),
        "/a; Domain=x",
        false,
    );
    let line = headers[SET_COOKIE].to_str().unwrap();
    assert!(line.contains("; Path=/a; HttpOnly"), "{line}");
}

#[test]
fn a_session_ends_when_its_time_is_over() {
    for by in [SessionCarrier::SessionCookie, SessionCarrier::Header] {
        let session = session(by, Some(HOUR));
        let headers = sent_back(&session);
        let lives = |at: SystemTime| session.read(&headers, at).next().is_some();
        let moment = Duration::from_millis(1);
        assert!(lives(now() + HOUR - moment));
        assert!(!lives(now() + HOUR));
        // A clock that is a little behind, and a beginning that nobody can have seen.
        assert!(lives(now() - SKEW));
        assert!(!lives(now() - SKEW - moment));
    }
    let endless = session(SessionCarrier::SessionCookie, None);
    let headers = sent_back(&endless);
    assert!(
        endless
            .read(&headers, now() + HOUR * 100_000)
            .next()
            .is_some()
    );
}

#[test]
fn of_many_cookies_those_of_the_session_are_read() {
    let session = session(SessionCarrier::SessionCookie, None);
    let value = |id: &str| format!("{:032x}", hash(id) ^ hash("Sticky"));
    let (a, b) = (value("a"), value("b"));
    let lines = [
        format!("x=1; Sticky={a};y=2"),
        format!(
            "sticky={a}; Sticky=; Sticky=zz; Sticky={a}0; Sticky=+{}",
            a.get(1..).unwrap()
        ),
        format!(" Sticky = {b} ; NotSticky={a}"),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let expected = [EndpointTag::of("a"), EndpointTag::of("b")];
    assert_eq!(tags(&session, &lines), expected);
    assert!(tags(&session, &["", ";;", "Sticky", "=", "Sticky=1;"]).is_empty());
}

#[test]
fn what_another_session_gave_out_means_nothing_here() {
    let other = Session::new(&SessionPersistence {
        name: "Other".into(),
        by: SessionCarrier::SessionCookie,
        absolute_timeout: None,
    });
    let (_, line) = begun(&other.unwrap(), false);
    let renamed = line.replace("Other=", "Sticky=");
    let read = tags(&session(SessionCarrier::SessionCookie, None), &[&renamed]);
    assert_eq!(read.len(), 1);
    assert_ne!(read[0], EndpointTag::of("pod-1"));
}

#[test]
fn what_is_no_name_and_a_kept_cookie_without_an_end_are_refused() {
    let new = |name: &str, by| {
        Session::new(&SessionPersistence {
            name: name.into(),
            by,
            absolute_timeout: None,
        })
    };
    for name in ["", "a b", "a;b", "a=b", "connection"] {
        assert!(new(name, SessionCarrier::SessionCookie).is_err(), "{name}");
        assert!(new(name, SessionCarrier::Header).is_err(), "{name}");
    }
    assert!(new("a", SessionCarrier::PermanentCookie).is_err());
    assert!(new("a", SessionCarrier::SessionCookie).is_ok());
}

#[test]
fn tags_are_hashed_as_the_published_vectors_say() {
    // FNV-1a 128 of the empty text, "a" and "foobar".
    assert_eq!(hash(""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
    assert_eq!(hash("a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    assert_eq!(hash("foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
}

proptest! {
    #[test]
    fn any_value_is_read_without_harm(value in ".{0,60}", ended: bool) {
        let timeout = ended.then_some(HOUR);
        let session = session(SessionCarrier::SessionCookie, timeout);
        prop_assert_eq!(session.parse(&value, now()), None);
    }
}
