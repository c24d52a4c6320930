//! TLS with scripted servers.

use ambit_identity::outside::OutsidePapers;
use ambit_identity::testing::{Authority, Leaf};
use ambit_model::{CredentialUse, OutsideCredential};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};

use super::*;
use crate::scene::soon;

const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];

fn ask(sni: Option<&str>, names: &[&str]) -> Arc<OutsideTls> {
    Arc::new(OutsideTls {
        sni: sni.map(Into::into),
        names: names.iter().map(|&name| name.into()).collect(),
        ..OutsideTls::default()
    })
}

/// What comes of TLS with a server: the name that it was asked for, or why not.
async fn meet(
    server: Arc<ServerConfig>,
    root: &Authority,
    ask: &Arc<OutsideTls>,
    inner: Inner,
) -> Result<Option<String>, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut tls = TlsAcceptor::from(server).accept(tcp).await.ok()?;
        let name = tls.get_ref().1.server_name().map(str::to_owned);
        tls.write_all(b"hello").await.ok()?;
        name
    });
    let originator = Originator::believing(OutsideRoots::only(&[root.root()]));
    let tcp = TcpStream::connect(to).await.unwrap();
    let mut secure = soon(originator.begin(tcp, Some("api.example.com"), ask, inner)).await?;
    let mut hello = [0; 5];
    let read = soon(secure.read_exact(&mut hello)).await;
    read.map_err(|error| told(&error))?;
    Ok(soon(asked).await.unwrap())
}

#[tokio::test]
async fn a_server_is_believed_by_its_authority_and_name() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let good = Leaf::of_hosts(&["api.example.com", "spare.example.com"]);
    let plain = ask(None, &[]);
    for version in [&TLS12, &TLS13] {
        let server = ours.outside(&good, &[], &[version]);
        let met = meet(server, &ours, &plain, Inner::Other).await;
        assert_eq!(met.unwrap().as_deref(), Some("api.example.com"));
    }
    let why = async |leaf: &Leaf, authority: &Authority| {
        let server = authority.outside(leaf, &[], BOTH);
        meet(server, &ours, &plain, Inner::Other).await.unwrap_err()
    };
    let unknown = why(&good, &other).await;
    assert!(unknown.contains("no authority that is known"), "{unknown}");
    let expired = why(&good.clone().expired(), &ours).await;
    assert!(expired.contains("expired"), "{expired}");
    let named = why(&Leaf::of_hosts(&["www.example.com"]), &ours).await;
    assert!(named.contains("api.example.com"), "{named}");
    // A workload of the mesh is nobody outside of it.
    why(&Leaf::of("spiffe://cluster.local/ns/shop/sa/api"), &ours).await;
}

#[tokio::test]
async fn another_server_name_is_asked_for_and_verified_or_else_the_names_that_are_given() {
    let ours = Authority::new("ours");
    let spare = Leaf::of_hosts(&["spare.example.com"]);
    let uri = Leaf::of_hosts(&[]).uris(&["urn:api", "https://example.com/id"]);
    let met = async |leaf: &Leaf, ask: Arc<OutsideTls>| {
        meet(ours.outside(leaf, &[], BOTH), &ours, &ask, Inner::Other).await
    };
    let asked = met(&spare, ask(Some("Spare.example.com."), &[])).await;
    assert_eq!(asked.unwrap().as_deref(), Some("spare.example.com"));
    let asked = met(&spare, ask(None, &["no", "spare.example.com"])).await;
    assert_eq!(asked.unwrap().as_deref(), Some("api.example.com"));
    met(&uri, ask(None, &["urn:api"])).await.unwrap();
    met(&uri, ask(None, &["urn:ap"])).await.unwrap_err();
    // What is given holds in place of the server's name, and not beside it.
    let api = Leaf::of_hosts(&["api.example.com"]);
    let only = ask(None, &["spare.example.com"]);
    met(&api, only).await.unwrap_err();
    met(&api, ask(Some("not a name"), &[])).await.unwrap_err();
    // What cannot be done as it is asked for is not done in another way.
    let unusable = OutsideTls {
        unverified: true,
        unusable: Some("why".into()),
        ..OutsideTls::default()
    };
    met(&api, Arc::new(unusable)).await.unwrap_err();
}

#[tokio::test]
async fn any_certificate_will_do_if_that_is_asked_for() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let server = other.outside(&Leaf::of_hosts(&["x.example"]).expired(), &[], BOTH);
    let unverified = Arc::new(OutsideTls {
        unverified: true,
        ..OutsideTls::default()
    });
    let met = meet(server, &ours, &unverified, Inner::Other).await;
    met.unwrap();
}

