//! Issuers that answer well, and those that do not.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A key that signatures could be verified with.
pub(in crate::jwks) const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"key","x":"_s2qLKlQNmJrqakRKNE2Czvj8ChgR8nIB63IkISteDQ"}]}"#;

const PATIENCE: Duration = Duration::from_secs(20);

impl Fetcher {
    /// One that asks this host too.
    pub(in crate::jwks) fn anywhere() -> Self {
        Self {
            tls: Err("not here".to_owned()),
            may_ask: |_| true,
        }
    }
}

/// An answer of this status with this body.
pub(in crate::jwks) fn answer(status: &str, more: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// A server that answers as `say` makes of the path and its own address; where it is.
pub(in crate::jwks) async fn serve(
    say: impl Fn(&str, SocketAddr) -> Vec<u8> + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let said = say(head.split(' ').nth(1).unwrap(), at);
            // Whoever asked may have had enough.
            stream.write_all(&said).await.ok();
            tokio::spawn(async move {
                stream.read_to_end(&mut Vec::new()).await.ok();
            });
        }
    });
    at
}

async fn fetch(at: SocketAddr, path: &str) -> Result<Arc<str>, FetchError> {
    let source = KeySource::Uri(format!("http://{at}{path}").into());
    Fetcher::anywhere().keys(&source, PATIENCE).await
}

#[tokio::test]
async fn keys_are_fetched_and_what_is_none_is_an_error() {
    let at = serve(|path, _| match path {
        "/keys?v=1" => answer("200 OK", "", KEYS),
        "/gone" => answer("404 Not Found", "", KEYS),
        "/away" => answer("302 Found", "Location: http://elsewhere/\r\n", ""),
        "/page" => answer("200 OK", "", "<html>"),
        "/none" => answer("200 OK", "", r#"{"keys":[]}"#),
        "/secret" => answer("200 OK", "", r#"{"keys":[{"kty":"oct","k":"AA"}]}"#),
        "/huge" => answer("200 OK", "", &" ".repeat(MAX_BYTES + 1)),
        "/cut" => b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{".to_vec(),
        _ => b"SSH-2.0\r\n".to_vec(),
    });
    let at = at.await;
    assert_eq!(&*fetch(at, "/keys?v=1").await.unwrap(), KEYS);
    for (path, word) in [
        ("/gone", "status"),
        ("/away", "redirect"),
        ("/page", "unusable"),
        ("/none", "unusable"),
        ("/secret", "unusable"),
        ("/huge", "too_long"),
        ("/other", "broken"),
    ] {
        let error = fetch(at, path).await.unwrap_err();
        assert_eq!(error.word(), word, "{path}: {error}");
    }
}

#[tokio::test]
async fn an_issuer_that_does_not_end_its_answer_is_not_waited_for() {
    let at = serve(|path, _| match path {
        "/begun" => b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec(),
        _ => Vec::new(),
    });
    let at = at.await;
    for path in ["/begun", "/silent"] {
        let source = KeySource::Uri(format!("http://{at}{path}").into());
        let patience = Duration::from_millis(50);
        let error = Fetcher::anywhere().keys(&source, patience).await;
        assert_eq!(error.unwrap_err().word(), "late", "{path}");
    }
}

#[tokio::test]
async fn an_issuer_says_where_its_keys_are() {
    let document = |issuer: &str, uri: &str| {
        let body = format!(r#"{{"issuer":"{issuer}","jwks_uri":"{uri}","more":1}}"#);
        answer("200 OK", "", &body)
    };
    let at = serve(move |path, at| match path {
        "/good/.well-known/openid-configuration" => {
            document(&format!("http://{at}/good/"), &format!("http://{at}/keys"))
        }
        "/other/.well-known/openid-configuration" => {
            document("https://other", &format!("http://{at}/keys"))
        }
        "/file/.well-known/openid-configuration" => {
            document(&format!("http://{at}/file"), "file:///etc/passwd")
        }
        "/keys" => answer("200 OK", "", KEYS),
        _ => answer("200 OK", "", "{}"),
    });
    let at = at.await;
    let fetch = async |path: &str| {
        let source = KeySource::Issuer(format!("http://{at}{path}").into());
        Fetcher::anywhere().keys(&source, PATIENCE).await
    };
    assert_eq!(&*fetch("/good/").await.unwrap(), KEYS);
    assert_eq!(fetch("/other").await.unwrap_err().word(), "discovery");
    assert_eq!(fetch("/file").await.unwrap_err().word(), "url");
    assert_eq!(fetch("/empty").await.unwrap_err().word(), "discovery");
}

#[tokio::test]
async fn this_host_and_its_link_are_not_asked() {
    let fetcher = Fetcher {
        tls: Err("not here".to_owned()),
        may_ask: is_elsewhere,
    };
    for host in [
        "127.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "[::1]",
        "[fe80::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
    ] {
        let source = KeySource::Uri(format!("http://{host}:9/keys").into());
        let error = fetcher.keys(&source, PATIENCE).await.unwrap_err();
        assert_eq!(error.word(), "forbidden", "{host}: {error}");
    }
    for wrong in [
        "ftp://a/",
        "http://",
        "http://a:b@c/",
        "/keys",
        "http://a b/",
    ] {
        let source = KeySource::Uri(wrong.into());
        let error = fetcher.keys(&source, PATIENCE).await.unwrap_err();
        assert_eq!(error.word(), "url", "{wrong}: {error}");
    }
}

#[test]
fn every_word_is_among_those_that_are_counted() {
    let errors = [
        FetchError::Url(String::new()),
        FetchError::TooLong,
        FetchError::Late(PATIENCE),
        FetchError::Keys(KeySetError::Form),
        FetchError::Discovery(String::new()),
    ];
    assert!(
        errors
            .iter()
            .all(|error| FetchError::WORDS.contains(&error.word()))
    );
}
