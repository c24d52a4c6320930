use std::sync::Arc;
use std::task::Wake;

use super::*;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn settings() -> Settings {
    Settings {
        stream_window: 16 << 20,
        connection_window: 16 << 20,
        ..Settings::default()
    }
}

#[test]
fn stuck_streams_beyond_the_first_add_their_window() {
    static BUDGET: Budget = Budget::new(100 << 20);
    let (blocked, woken) = (Blocked::default(), Arc::new(Woken::default()));
    let mut window = Window::within(&settings(), &BUDGET);
    let driver = Waker::from(woken.clone());
    assert_eq!(window.grown(&blocked, &driver), None);
    blocked.enter();
    blocked.enter();
    assert_eq!(woken.0.load(Ordering::SeqCst), 0);
    assert_eq!(window.grown(&blocked, &driver), None);
    blocked.enter();
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert_eq!(window.grown(&blocked, &driver), Some(32 << 20));
    assert_eq!(window.grown(&blocked, &driver), None);
    assert_eq!(window.shrunk(&blocked), None);
    blocked.leave();
    assert_eq!(window.shrunk(&blocked), Some(16 << 20));
}

#[test]
fn a_window_for_all_streams_is_never_added_to() {
    static BUDGET: Budget = Budget::new(100 << 20);
    let settings = Settings {
        stream_window: 1 << 18,
        connection_window: 100 << 18,
        ..Settings::default()
    };
    let (blocked, woken) = (Blocked::default(), Arc::new(Woken::default()));
    let driver = Waker::from(woken.clone());
    let mut window = Window::within(&settings, &BUDGET);
    assert_eq!(window.grown(&blocked, &driver), None);
    for _ in 0..98 {
        blocked.enter();
    }
    assert_eq!(window.grown(&blocked, &driver), None);
    assert_eq!(woken.0.load(Ordering::SeqCst), 0);
}

#[test]
fn the_budget_bounds_all_connections_together_and_comes_back() {
    static BUDGET: Budget = Budget::new(100 << 20);
    let blocked = Blocked::default();
    for _ in 0..100 {
        blocked.enter();
    }
    let mut windows: Vec<Window> = (0..5)
        .map(|_| Window::within(&settings(), &BUDGET))
        .collect();
    for window in &mut windows {
        window.grown(&blocked, Waker::noop());
    }
    let added: usize = windows.iter().map(|window| window.added).sum();
    assert_eq!(added, 6);
    drop(windows);
    let mut window = Window::within(&settings(), &BUDGET);
    assert_eq!(window.grown(&blocked, Waker::noop()), Some(112 << 20));
}
