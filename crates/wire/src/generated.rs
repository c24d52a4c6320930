//! Code generated from `proto/` at build time. Private: re-exported by plain names from the root.

include!(concat!(env!("OUT_DIR"), "/ambit.rs"));
