use super::*;
use crate::metrics::Registry;

#[test]
fn what_this_process_uses_is_told() {
    let registry = Registry::new();
    registry.register_collector(Box::new(ProcessMetrics));
    let (_, text) = registry.render(None);
    for name in [
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
        "process_open_fds ",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(name)),
            "{name} in {text}"
        );
    }
    assert!(resident_bytes().unwrap() > 100_000);
    assert!(open_descriptors().unwrap() >= 3);
}
