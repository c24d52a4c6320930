//! Tunnels of clients whose certificates expire.

use ambit_identity::testing::{Authority, Leaf};
use ambit_tunnel::{Ask, DialError, Dialled, Key, Pool};

use super::*;
use crate::scene::{Scene, soon};

#[tokio::test]
async fn a_tunnel_ends_when_the_clients_certificate_has_expired() {
    let authority = Authority::new("ca");
    let scene = Scene::new([]);
    let gate = authority.workload("waypoint");
    let expected = [gate.id().clone()];
    scene.proxy.identity.set_credential(gate);
    scene.proxy.identity.set_trust(authority.trust());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let proxy = Arc::clone(&scene.proxy);
    let served = tokio::spawn(async move {
        let (tcp, from) = listener.accept().await.unwrap();
        let session = shake(&proxy, tcp, &Settings::default()).await.unwrap();
        serve(&proxy, session, from).await;
    });

    let leaf = Leaf {
        not_after: clock::wall() + Duration::from_secs(2),
        ..Leaf::of("spiffe://cluster.local/ns/shop/sa/client")
    };
    let client = Arc::new(authority.issue(&leaf));
    let trust = Arc::new(authority.trust());
    let pool = Pool::new(Settings::default());
    let key = Key {
        source_pod: "client".into(),
        destination_pod: "waypoint".into(),
        to,
        expected: Arc::new(expected),
    };
    let dial = || async {
        let tcp = TcpStream::connect(to).await;
        Ok(Dialled {
            tcp: tcp.map_err(|error| DialError::from_io(to, error))?,
            credential: Arc::clone(&client),
            trust: Arc::clone(&trust),
        })
    };
    let ask = Ask {
        authority: "10.1.0.5:15020".to_owned(),
        headers: Vec::new(),
    };
    let opened = soon(pool.open(&key, dial, &ask)).await.unwrap();
    assert!(!served.is_finished());
    drop(opened);
    // Nothing but the certificate ends it.
    soon(served).await.unwrap();
}
