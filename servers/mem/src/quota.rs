//! How many requests a client may make: so many in a period, and the next ones in the next.
//!
//! The server runs on its own time, so nobody else would hold a client back that asks and asks. Who
//! is over its quota waits for the answer until its next period, and with it its thread: what it
//! costs the others is bounded by the quota, whatever it does.

use alloc::vec::Vec;

/// A client's requests in the period that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    client: u64,
    /// When the period began.
    since: u64,
    used: u64,
}

/// The requests of all clients, each counted for itself.
#[derive(Clone, Debug)]
pub struct Quota {
    counts: Vec<Count>,
    /// Requests of a client in a period.
    requests: u64,
    /// Ticks of a period.
    period: u64,
}

impl Quota {
    /// Makes a quota of so many requests, at least one, in a period of so many ticks, at least one.
    #[must_use]
    pub fn new(requests: u64, period: u64) -> Self {
        Self {
            counts: Vec::new(),
            requests: requests.max(1),
            period: period.max(1),
        }
    }

    /// Counts a request of a client that came at `now`.
    ///
    /// # Errors
    ///
    /// When it may be served, where that is later.
    pub fn take(&mut self, client: u64, now: u64) -> Result<(), u64> {
        let (requests, period) = (self.requests, self.period);
        let is_it = |count: &&mut Count| count.client == client;
        let count = match self.counts.iter_mut().find(is_it) {
            Some(count) => count,
            None => {
                self.counts.push(Count {
                    client,
                    since: now,
                    used: 0,
                });
                match self.counts.last_mut() {
                    Some(count) => count,
                    None => return Ok(()),
                }
            }
        };
        // A period may have begun in the future, by requests that wait already.
        let passed = now.saturating_sub(count.since) / period;
        if passed > 0 {
            count.since += passed * period;
            count.used = 0;
        }
        if count.used >= requests {
            count.since += period;
            count.used = 0;
        }
        count.used += 1;
        if count.since > now {
            Err(count.since)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn who_asks_too_often_waits_for_the_next_period() {
        let mut quota = Quota::new(2, 100);
        assert_eq!(quota.take(7, 1000), Ok(()));
        assert_eq!(quota.take(7, 1001), Ok(()));
        assert_eq!(quota.take(7, 1002), Err(1100));
        assert_eq!(quota.take(7, 1002), Err(1100));
        assert_eq!(quota.take(7, 1002), Err(1200), "these wait already");
        assert_eq!(quota.take(8, 1003), Ok(()), "another client does not");
        assert_eq!(quota.take(7, 1350), Ok(()));
    }

    proptest! {
        #[test]
        fn no_period_has_more_than_the_quota(
            steps in prop::collection::vec((0_u64..3, 0_u64..40), 1..300),
        ) {
            let mut quota = Quota::new(4, 100);
            let mut served: Vec<(u64, u64)> = Vec::new();
            let mut now = 0;
            for (client, step) in steps {
                now += step;
                let at = quota.take(client, now).map_or_else(|later| later, |()| now);
                prop_assert!(at >= now);
                served.push((client, at));
            }
            for &(client, at) in &served {
                let of_client = served.iter().filter(|(other, when)| {
                    *other == client && (at..at + 100).contains(when)
                });
                // A window of a period's length has parts of two.
                prop_assert!(of_client.count() <= 8);
            }
        }

        #[test]
        fn who_keeps_to_the_quota_never_waits(gaps in prop::collection::vec(25_u64..60, 1..100)) {
            let mut quota = Quota::new(4, 100);
            let mut now = 5;
            for gap in gaps {
                prop_assert_eq!(quota.take(1, now), Ok(()));
                now += gap;
            }
        }
    }
}
