//! One case, and how it ends.

use crate::context::Context;
use abi::{CallNumber, Error};
use core::panic::Location;

/// One law of the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The call that it is about.
    pub call: CallNumber,
    /// The error that it reaches, or `None` where the call succeeds.
    pub error: Option<Error>,
    /// The law, in a few words.
    pub name: &'static str,
    /// The check.
    pub run: fn(&Context) -> Outcome,
}

/// What a case comes to.
pub type Outcome<T = ()> = Result<T, Stop>;

/// Why a case ended early.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// The kernel did something else.
    Failed(Failure),
    /// The machine lacks what the case needs.
    Skipped(&'static str),
}

/// What was different.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// What should have been.
    pub text: &'static str,
    /// Where in the suite.
    pub place: &'static Location<'static>,
    /// What the kernel answered, where that was an error.
    pub error: Option<Error>,
    /// The two values that differ.
    pub values: Option<(u64, u64)>,
}

impl Stop {
    /// Returns the failure of a condition.
    #[track_caller]
    #[must_use]
    pub fn failed(text: &'static str) -> Self {
        Self::Failed(Failure {
            text,
            place: Location::caller(),
            error: None,
            values: None,
        })
    }

    /// Returns the failure of an equation.
    #[track_caller]
    #[must_use]
    pub fn differ(text: &'static str, left: u64, right: u64) -> Self {
        let place = Location::caller();
        Self::Failed(Failure {
            text,
            place,
            error: None,
            values: Some((left, right)),
        })
    }
}

impl From<Error> for Stop {
    #[track_caller]
    fn from(error: Error) -> Self {
        let place = Location::caller();
        Self::Failed(Failure {
            text: "the call succeeds",
            place,
            error: Some(error),
            values: None,
        })
    }
}

/// Returns the case of a call that succeeds.
#[must_use]
pub const fn success(call: CallNumber, name: &'static str, run: fn(&Context) -> Outcome) -> Case {
    Case {
        call,
        error: None,
        name,
        run,
    }
}

/// Returns the case of a call that is refused.
#[must_use]
pub const fn refusal(
    call: CallNumber,
    error: Error,
    name: &'static str,
    run: fn(&Context) -> Outcome,
) -> Case {
    Case {
        call,
        error: Some(error),
        name,
        run,
    }
}

/// Fails unless the result is this error.
///
/// # Errors
///
/// The failure.
#[track_caller]
pub fn expect_error<T>(result: Result<T, Error>, expected: Error) -> Outcome {
    match result {
        Err(error) if error == expected => Ok(()),
        Err(error) => Err(Stop::Failed(Failure {
            text: "the error is the documented one (expected, got)",
            place: Location::caller(),
            error: Some(error),
            values: Some((expected.number(), error.number())),
        })),
        Ok(_) => Err(Stop::differ(
            "the call is refused (expected error)",
            expected.number(),
            0,
        )),
    }
}

/// Fails unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr) => {
        if !$condition {
            return Err($crate::case::Stop::failed(stringify!($condition)));
        }
    };
}

/// Fails unless the two numbers are equal.
#[macro_export]
macro_rules! ensure_equal {
    ($left:expr, $right:expr) => {
        #[allow(
            clippy::useless_conversion,
            clippy::unnecessary_cast,
            reason = "any integer"
        )]
        match ($left as u64, $right as u64) {
            (left, right) if left != right => {
                let text = concat!(stringify!($left), " == ", stringify!($right));
                return Err($crate::case::Stop::differ(text, left, right));
            }
            _ => {}
        }
    };
}
