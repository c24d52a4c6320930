#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ambit_fuzz_bodies::mesh_config(bytes));
