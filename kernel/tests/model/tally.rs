//! What was called, and what it answered.

use abi::{CallNumber, Error};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct Tally {
    /// Calls and successes, by kind.
    kinds: BTreeMap<CallNumber, (u64, u64)>,
    errors: BTreeMap<(CallNumber, Error), u64>,
}

impl Tally {
    pub fn calls(&self) -> u64 {
        self.kinds.values().map(|(calls, _)| calls).sum()
    }

    fn successes(&self) -> u64 {
        self.kinds.values().map(|(_, good)| good).sum()
    }

    pub fn called(&mut self, number: CallNumber) {
        self.kinds.entry(number).or_default().0 += 1;
    }

    /// Notes the answer of a call; an error has to be one that the call documents.
    pub fn answered(&mut self, number: CallNumber, status: Result<(), Error>) {
        match status {
            Ok(()) => self.kinds.entry(number).or_default().1 += 1,
            Err(error) => {
                let known = number.errors().contains(&error);
                assert!(
                    known,
                    "{number:?} answers {error:?}, which is not documented"
                );
                *self.errors.entry((number, error)).or_default() += 1;
            }
        }
    }

    pub fn print(&self) {
        let (calls, good) = (self.calls(), self.successes());
        println!("{calls} calls, {good} succeeded ({} %)", good * 100 / calls);
        for (number, (calls, good)) in &self.kinds {
            let errors: Vec<String> = self
                .errors
                .iter()
                .filter(|((of, _), _)| of == number)
                .map(|((_, error), count)| format!("{error:?} {count}"))
                .collect();
            println!(
                "  {number:?}: {calls}, {good} succeeded; {}",
                errors.join(", ")
            );
        }
    }

    /// Checks that nothing was left out.
    pub fn check(&self) {
        let calls = self.calls();
        assert!(self.successes() * 10 >= calls * 3, "at least 30 % succeed");
        for number in CallNumber::ALL {
            let of = self.kinds.get(number).map_or(0, |(calls, _)| *calls);
            assert!(of * 100 >= calls, "at least 1 % of {number:?}");
        }
        let all = CallNumber::ALL
            .iter()
            .flat_map(|number| number.errors().iter().map(|error| (*number, *error)));
        let missing: BTreeSet<_> = all.filter(|pair| !self.errors.contains_key(pair)).collect();
        assert!(missing.is_empty(), "never answered: {missing:?}");
    }
}
