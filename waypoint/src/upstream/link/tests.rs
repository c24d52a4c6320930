use super::*;

#[test]
fn all_streams_of_a_tunnel_fit_into_its_window() {
    for width in [Width::Wide, Width::Narrow] {
        let settings = settings(width);
        let all = settings.streams_per_connection as u64 * u64::from(settings.stream_window);
        assert!(u64::from(settings.connection_window) >= all);
    }
}
