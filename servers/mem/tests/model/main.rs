//! Random requests against a reference model of a small memory: 2^12 frames, sections of 16, their
//! descriptors in disorder. What fails is made shorter, request by request.
//!
//! `MEM_CASES` says how many rows of requests there are.

mod drive;
mod reference;

use drive::{Counts, Driver};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::RefCell;

/// Rows of requests.
const CASES: u32 = 80;
/// Requests of a row are fewer.
const REQUESTS: usize = 40_000;
/// Requests of a run, at least.
const LEAST: u64 = 1_000_000;

#[test]
fn random_requests_do_what_the_reference_says() {
    let cases = std::env::var("MEM_CASES").ok();
    let cases = cases.and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::with_cases(cases)
    });
    let counts = RefCell::new(Counts::default());
    let requests = prop::collection::vec(any::<u64>().no_shrink(), 1..REQUESTS);
    let result = runner.run(&requests, |requests| {
        let mut driver = Driver::new();
        for request in requests {
            driver.step(request);
        }
        driver.check_all();
        counts.borrow_mut().join(driver.counts());
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let counts = counts.into_inner();
    println!("{counts}");
    assert!(cases < CASES || counts.requests() >= LEAST);
    counts.check_coverage();
}
