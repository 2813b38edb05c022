//! Messages of clients to the memory server, and what guests touch between them.
#![no_main]

#[path = "../../../servers/mem/tests/world/mod.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|data: &[u8]| world::run(data));