#[tokio::test]
async fn the_version_of_http_is_agreed_on() {
    let ours = Authority::new("ours");
    let good = Leaf::of_hosts(&["api.example.com"]);
    let (h1, h2): (&[&[u8]], &[&[u8]]) = (&[b"http/1.1"], &[b"h2"]);
    for (speaks, inner, agrees) in [
        (h1, Inner::Http1, true),
        (&[][..], Inner::Http1, true),
        (h2, Inner::Http1, false),
        (h2, Inner::Http2, true),
        (&[][..], Inner::Http2, false),
        (h1, Inner::Http2, false),
        (h2, Inner::Other, true),
    ] {
        let server = ours.outside(&good, speaks, BOTH);
        let met = meet(server, &ours, &ask(None, &[]), inner).await;
        assert_eq!(met.is_ok(), agrees, "{speaks:?} {inner:?} {met:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let tcp = TcpStream::connect(to).await.unwrap();
    let (originator, plain) = (Originator::default(), ask(None, &[]));
    let begun = originator.begin(tcp, Some("api.example.com"), &plain, Inner::Http1);
    let why = begun.await.unwrap_err();
    assert!(why.contains("timed out"), "{why}");
}

/// An originator that holds this under the name of what is asked for.
fn holding(given: &OutsideCredential) -> Originator {
    let originator = Originator::believing(OutsideRoots::only(&[]));
    let papers = OutsidePapers::read(given).unwrap();
    originator.credentials().put("shop/c".into(), papers);
    originator
}

fn with_credential(certificate: bool) -> Arc<OutsideTls> {
    Arc::new(OutsideTls {
        credential: Some(CredentialUse {
            name: "shop/c".into(),
            certificate,
        }),
        // As the control plane says it, for others than us.
        unusable: Some("too new".into()),
        ..OutsideTls::default()
    })
}

/// Whether a server says hello to us, over a connection of its own.
async fn greeted(
    originator: &Originator,
    server: &Arc<ServerConfig>,
    ask: &Arc<OutsideTls>,
) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::clone(server));
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        if let Ok(mut tls) = acceptor.accept(tcp).await {
            tls.write_all(b"hello").await.ok();
            tls.flush().await.ok();
        }
    });
    let tcp = TcpStream::connect(to).await.unwrap();
    let mut secure =
        soon(originator.begin(tcp, Some("api.example.com"), ask, Inner::Other)).await?;
    let mut hello = [0; 5];
    let read = soon(secure.read_exact(&mut hello)).await;
    read.map(drop).map_err(|error| told(&error))
}

#[tokio::test]
async fn a_certificate_is_shown_and_its_authorities_alone_are_believed() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let server = ours.demanding(&Leaf::of_hosts(&["api.example.com"]));
    let client = Leaf::of_hosts(&["client.example.com"]);
    let (right, wrong) = (ours.papers(&client), other.papers(&client));
    let mutual = with_credential(true);
    greeted(&holding(&right), &server, &mutual).await.unwrap();
    // Without a certificate, and with one of somebody else's.
    let simple = with_credential(false);
    greeted(&holding(&right), &server, &simple)
        .await
        .unwrap_err();
    let foreign = OutsideCredential {
        roots: right.roots.clone(),
        ..wrong.clone()
    };
    greeted(&holding(&foreign), &server, &mutual)
        .await
        .unwrap_err();
    // What the waypoint believes by itself does not count.
    let originator = Originator::believing(OutsideRoots::only(&[ours.root()]));
    let papers = OutsidePapers::read(&wrong).unwrap();
    originator.credentials().put("shop/c".into(), papers);
    let why = greeted(&originator, &server, &mutual).await.unwrap_err();
    assert!(why.contains("no authority that is known"), "{why}");
}

#[tokio::test]
async fn what_is_not_held_or_will_not_do_sends_nothing() {
    let ours = Authority::new("ours");
    let server = ours.demanding(&Leaf::of_hosts(&["api.example.com"]));
    let client = Leaf::of_hosts(&["client.example.com"]);
    let right = ours.papers(&client);
    let originator = Originator::believing(OutsideRoots::only(&[ours.root()]));
    let mutual = with_credential(true);
    let why = greeted(&originator, &server, &mutual).await.unwrap_err();
    assert!(
        why.contains("shop/c") && why.contains("handed over"),
        "{why}"
    );
    let bare = OutsideCredential {
        chain: "".into(),
        key: "".into(),
        ..right.clone()
    };
    for (given, expected) in [
        (bare, "tls.crt"),
        (ours.papers(&client.clone().expired()), "expired"),
    ] {
        let why = greeted(&holding(&given), &server, &mutual)
            .await
            .unwrap_err();
        assert!(why.contains(expected), "{why}");
        assert!(given.key.is_empty() || !why.contains(&*given.key));
    }
}

/// A connection may be asked for before something is held, and begun after that: it is kept as one of before.
#[test]
fn what_is_not_held_any_more_is_not_as_what_was_not_held_yet() {
    let client = Leaf::of_hosts(&["client.example.com"]);
    let papers = OutsidePapers::read(&Authority::new("ours").papers(&client)).unwrap();
    let mutual = with_credential(true);
    let asked = mutual.credential.as_ref().unwrap();
    let credentials = Credentials::default();
    let mut versions = vec![credentials.version(asked)];
    credentials.put("shop/c".into(), papers.clone());
    versions.push(credentials.version(asked));
    credentials.remove("shop/c");
    versions.push(credentials.version(asked));
    credentials.put("shop/c".into(), papers);
    credentials.forsake("shop/c");
    versions.push(credentials.version(asked));
    credentials.sweep(|_| false);
    versions.push(credentials.version(asked));
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
}

#[tokio::test]
async fn another_version_holds_for_connections_from_then_on() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let server = ours.demanding(&Leaf::of_hosts(&["api.example.com"]));
    let client = Leaf::of_hosts(&["client.example.com"]);
    let mutual = with_credential(true);
    let asked = mutual.credential.clone().unwrap();
    let originator = holding(&other.papers(&client));
    greeted(&originator, &server, &mutual).await.unwrap_err();
    let first = originator.credentials().version(&asked);
    let next = OutsidePapers::read(&ours.papers(&client)).unwrap();
    originator.credentials().put("shop/c".into(), next);
    greeted(&originator, &server, &mutual).await.unwrap();
    let second = originator.credentials().version(&asked);
    originator.credentials().remove("shop/c");
    greeted(&originator, &server, &mutual).await.unwrap_err();
    let third = originator.credentials().version(&asked);
    assert!(first < second && second < third);
}
