use super::*;

#[test]
fn the_words_of_mesh_config_are_understood_and_no_others() {
    for mode in [EgressMode::AllowAny, EgressMode::RegistryOnly] {
        assert_eq!(mode.to_string().parse(), Ok(mode));
    }
    let error = "allow_any".parse::<EgressMode>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "`allow_any` is not an egress mode: ALLOW_ANY or REGISTRY_ONLY expected"
    );
}
