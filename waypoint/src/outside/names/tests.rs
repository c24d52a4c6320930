//! Names against a scripted resolver, in paused time.

use tokio::time::Instant;

use super::*;
use crate::scene::{Scene, Scripted};

struct Stage {
    resolver: Arc<Scripted>,
    proxy: Arc<Proxy>,
    names: Names,
    answers: mpsc::Receiver<Answer>,
    silent: Arc<AtomicBool>,
}

fn stage() -> Stage {
    let resolver = Arc::<Scripted>::default();
    let asker = Asker::new(
        Arc::clone(&resolver) as Arc<dyn Resolver>,
        "10.1.0.5".parse().unwrap(),
        AT_ONCE,
    );
    let (tell, answers) = mpsc::channel(4);
    let scene = Scene::new([]);
    Stage {
        resolver,
        silent: Arc::clone(&scene.silent),
        proxy: Arc::clone(&scene.proxy),
        names: Names::new(asker, tell),
        answers,
    }
}

/// These names are wanted, each for a namespace.
fn want(stage: &mut Stage, names: &[(&str, &Arc<str>, &Arc<Use>)]) {
    let spaces: Vec<Arc<str>> = names.iter().map(|(space, ..)| Arc::from(*space)).collect();
    let wanted = names
        .iter()
        .zip(&spaces)
        .map(|((_, name, used), space)| Wanted {
            name,
            used,
            namespaces: [space].into(),
        });
    stage.names.want(&stage.proxy, wanted);
}

