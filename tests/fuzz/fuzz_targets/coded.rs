#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tests::fuzzed::run("coded", data));
