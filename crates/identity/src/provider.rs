//! The one cryptographic provider of the mesh: aws-lc-rs, with our order of suites and groups.

use std::sync::{Arc, LazyLock};

use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};

/// The provider that every TLS configuration here is built on.
///
/// AES-128-GCM comes first because it is the fastest; X25519MLKEM768 because it also stands
/// against an attacker who records today and has a quantum computer later. The classical groups
/// stay for peers that cannot do better.
pub fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let groups: Vec<&'static dyn SupportedKxGroup> = vec![
            kx_group::X25519MLKEM768,
            kx_group::X25519,
            kx_group::SECP256R1,
        ];
        Arc::new(CryptoProvider {
            cipher_suites: vec![
                cipher_suite::TLS13_AES_128_GCM_SHA256,
                cipher_suite::TLS13_AES_256_GCM_SHA384,
            ],
            kx_groups: groups,
            ..default_provider()
        })
    });
    &PROVIDER
}

/// Makes the first random number of the process, which takes a tenth of a second: aws-lc gathers
/// entropy for it. Done before anybody is served, it is not in the first handshake.
pub fn warm_up() {
    // Whoever needs randomness later is told if there is none.
    provider().secure_random.fill(&mut [0]).ok();
}
