//! One case, how it ends, and how many ended how. The lines are those of the kernel's suite.

use crate::client::Client;
use core::panic::Location;
use rt::abi::Error;
use rt::log;

/// One law of the server.
#[derive(Clone, Copy)]
pub struct Case {
    /// The law, in a few words.
    pub name: &'static str,
    /// The check.
    pub run: fn(&Client) -> Outcome,
}

/// Returns the case of a law.
pub const fn case(name: &'static str, run: fn(&Client) -> Outcome) -> Case {
    Case { name, run }
}

/// What a case comes to.
pub type Outcome<T = ()> = Result<T, Failure>;

/// What was different.
#[derive(Clone, Copy)]
pub struct Failure {
    /// What should have been.
    text: &'static str,
    /// Where in the suite.
    place: &'static Location<'static>,
    /// The two values that differ.
    values: Option<(u64, u64)>,
}

impl Failure {
    /// Returns the failure of a condition.
    #[track_caller]
    pub const fn of(text: &'static str) -> Self {
        Self {
            text,
            place: Location::caller(),
            values: None,
        }
    }

    /// Returns the failure of an equation.
    #[track_caller]
    pub const fn differ(text: &'static str, left: u64, right: u64) -> Self {
        Self {
            text,
            place: Location::caller(),
            values: Some((left, right)),
        }
    }
}

impl From<Error> for Failure {
    #[track_caller]
    fn from(error: Error) -> Self {
        Self::differ("the system call succeeds (error)", error.number(), 0)
    }
}

/// How many cases came to what.
#[derive(Default)]
pub struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    /// Counts a case, and ends its line.
    pub fn count(&mut self, outcome: Outcome) {
        let Err(Failure {
            text,
            place,
            values,
        }) = outcome
        else {
            self.passed += 1;
            log!("ok");
            return;
        };
        self.failed += 1;
        let (file, line) = (place.file(), place.line());
        match values {
            Some((left, right)) => log!("FAILED {file}:{line}: {text} [{left:#x}, {right:#x}]"),
            None => log!("FAILED {file}:{line}: {text}"),
        }
    }

    /// Prints the sum.
    pub fn finish(&self) {
        let Self { passed, failed } = self;
        log!("conformance: {passed} passed, {failed} failed, 0 skipped");
    }
}

/// Fails unless the condition holds.
macro_rules! ensure {
    ($condition:expr) => {
        if !$condition {
            return Err($crate::case::Failure::of(stringify!($condition)));
        }
    };
}

/// Fails unless the two numbers are equal.
macro_rules! ensure_equal {
    ($left:expr, $right:expr) => {
        match (u64::try_from($left), u64::try_from($right)) {
            (Ok(left), Ok(right)) if left == right => {}
            (left, right) => {
                let text = concat!(stringify!($left), " == ", stringify!($right));
                let (left, right) = (left.unwrap_or(u64::MAX), right.unwrap_or(u64::MAX));
                return Err($crate::case::Failure::differ(text, left, right));
            }
        }
    };
}

pub(crate) use {ensure, ensure_equal};
