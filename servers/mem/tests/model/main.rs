//! Random requests against a reference model of a small memory: 2^12 frames, sections of 16, their
//! descriptors in disorder.
//!
//! `MEM_REQUESTS` and `MEM_SEED` say how many and which.

mod drive;
mod reference;

use drive::Driver;

/// Requests of a run.
const REQUESTS: u64 = 1_000_000;

fn from_environment(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

#[test]
fn random_requests_do_what_the_reference_says() {
    let requests = from_environment("MEM_REQUESTS", REQUESTS);
    let mut driver = Driver::new(from_environment("MEM_SEED", 1));
    for _ in 0..requests {
        driver.step();
    }
    driver.check_all();
    println!("{requests} requests: {}", driver.counts());
    driver.check_coverage();
}
