//! Who is told when.

use super::*;

struct Run {
    readers: Readers,
    now: Instant,
}

impl Run {
    fn with_proxies(proxies: &[u64]) -> Self {
        let mut readers = Readers::new(Backlog::default());
        for proxy in proxies {
            readers.join(*proxy, &Model::default());
        }
        Self {
            readers,
            now: Instant::now(),
        }
    }

    fn change(&mut self) -> (u64, oneshot::Receiver<()>) {
        let through = self.readers.mark(vec![Mark::Status]);
        let (tell, told) = oneshot::channel();
        self.readers.when_in_force(self.now, through, tell);
        (through, told)
    }
}

#[test]
fn without_a_proxy_a_change_is_in_force_at_once() {
    let mut run = Run::with_proxies(&[]);
    assert!(run.change().1.try_recv().is_ok());
}

#[test]
fn a_change_is_in_force_when_the_last_proxy_has_applied_it_or_is_gone() {
    let mut run = Run::with_proxies(&[1, 2, 3]);
    let (through, mut told) = run.change();
    run.readers.applied(1, through);
    run.readers.applied(2, through);
    assert!(told.try_recv().is_err());
    run.readers.closed(3);
    assert!(told.try_recv().is_ok());
}

#[test]
fn a_slow_proxy_is_waited_for_once_until_it_has_caught_up() {
    let mut run = Run::with_proxies(&[1, 2]);
    let (first, mut told) = run.change();
    run.readers.applied(1, first);
    run.now = run.readers.due().unwrap();
    run.readers.pass_time(run.now);
    assert!(told.try_recv().is_ok(), "the patience is over");
    let (second, mut told) = run.change();
    run.readers.applied(1, second);
    assert!(told.try_recv().is_ok(), "not waited for again");
    run.readers.applied(2, second);
    let (third, mut told) = run.change();
    run.readers.applied(1, third);
    assert!(told.try_recv().is_err(), "it has caught up");
    run.readers.applied(2, third);
    assert!(told.try_recv().is_ok());
}

#[test]
fn trust_is_everywhere_only_when_every_proxy_holds_it() {
    let mut run = Run::with_proxies(&[1]);
    let (through, mut told) = run.change();
    let (tell, mut everywhere) = oneshot::channel();
    run.readers.when_everywhere(through, tell);
    run.now = run.readers.due().unwrap();
    run.readers.pass_time(run.now);
    assert!(told.try_recv().is_ok());
    assert!(everywhere.try_recv().is_err(), "a slow proxy still counts");
    run.readers.applied(1, through);
    assert!(everywhere.try_recv().is_ok());
}
