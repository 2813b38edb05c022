//! The generated list of what has to be covered: every call, and every error of every call.

/// Returns whether some case reaches this outcome of the call.
#[cfg(test)]
fn is_covered(call: abi::CallNumber, error: Option<abi::Error>) -> bool {
    crate::cases::all().any(|case| case.call == call && case.error == error)
}

#[cfg(test)]
mod tests {
    use super::is_covered;
    use abi::CallNumber;
    use std::string::String;
    use std::vec::Vec;
    use std::{format, println};

    #[test]
    fn every_call_and_every_documented_error_has_a_case() {
        let wanted = CallNumber::ALL.iter().flat_map(|call| {
            let errors = call.errors().iter().map(|error| (*call, Some(*error)));
            core::iter::once((*call, None)).chain(errors)
        });
        let missing: Vec<String> = wanted
            .filter(|(call, error)| !is_covered(*call, *error))
            .map(|(call, error)| format!("{call:?} {error:?}"))
            .collect();
        assert!(missing.is_empty(), "no case for: {missing:#?}");
    }

    #[test]
    fn no_case_claims_an_error_that_the_call_does_not_document() {
        for case in crate::cases::all() {
            let documented = case.error.is_none_or(|error| {
                error == abi::Error::UnknownCall || case.call.errors().contains(&error)
            });
            assert!(
                documented,
                "{:?} {:?}: {}",
                case.call, case.error, case.name
            );
        }
    }

    #[test]
    fn the_suite_has_at_least_150_cases_with_names_of_their_own() {
        let mut names: Vec<_> = crate::cases::all()
            .map(|case| format!("{:?}{:?}{}", case.call, case.error, case.name))
            .collect();
        println!("{} cases", names.len());
        assert!(names.len() >= 150);
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "two cases have one name");
    }
}
