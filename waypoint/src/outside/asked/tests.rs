//! Hosts that clients name, by requests and connections.

use ambit_model::{Change, NetworkAddress, PortRoutes, ServiceRoutes, Visibility};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::call::Asked as AskedFor;
use crate::connection::Plain;
use crate::fixtures::{call, endpoint, service};
use crate::scene::{CLIENT, Scene, head, rest, soon};

const WELL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A service of this name, whose port 80 is `port` at its hosts.
fn of_name(hostname: &str, port: u16) -> Arc<Service> {
    let Change::PutService(plain) = service("wild") else {
        panic!("no service")
    };
    let mut made = Service {
        name: ServiceName::new("shop", hostname),
        short_name: hostname.into(),
        dynamic: hostname.starts_with('*'),
        canonical: false,
        ..Service::clone(&plain)
    };
    made.ports[0].target_port = port;
    Arc::new(made)
}

/// A waypoint with a service of names with a `*`, whose hosts may be on loopback.
struct Stage {
    scene: Scene,
    service: Arc<Service>,
    listener: TcpListener,
}

impl Stage {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = of_name("*.example.com", listener.local_addr().unwrap().port());
        let routes = ServiceRoutes {
            service: service.name.clone(),
            ports: std::collections::BTreeMap::<u16, PortRoutes>::new(),
        };
        let changes = [
            Change::PutService(Arc::clone(&service)),
            Change::PutRoutes(Arc::new(routes)),
        ];
        let roots = ambit_identity::outside::OutsideRoots::only(&[]);
        Self {
            scene: Scene::outside(roots, changes),
            service,
            listener,
        }
    }

    fn call(&self) -> Call {
        Call {
            asked: AskedFor::Service(Arc::clone(&self.service), self.service.ports[0]),
            ..call(CLIENT)
        }
    }

    /// What comes of a request, if no server sees it.
    async fn refused(&self, request: &str) -> String {
        let mut client = self.scene.client_of(self.call());
        client.write_all(request.as_bytes()).await.unwrap();
        rest(&mut client).await
    }

    /// The head with which a server sees a request.
    async fn seen(&self, request: &str) -> String {
        let mut client = self.scene.client_of(self.call());
        client.write_all(request.as_bytes()).await.unwrap();
        let (mut server, _) = soon(self.listener.accept()).await.unwrap();
        let seen = head(&mut server).await;
        server.write_all(WELL.as_bytes()).await.unwrap();
        let answer = rest(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        seen
    }

    async fn way(&self, name: Option<&str>) -> Result<crate::tcp::Way, Refusal> {
        let name = name.map(str::to_owned);
        soon(crate::tcp::way(&self.scene.proxy, &self.call(), name)).await
    }
}