fn texts(answer: &Answer) -> Vec<String> {
    answer.addresses.iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_new_is_told_and_what_was_known_stays_while_the_resolver_fails() {
    let mut stage = stage();
    stage.resolver.say(
        "a.example",
        &["2001:db8::1", "93.184.216.2", "93.184.216.1"],
    );
    let (name, used) = (Arc::from("a.example"), Arc::new(Use::default()));
    want(&mut stage, &[("shop", &name, &used)]);
    let first = stage.answers.recv().await.unwrap();
    // Those of our own family, in order.
    assert_eq!(texts(&first), ["93.184.216.1", "93.184.216.2"]);
    stage.resolver.say("a.example", &[]);
    used.mark();
    let silent = tokio::time::timeout(Duration::from_secs(30), stage.answers.recv());
    assert!(silent.await.is_err());
    assert!(stage.proxy.lookups.all()[1].1 > 1, "it was asked again");
    stage.resolver.say("a.example", &["93.184.216.9"]);
    let then = stage.answers.recv().await.unwrap();
    assert_eq!(texts(&then), ["93.184.216.9"]);
}

/// While the control plane is away, and of those only of which it has said nothing.
#[tokio::test(start_paused = true)]
async fn an_address_is_told_once_it_is_known_who_is_there() {
    let mut stage = stage();
    stage.resolver.say("a.example", &["93.184.216.1"]);
    let (name, used) = (Arc::from("a.example"), Arc::new(Use::default()));
    want(&mut stage, &[("shop", &name, &used)]);
    stage.answers.recv().await.unwrap();
    stage.silent.store(true, Ordering::Relaxed);
    stage.resolver.say("a.example", &["93.184.216.2"]);
    used.mark();
    let silent = tokio::time::timeout(Duration::from_secs(60), stage.answers.recv());
    assert!(silent.await.is_err(), "the address before it stays");
    assert!(stage.proxy.lookups.all()[2].1 > 1, "it was asked again");
    stage.resolver.say(
        "a.example",
        &["93.184.216.1", "93.184.216.2", "93.184.216.3"],
    );
    let three = ["93.184.216.3".parse().unwrap()];
    let asked = Duration::from_secs(30);
    assert!(
        tokio::time::timeout(asked, stage.answers.recv())
            .await
            .is_err()
    );
    stage.proxy.callers.heard(three.into_iter());
    let known = stage.answers.recv().await.unwrap();
    assert_eq!(texts(&known), ["93.184.216.1", "93.184.216.3"]);
    stage.silent.store(false, Ordering::Relaxed);
    let rest = tokio::time::timeout(Duration::from_secs(600), stage.answers.recv());
    assert_eq!(texts(&rest.await.unwrap().unwrap()).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_asked_for_often_while_it_is_used_and_not_at_all_when_nobody_wants_it() {
    let mut stage = stage();
    stage.resolver.say("a.example", &["93.184.216.1"]);
    let (name, used) = (Arc::from("a.example"), Arc::new(Use::default()));
    want(&mut stage, &[("shop", &name, &used)]);
    stage.answers.recv().await.unwrap();
    let before = stage.resolver.asked();
    tokio::time::sleep(Duration::from_secs(120)).await;
    let seldom = stage.resolver.asked() - before;
    assert!((1..=3).contains(&seldom), "{seldom}");
    // The first use has it asked at once, however long ago it was asked.
    let began = Instant::now();
    stage.resolver.say("a.example", &["93.184.216.2"]);
    used.mark();
    let then = stage.answers.recv().await.unwrap();
    assert_eq!(texts(&then), ["93.184.216.2"]);
    assert!(began.elapsed() <= REFRESH.0, "{:?}", began.elapsed());
    let before = stage.resolver.asked();
    for _ in 0..60 {
        used.mark();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let often = stage.resolver.asked() - before;
    assert!((10..=16).contains(&often), "{often}");
    want(&mut stage, &[]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = stage.resolver.asked();
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(stage.resolver.asked(), before);
}

#[tokio::test(start_paused = true)]
async fn names_and_addresses_beyond_what_there_may_be_are_left_out() {
    let mut stage = stage();
    let used = Arc::new(Use::default());
    // Of one namespace, which are not all that there may be.
    let name = |namespace: &str, n: usize| Arc::<str>::from(format!("{n}.{namespace}.example"));
    let of = |namespace: &'static str, most: usize| (0..most).map(move |n| (namespace, n));
    let names: Vec<_> = of("aaa", MOST + 5).chain(of("shop", 3)).collect();
    let names: Vec<_> = names
        .into_iter()
        .map(|(space, n)| (space, name(space, n)))
        .collect();
    let all: Vec<_> = names
        .iter()
        .map(|(space, name)| (*space, name, &used))
        .collect();
    want(&mut stage, &all);
    assert_eq!(stage.names.running.len(), MOST_OF_ONE + 3);
    let spaces = ["a", "b", "c", "d", "e"];
    let names = spaces.map(|space| (0..MOST_OF_ONE).map(|n| name(space, n)).collect::<Vec<_>>());
    let all = spaces.iter().zip(&names);
    let all: Vec<_> = all
        .flat_map(|(space, names)| names.iter().map(|name| (*space, name, &used)))
        .collect();
    want(&mut stage, &all);
    assert_eq!(stage.names.running.len(), MOST);
    let many: Vec<String> = (0..100).map(|n| format!("93.184.216.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    stage.resolver.say("many.example", &many);
    let found = stage.names.asker.ask(&"many.example".into()).await.unwrap();
    assert_eq!(found.len(), MOST_ADDRESSES);
}

/// Names of `evil` are answered late.
#[derive(Debug)]
struct Slow;

impl Resolver for Slow {
    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if name.contains("evil") {
            std::thread::sleep(Duration::from_secs(1));
        }
        Ok(vec!["93.184.216.9".parse().unwrap()])
    }
}

#[tokio::test]
async fn names_that_are_answered_late_take_no_places_of_those_of_other_namespaces() {
    let mut stage = stage();
    let (tell, mut answers) = mpsc::channel(4);
    let asker = Asker::new(Arc::new(Slow), "10.1.0.5".parse().unwrap(), AT_ONCE);
    stage.names = Names::new(asker, tell);
    let used = Arc::new(Use::default());
    let evil: Vec<Arc<str>> = (0..100)
        .map(|n| format!("{n}.evil.example").into())
        .collect();
    let other = Arc::from("shop.example");
    let mut all: Vec<_> = evil.iter().map(|name| ("evil", name, &used)).collect();
    all.push(("shop", &other, &used));
    want(&mut stage, &all);
    let first = answers.recv().await.unwrap();
    assert_eq!(&*first.name, "shop.example", "before all that are late");
}
