use super::*;

/// A table with generations 1 to `count`, and what each was sent.
fn table(
    count: u64,
) -> (
    Generations,
    Vec<mpsc::Receiver<Parcel>>,
    Vec<CancellationToken>,
) {
    let mut generations = Generations::default();
    let mut sent = Vec::new();
    let mut kills = Vec::new();
    for _ in 0..count {
        let (outbox, parcels) = mpsc::channel(2);
        let kill = CancellationToken::new();
        let number = generations.next_number();
        if generations.add(number, 1000, outbox, kill.clone()) {
            generations.gets_pages(number);
        }
        sent.push(parcels);
        kills.push(kill);
    }
    (generations, sent, kills)
}

fn uid() -> PodUid {
    PodUid::parse("u-1").unwrap()
}

#[test]
fn the_first_generation_gets_the_pages_at_once_and_serves_when_ready() {
    let (mut generations, _sent, _) = table(1);
    assert!(!generations.serves(1));
    assert_eq!(generations.ready(1), Succession::default());
    assert!(generations.serves(1));
    assert_eq!(
        generations.ready(1),
        Succession::default(),
        "a second `ready` changes nothing"
    );
    assert_eq!(generations.ready(99), Succession::default());
}

#[test]
fn a_newer_generation_takes_over_when_it_is_ready_not_before() {
    let (mut generations, _sent, _) = table(2);
    generations.ready(1);
    assert_eq!(generations.serving(), Some(1));
    let succession = generations.ready(2);
    assert_eq!(succession.ancestor, Some(1));
    assert_eq!(succession.drain, [1]);
    assert!(succession.lacks_pages);
    assert_eq!(generations.serving(), Some(2));
    let ended = generations.ended(1);
    assert_eq!(
        ended,
        Ended {
            expected: true,
            pages_to: None
        }
    );
}

#[test]
fn an_overtaken_generation_that_never_served_is_drained_too() {
    let (mut generations, _sent, _) = table(3);
    generations.ready(1);
    let succession = generations.ready(3);
    assert_eq!(succession.ancestor, Some(1));
    assert_eq!(succession.drain, [1, 2]);
    assert_eq!(
        generations.ready(2),
        Succession::default(),
        "it must not take over any more"
    );
}

#[test]
fn the_death_of_the_last_one_leaves_nobody_that_accepts() {
    let (mut generations, _sent, _) = table(1);
    generations.ready(1);
    let ended = generations.ended(1);
    assert_eq!(
        ended,
        Ended {
            expected: false,
            pages_to: None
        }
    );
    assert!(!generations.has_accepting());
}

#[test]
fn draining_generations_do_not_gather_without_end() {
    let (mut generations, _sent, kills) = table(6);
    for number in 1..=6 {
        generations.ready(number);
    }
    let killed: Vec<_> = kills.iter().map(CancellationToken::is_cancelled).collect();
    assert_eq!(killed, [true, true, false, false, false, false]);
    assert!(generations.serves(6));
}

#[test]
fn the_death_of_the_serving_one_hands_the_pages_to_the_starting_one() {
    let (mut generations, _sent, _) = table(2);
    generations.ready(1);
    let ended = generations.ended(1);
    assert_eq!(
        ended,
        Ended {
            expected: false,
            pages_to: Some(2)
        }
    );
    let succession = generations.ready(2);
    assert_eq!(
        succession,
        Succession {
            ancestor: None,
            drain: Vec::new(),
            lacks_pages: false
        }
    );
}

#[test]
fn a_pod_is_held_until_every_generation_that_had_it_let_go_or_ended() {
    let (mut generations, _sent, _) = table(2);
    generations.attached(1, uid());
    generations.attached(2, uid());
    generations.ready(2);
    generations.detached(2, &uid());
    assert!(!generations.is_attached(&uid()));
    assert!(generations.is_held(&uid()));
    generations.ended(1);
    assert!(!generations.is_held(&uid()));
}

#[test]
fn a_generation_that_does_not_read_is_killed() {
    let (generations, mut sent, kills) = table(1);
    for _ in 0..2 {
        generations.send_all(|| Parcel::plain(Kind::Release("u".to_owned())));
    }
    assert!(!kills[0].is_cancelled());
    generations.send_all(|| Parcel::plain(Kind::Release("u".to_owned())));
    assert!(kills[0].is_cancelled());
    assert!(sent[0].try_recv().is_ok());
}
