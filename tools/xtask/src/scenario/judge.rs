//! Whether a run was what its scenario asks for.

use crate::emulator::ending::Ending;
use crate::emulator::session::Outcome;
use crate::tally::Tally;

use manifest::compiled::System;

use super::audit;
use super::conformance::Report;
use super::description::{Expected, Scenario};

/// Returns the counts of a run, and all that is wrong with it, to what its trace said is `wrong`. The
/// scenario itself is one case, to which those of the conformance suite are added.
pub fn judge(
    scenario: &Scenario,
    system: Option<&System>,
    outcome: &Outcome,
    mut wrong: Vec<String>,
) -> (Tally, Vec<String>) {
    if !ends_as_expected(scenario, &outcome.ending) {
        wrong.push(outcome.ending.to_string());
    }
    wrong.extend(missing_in_order(&scenario.expect, &outcome.lines));
    for text in &scenario.expect_any_order {
        if !outcome.lines.iter().any(|line| line.contains(text)) {
            wrong.push(format!("no line has `{text}`"));
        }
    }
    for text in &scenario.forbid {
        if let Some(line) = outcome.lines.iter().find(|line| line.contains(text)) {
            wrong.push(format!("forbidden: {line}"));
        }
    }
    let texts = &scenario.overrides.texts;
    let has_audit = texts.iter().any(|(name, _)| name == audit::ENTRY);
    if let Some(system) = system.filter(|_| has_audit) {
        wrong.extend(audit::compare(system, &outcome.lines));
    }
    let mut cases = Tally::default();
    if scenario.conformance {
        let report = Report::read(&outcome.lines);
        let (counted, reason) = report.tally();
        cases = counted;
        wrong.extend(reason);
        wrong.extend(report.failures);
    }
    let own = u64::from(wrong.is_empty());
    (
        cases
            + Tally {
                passed: own,
                failed: 1 - own,
                skipped: 0,
            },
        wrong,
    )
}

/// Tells whether the machine ended as the scenario says.
fn ends_as_expected(scenario: &Scenario, ending: &Ending) -> bool {
    match (scenario.ending, ending) {
        (Expected::Clean, Ending::Clean)
        | (Expected::Guest, Ending::Guest { .. })
        | (Expected::Panic, Ending::Panic(_))
        | (Expected::System, Ending::System(_)) => true,
        (
            _,
            Ending::Clean
            | Ending::Guest { .. }
            | Ending::Panic(_)
            | Ending::System(_)
            | Ending::Timeout { .. }
            | Ending::Emulator(_)
            | Ending::Unfinished(_)
            | Ending::Interrupted,
        ) => false,
    }
}

/// Returns what is wrong with the order of `texts` in `lines`.
fn missing_in_order(texts: &[String], lines: &[String]) -> Option<String> {
    let mut rest = lines.iter();
    let missing = texts
        .iter()
        .find(|text| !rest.any(|line| line.contains(*text)));
    missing.map(|text| format!("no line (or not in this place) has `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_texts_come_in_their_order() {
        let lines: Vec<_> = ["one", "two", "three"].map(str::to_owned).to_vec();
        let texts = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(missing_in_order(&texts(&["one", "three"]), &lines), None);
        assert!(missing_in_order(&texts(&["three", "one"]), &lines).is_some());
        assert!(missing_in_order(&texts(&["one", "one"]), &lines).is_some());
    }
}
