//! What the container runtime tells our plugin, and the network configuration of a node, which
//! others write.

use ambit_cni::conflist::{Removed, add_plugin, is_present, list_of, remove_plugin};
use ambit_cni::spec::{Config, Entry, Pod, addresses, in_version, version_of, versions};

/// Stdin and environment of the plugin: what it answers is in a version that it speaks.
pub fn plugin_input(bytes: &[u8]) {
    let version = version_of(bytes);
    drop(versions(bytes));
    if let Ok(config) = Config::parse(bytes) {
        assert_eq!(config.version, version);
        if let Ok(previous) = config.previous() {
            drop(addresses(previous));
            let told = in_version(previous, version);
            // Once it is in a version it stays as it is.
            if let Ok(told) = told {
                assert_eq!(in_version(&told, version).ok(), Some(told));
            }
        }
    }
    drop(Pod::parse(&String::from_utf8_lossy(bytes)));
}

/// The configuration of a node: what we put in is found, and taken out again.
pub fn network_list(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let entry = Entry::default();
    if let Ok(with) = add_plugin(text, &entry) {
        assert!(is_present(&with));
        assert_eq!(add_plugin(&with, &entry).ok(), Some(with.clone()));
        let without = match remove_plugin(&with) {
            Ok(Removed::List(without) | Removed::Single(without)) => without,
            Ok(Removed::Unchanged) | Err(_) => unreachable!("it is in there"),
        };
        assert!(!is_present(&without));
        assert!(is_present(text) || text == without);
    }
    if let Ok(list) = list_of(text, &entry) {
        assert!(is_present(&list));
        let single = Removed::Single(format!("{}\n", text.trim()));
        assert_eq!(remove_plugin(&list).ok(), Some(single));
    }
}
