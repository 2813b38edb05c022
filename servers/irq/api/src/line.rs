//! What a device tells of its interrupt line, so that every change arrives once and in order.
//!
//! A report that was not answered is made again with its number; only then comes the next. Changes
//! between two reports that cancel each other are not reported: the line is a level.

use crate::{Request, Source};

/// One report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineReport {
    /// The level.
    pub level: bool,
    /// Its number, from 1.
    pub sequence: u64,
}

impl LineReport {
    /// Returns the request that makes it.
    #[must_use]
    pub const fn request(self, source: Source) -> Request {
        Request::Raise {
            source,
            level: self.level,
            sequence: self.sequence,
        }
    }
}

/// The reports of one line, which is low at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineReports {
    /// The level that the interrupt server knows.
    known: bool,
    /// The level that was reported and not answered yet.
    unanswered: Option<bool>,
    /// Reports so far.
    count: u64,
}

impl LineReports {
    /// Returns reports of a line that nothing was told of.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            known: false,
            unanswered: None,
            count: 0,
        }
    }

    /// Returns the report to make when the line has this level now, or `None` where the interrupt
    /// server knows it.
    pub fn next(&mut self, level: bool) -> Option<LineReport> {
        if self.unanswered.is_none() && level != self.known {
            self.unanswered = Some(level);
            self.count += 1;
        }
        let sequence = self.count;
        self.unanswered.map(|level| LineReport { level, sequence })
    }

    /// The report was answered.
    pub fn answered(&mut self) {
        if let Some(level) = self.unanswered.take() {
            self.known = level;
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use api::{Deliveries, Last};
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn lost_answers_neither_lose_nor_double_a_change(
            events in proptest::collection::vec((any::<bool>(), 0..3_u8), 1..100),
        ) {
            let mut reports = LineReports::new();
            let mut deliveries = Deliveries::new([Last::<()>::default()]);
            let mut seen: Vec<bool> = Vec::new();
            let mut levels: Vec<bool> = Vec::new();
            for (level, luck) in events {
                levels.push(level);
                while let Some(report) = reports.next(level) {
                    // 0: the request is lost; 1: its answer is; 2: all is well.
                    if luck > 0 {
                        deliveries.serve((0, report.sequence), (), || seen.push(report.level));
                    }
                    if luck < 2 {
                        break;
                    }
                    reports.answered();
                }
                if luck == 2 {
                    prop_assert_eq!(seen.last().copied().unwrap_or(false), level);
                }
            }
            let alternate = seen.iter().enumerate().all(|(index, level)| *level == (index % 2 == 0));
            prop_assert!(alternate, "each change once: {:?} of {:?}", seen, levels);
        }
    }
}