fn get(target: &str, host: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn the_host_that_is_named_is_gone_to_if_it_fits() {
    let stage = Stage::new().await;
    stage.scene.resolver.say("api.example.com", &["127.0.0.1"]);
    let seen = stage.seen(&get("/a", "API.example.com:80")).await;
    assert!(seen.starts_with("GET /a HTTP/1.1"), "{seen}");
    // The target goes before the header (RFC 9112, 3.2.2), and is what is sent on.
    let seen = stage
        .seen(&get("http://api.example.com/b", "evil.org"))
        .await;
    assert!(
        seen.to_lowercase().contains("host: api.example.com\r\n"),
        "{seen}"
    );
    assert!(!seen.contains("evil.org"), "{seen}");
    let labels = [
        "response_code=\"200\"",
        "destination_service=\"*.example.com\"",
        "destination_service_namespace=\"shop\"",
        "destination_workload=\"unknown\"",
    ];
    stage.scene.await_request(&labels).await;
    assert_eq!(stage.scene.resolver.asked(), 1);
}

#[tokio::test]
async fn what_does_not_fit_or_has_two_readings_is_not_even_resolved() {
    let stage = Stage::new().await;
    for request in [
        get("/", "evil.org"),
        get("/", "example.com"),
        get("/", "api.example.com.evil.org"),
        get("/", "api.example.com:8080"),
        get("/", "127.0.0.1"),
        get("/", "[::1]"),
        get("/", "2130706433"),
        get("/", "api.example.com."),
        get("/", "api.example.com.."),
        get("http://evil.org/", "api.example.com"),
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
    ] {
        let answer = stage.refused(&request).await;
        assert!(answer.contains(" 404 "), "{request}: {answer}");
        assert!(answer.contains("outside_host"), "{request}: {answer}");
    }
    for request in [
        "GET / HTTP/1.1\r\nHost: api.example.com\r\nHost: evil.org\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: evil.org@api.example.com\r\n\r\n",
    ] {
        let answer = stage.refused(request).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{request}: {answer}");
    }
    assert_eq!(stage.scene.resolver.asked(), 0);
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_asked_for_once_by_all_who_want_it() {
    let stage = Stage::new().await;
    for _ in 0..3 {
        let answer = stage.refused(&get("/", "no.example.com")).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("outside_name"), "{answer}");
    }
    assert_eq!(stage.scene.resolver.asked(), 1);
    stage.scene.await_request(&["response_flags=\"UH\""]).await;
}

#[tokio::test]
async fn a_hostile_answer_leads_nowhere() {
    let stage = Stage::new().await;
    let changes = [Change::PutService(Arc::clone(&stage.service))];
    let plain = Stage {
        scene: Scene::new(changes.into_iter().chain([Change::PutRoutes(Arc::new(
            ServiceRoutes {
                service: stage.service.name.clone(),
                ports: std::collections::BTreeMap::new(),
            },
        ))])),
        ..stage
    };
    for (host, address) in [
        ("a.example.com", "127.0.0.1"),
        ("b.example.com", "169.254.169.254"),
        ("c.example.com", "10.1.0.5"),
        ("d.example.com", "240.240.0.1"),
    ] {
        plain.scene.resolver.say(host, &[address]);
        let answer = plain.refused(&get("/", host)).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{host}: {answer}");
        assert!(answer.contains("outside_address"), "{host}: {answer}");
    }
}

/// What was known when a request came says too little: that is why it is asked who is there.
#[tokio::test]
async fn a_pod_that_becomes_known_while_a_name_is_resolved_is_not_gone_to() {
    for is_request in [true, false] {
        let mut stage = Stage::new().await;
        stage.scene.resolver.say("api.example.com", &["127.0.0.1"]);
        let pod = endpoint("other-0", "other", "127.0.0.1", Health::Healthy);
        stage.scene.apply_late(pod);
        if is_request {
            let answer = stage.refused(&get("/", "api.example.com")).await;
            assert!(answer.contains("outside_address"), "{answer}");
        } else {
            let refused = stage.way(Some("api.example.com")).await.err();
            let reason = refused.map(|refusal| refusal.reason);
            assert_eq!(reason, Some(Reason::OutsideAddress));
        }
    }
}

#[tokio::test]
async fn a_host_with_an_entry_of_its_own_is_not_reached_by_the_star() {
    let mut stage = Stage::new().await;
    stage.scene.resolver.say("api.example.com", &["127.0.0.1"]);
    stage.scene.resolver.say("a.b.example.com", &["127.0.0.1"]);
    for own in ["api.example.com", "*.b.example.com"] {
        stage.scene.apply(Change::PutService(of_name(own, 80)));
    }
    // What is for others does not count.
    let mut hidden = Service::clone(&of_name("www.example.com", 80));
    hidden.visibility = Visibility::Namespaces(vec!["others".into()]);
    stage.scene.apply(Change::PutService(Arc::new(hidden)));
    for host in ["api.example.com", "a.b.example.com"] {
        let answer = stage.refused(&get("/", host)).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{host}: {answer}");
        assert!(answer.contains("outside_host"), "{host}: {answer}");
    }
    stage.scene.resolver.say("www.example.com", &["127.0.0.1"]);
    stage.seen(&get("/", "www.example.com")).await;
}

#[tokio::test]
async fn a_connection_is_led_by_its_server_name() {
    let stage = Stage::new().await;
    stage.scene.resolver.say("api.example.com", &["127.0.0.1"]);
    stage.way(Some("API.example.com")).await.unwrap();
    for name in [
        None,
        Some("evil.org"),
        Some("127.0.0.1"),
        Some("api.example.com:80:1"),
    ] {
        let refusal = stage.way(name).await.unwrap_err();
        assert_eq!(refusal.reason, Reason::OutsideHost, "{name:?}");
    }
}

#[tokio::test]
async fn connections_are_not_shared_between_hosts_of_one_address() {
    let stage = Stage::new().await;
    let mut kept = Vec::new();
    for host in ["a.example.com", "b.example.com"] {
        stage.scene.resolver.say(host, &["127.0.0.1"]);
        let mut client = stage.scene.client_of(stage.call());
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        // A connection of its own for each of them.
        let (mut server, _) = soon(stage.listener.accept()).await.unwrap();
        assert!(head(&mut server).await.contains(host));
        server.write_all(WELL.as_bytes()).await.unwrap();
        assert!(head(&mut client).await.starts_with("HTTP/1.1 200"));
        kept.push((client, server));
    }
}

impl Stage {
    /// The same with a service of addresses in place of that of names.
    async fn of_addresses() -> Self {
        let mut stage = Self::new().await;
        let port = stage.listener.local_addr().unwrap().port();
        let mut block = Service::clone(&of_name("block.example.com", port));
        block.load_balancing.mode = LoadBalancingMode::Passthrough;
        block.vips = vec![(address("127.0.0.0"), 8)];
        let block = Arc::new(block);
        stage.scene.apply(Change::PutService(Arc::clone(&block)));
        stage.scene.apply(Change::PutRoutes(Arc::new(ServiceRoutes {
            service: block.name.clone(),
            ports: std::collections::BTreeMap::new(),
        })));
        stage.service = block;
        stage
    }

    async fn way_to(&self, last: u8) -> Result<crate::tcp::Way, Refusal> {
        let call = Call {
            destination: ([127, 0, 0, last], 80).into(),
            ..self.call()
        };
        soon(crate::tcp::way(&self.scene.proxy, &call, None)).await
    }
}

fn address(text: &str) -> NetworkAddress {
    NetworkAddress {
        network: "".into(),
        address: text.parse().unwrap(),
    }
}

#[tokio::test]
async fn a_service_of_addresses_is_gone_to_at_the_one_that_was_asked_for() {
    let stage = Stage::of_addresses().await;
    stage.way_to(1).await.unwrap();
    soon(stage.listener.accept()).await.unwrap();
}

/// The address of a service of the cluster that nothing here leads to is told of because it is asked for.
#[tokio::test]
async fn a_service_of_the_cluster_is_not_reached_by_a_block_around_it() {
    let mut stage = Stage::of_addresses().await;
    let mut other = Service::clone(&of_name("other.bank.svc.cluster.local", 80));
    (other.vips, other.canonical) = (vec![(address("127.0.0.1"), 32)], true);
    stage.scene.apply(Change::PutService(Arc::new(other)));
    let refusal = stage.way_to(1).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::OutsideAddress);
}

