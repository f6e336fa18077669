#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chunkcast_fuzz_harness::config(data));
