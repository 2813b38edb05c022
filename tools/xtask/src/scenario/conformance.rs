//! What the conformance suite prints: one line per case, then the sum.
//!
//! ```text
//! case NAME ... ok
//! case NAME ... FAILED reason
//! case NAME ... skipped reason
//! conformance: N passed, N failed, N skipped
//! ```
//!
//! Its races are too many for lines of their own and only have the sum.

use crate::tally::Tally;

/// What a run of the suite came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The sum that the suite printed, if it came to the end.
    pub sum: Option<Tally>,
    /// Lines that began a case.
    pub begun: u64,
    /// Names and reasons of failed cases.
    pub failures: Vec<String>,
    /// The case that was begun last.
    pub last: Option<String>,
}

impl Report {
    /// Reads the lines of a run.
    pub fn read(lines: &[String]) -> Self {
        let mut report = Self::default();
        for line in lines {
            report.take(line);
        }
        report
    }

    /// Takes one line.
    fn take(&mut self, line: &str) {
        if let Some(sum) = line.strip_prefix("conformance: ").and_then(Tally::parse) {
            self.sum = Some(sum);
        }
        let Some((name, outcome)) = line
            .strip_prefix("case ")
            .and_then(|rest| rest.split_once(" ... "))
        else {
            return;
        };
        self.begun += 1;
        self.last = Some(name.to_owned());
        if let Some(reason) = outcome.strip_prefix("FAILED") {
            self.failures.push(format!("{name}:{reason}"));
        }
    }

    /// Returns the counts, and what is wrong with the run as a whole.
    pub fn tally(&self) -> (Tally, Option<String>) {
        let Some(sum) = self.sum else {
            let failed = self.failures.len() as u64;
            let passed = self.begun.saturating_sub(failed + 1);
            let last = self.last.as_deref().unwrap_or("the first case");
            let missing = format!("the suite did not come to its end; it stopped at: {last}");
            return (
                Tally {
                    passed,
                    failed,
                    skipped: 0,
                },
                Some(missing),
            );
        };
        let total = sum.passed + sum.failed + sum.skipped;
        let wrong = if total == 0 {
            Some("the suite ran no case".to_owned())
        } else if self.begun > 0 && total != self.begun {
            Some(format!(
                "the suite counts {total} cases, its lines are {}",
                self.begun
            ))
        } else {
            None
        };
        (sum, wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the report of these lines.
    fn report(lines: &[&str]) -> Report {
        Report::read(
            &lines
                .iter()
                .map(|line| (*line).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn a_finished_suite_counts_its_cases() {
        let report = report(&[
            "OpenSBI v1.5.1",
            "case Call: answers ... ok",
            "case Map NoCapability: empty slot ... FAILED suite.rs:3: state [0x1, 0x2]",
            "case Split: halves ... skipped one hart",
            "conformance: 1 passed, 1 failed, 1 skipped",
        ]);
        assert_eq!(
            report.tally(),
            (
                Tally {
                    passed: 1,
                    failed: 1,
                    skipped: 1
                },
                None
            )
        );
        let failure = "Map NoCapability: empty slot: suite.rs:3: state [0x1, 0x2]";
        assert_eq!(report.failures, [failure]);
    }

    #[test]
    fn a_suite_that_stops_half_way_is_wrong() {
        let report = report(&["case a ... ok", "case b ... "]);
        let (tally, wrong) = report.tally();
        assert_eq!(tally.passed, 1);
        assert!(wrong.expect("is wrong").ends_with("stopped at: b"));
    }

    #[test]
    fn races_have_only_a_sum() {
        let report = report(&[
            "races: 10000 of 10000",
            "conformance: 20 passed, 0 failed, 0 skipped",
        ]);
        assert_eq!(
            report.tally(),
            (
                Tally {
                    passed: 20,
                    failed: 0,
                    skipped: 0
                },
                None
            )
        );
    }

    #[test]
    fn a_sum_that_its_lines_do_not_make_is_wrong() {
        let sum = "conformance: 2 passed, 0 failed, 0 skipped";
        assert!(report(&["case a ... ok", sum]).tally().1.is_some());
        let none = report(&["conformance: 0 passed, 0 failed, 0 skipped"]);
        assert_eq!(none.tally().1.as_deref(), Some("the suite ran no case"));
    }
}