#[tokio::test]
async fn a_connection_is_cut_when_the_address_becomes_that_of_the_mesh() {
    let mut stage = Stage::of_addresses().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (near, _) = listener.accept().await.unwrap();
    let (proxy, way) = (
        Arc::clone(&stage.scene.proxy),
        stage.way_to(1).await.unwrap(),
    );
    let call = stage.call();
    let carried = tokio::spawn(async move {
        let connection = tokio_util::either::Either::Right(Plain::new(near));
        crate::tcp::carry(&proxy, &call, connection, way).await;
    });
    let (mut server, _) = soon(stage.listener.accept()).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    soon(server.read_exact(&mut heard)).await.unwrap();
    let pod = endpoint("p", "other", "127.0.0.1", Health::Healthy);
    stage.scene.apply(pod);
    soon(carried).await.unwrap();
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(rest(&mut server).await, "");
    let labels = ["reason=\"outside_address\""];
    assert!(stage.scene.sum("ambit_refusals_total", &labels) >= 1.0);
}

#[tokio::test]
async fn where_nobody_knows_who_is_nobody_goes_and_what_was_known_holds() {
    let stage = Stage::of_addresses().await;
    let named = Stage::new().await;
    stage.way_to(1).await.unwrap();
    named.scene.resolver.say("a.example.com", &["127.0.0.1"]);
    named.scene.resolver.say("b.example.com", &["127.0.0.2"]);
    named.seen(&get("/", "a.example.com")).await;
    for scene in [&stage.scene, &named.scene] {
        scene
            .silent
            .store(true, std::sync::atomic::Ordering::Relaxed);
    }
    stage.way_to(1).await.unwrap();
    let refusal = stage.way_to(2).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::OutsideUnknown);
    named.seen(&get("/", "a.example.com")).await;
    let answer = named.refused(&get("/", "b.example.com")).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("outside_unknown"), "{answer}");
    // And once it is known, it is gone to.
    let there = || ["127.0.0.2".parse().unwrap()].into_iter();
    stage.scene.proxy.callers.heard(there());
    named.scene.proxy.callers.heard(there());
    let refused = stage.way_to(2).await.err().map(|refusal| refusal.reason);
    assert_ne!(refused, Some(Reason::OutsideUnknown));
    let known = async {
        let unknown = async || {
            let answer = named.refused(&get("/", "b.example.com")).await;
            answer.contains("outside_unknown")
        };
        while unknown().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(known).await;
}

#[tokio::test]
async fn the_names_that_clients_make_up_push_out_older_ones_and_no_more() {
    let stage = Stage::new().await;
    stage.scene.resolver.say("a.example.com", &["127.0.0.1"]);
    let slots = &stage.scene.proxy.hosts.slots;
    let host = |number: usize| format!("h{number}.example.com").into();
    let slot = |number| slots.get((stage.service.name.clone(), 80, host(number)));
    for number in 0..50 {
        assert!(slot(number).is_some());
    }
    // All that are kept are asked for at this moment.
    let asked: Vec<_> = (50..50 + MOST)
        .map(|number| slot(number).unwrap())
        .collect();
    assert_eq!(slots.len(), MOST);
    let Err(refusal) = stage.way(Some("a.example.com")).await else {
        panic!("one more than may be")
    };
    assert_eq!(refusal.reason, Reason::OutsideName, "{refusal:?}");
    assert_eq!(slots.len(), MOST);
    drop(asked);
    drop(stage.way(Some("a.example.com")).await.unwrap());
    assert_eq!(slots.len(), MOST);
}

#[tokio::test]
async fn a_host_that_nobody_wants_is_let_go_of_with_its_addresses() {
    let stage = Stage::new().await;
    stage.scene.resolver.say("a.example.com", &["127.0.0.1"]);
    let proxy = &stage.scene.proxy;
    let address = "127.0.0.1".parse().unwrap();
    let way = stage.way(Some("a.example.com")).await.unwrap();
    let long_ago = || clock::now().checked_sub(known::UNWANTED).unwrap();
    proxy.hosts.forget();
    assert_eq!(proxy.hosts.slots.len(), 1);
    proxy.hosts.slots.unwanted_since(long_ago());
    proxy.hosts.forget();
    assert_eq!(proxy.hosts.slots.len(), 0);
    assert!(proxy.callers.is_kept(address), "a connection goes there");
    drop(way);
    assert!(!proxy.callers.is_kept(address));
}

/// Never answers.
#[derive(Debug)]
struct Silent(
    std::sync::atomic::AtomicUsize,
    std::sync::Condvar,
    std::sync::Mutex<bool>,
);

impl Resolver for Silent {
    fn resolve(&self, _name: &str) -> std::io::Result<Vec<IpAddr>> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let over = self.2.lock().unwrap();
        drop(self.1.wait_while(over, |over| !*over).unwrap());
        Err(std::io::Error::from(std::io::ErrorKind::TimedOut))
    }
}

#[tokio::test]
async fn a_client_whose_names_are_never_answered_holds_its_own_share_only() {
    let stage = Stage::new().await;
    let silent = Arc::new(Silent(
        Default::default(),
        Default::default(),
        Default::default(),
    ));
    let own = "10.1.0.5".parse().unwrap();
    let hosts = Arc::new(Hosts::new(Arc::clone(&silent) as _, own));
    let mut waiting = Vec::new();
    for number in 0..OF_ONE {
        let (hosts, proxy) = (Arc::clone(&hosts), Arc::clone(&stage.scene.proxy));
        let (call, service) = (stage.call(), Arc::clone(&stage.service));
        let host: Arc<str> = format!("h{number}.example.com").into();
        waiting.push(tokio::spawn(async move {
            drop(hosts.find(&proxy, &call, &service, 80, &host).await);
        }));
    }
    soon(async {
        while silent.0.load(std::sync::atomic::Ordering::SeqCst) < OF_ONE {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    let (call, host) = (stage.call(), "more.example.com".into());
    let found = hosts.find(&stage.scene.proxy, &call, &stage.service, 80, &host);
    assert_eq!(soon(found).await.unwrap_err().reason, Reason::OutsideName);
    // Others are not kept waiting by it, not even for the same host: there is room for them.
    let find = |client: &str| {
        let (hosts, proxy) = (Arc::clone(&hosts), Arc::clone(&stage.scene.proxy));
        let (mut call, service) = (stage.call(), Arc::clone(&stage.service));
        call.client.address = client.parse().unwrap();
        tokio::spawn(async move {
            let host = "more.example.com".into();
            drop(hosts.find(&proxy, &call, &service, 80, &host).await);
        })
    };
    waiting.push(find(CLIENT));
    tokio::time::sleep(Duration::from_millis(20)).await;
    waiting.push(find("10.244.9.8:4000"));
    let asked = async {
        while silent.0.load(std::sync::atomic::Ordering::SeqCst) <= OF_ONE {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let asked = tokio::time::timeout(PATIENCE / 2, asked).await;
    asked.expect("asked for another client");
    assert!(hosts.clients.take("10.244.9.9".parse().unwrap()).is_some());
    assert!(hosts.asker.room() >= AT_ONCE - OF_ONE - 1);
    *silent.2.lock().unwrap() = true;
    silent.1.notify_all();
    for one in waiting {
        soon(one).await.unwrap();
    }
}
