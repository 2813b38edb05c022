//! How a run ended, and which exit status says so.

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;

use super::serial::Event;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every guest powered off cleanly, and so did the machine.
    Clean,
    /// A guest ended with another status than 0.
    Guest {
        /// Its name; nothing where it reported by itself.
        name: Option<String>,
        /// Its status.
        status: u64,
    },
    /// The system itself ended with another status than 0.
    System(u64),
    /// The system panicked.
    Panic(String),
    /// It took longer than allowed.
    Timeout {
        /// Seconds that were allowed.
        seconds: u64,
    },
    /// The emulator ended with a failure: the machine was shut down for one, or QEMU failed.
    Emulator(String),
    /// The machine stopped although these guests had not ended.
    Unfinished(Vec<String>),
    /// Somebody interrupted us.
    Interrupted,
}

impl Ending {
    /// Returns the exit status for it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Clean => ExitCode::SUCCESS,
            Self::Guest { status, .. } | Self::System(status) => ExitCode::from(
                u8::try_from(*status)
                    .ok()
                    .filter(|status| *status < 124)
                    .unwrap_or(1),
            ),
            Self::Timeout { .. } => ExitCode::from(124),
            Self::Interrupted => ExitCode::from(130),
            Self::Panic(_) | Self::Emulator(_) | Self::Unfinished(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean => formatter.write_str("ended cleanly"),
            Self::Guest {
                name: Some(name),
                status,
            } => {
                write!(formatter, "guest `{name}` ended with status {status}")
            }
            Self::Guest { name: None, status } => {
                write!(formatter, "the guest reported status {status}")
            }
            Self::System(status) => write!(formatter, "the system ended with status {status}"),
            Self::Panic(line) => write!(formatter, "the system panicked: {line}"),
            Self::Timeout { seconds } => write!(formatter, "not finished after {seconds} s"),
            Self::Emulator(what) => write!(formatter, "the machine failed: {what}"),
            Self::Unfinished(guests) => {
                write!(
                    formatter,
                    "the machine stopped before guest {}",
                    guests.join(", ")
                )
            }
            Self::Interrupted => formatter.write_str("interrupted"),
        }
    }
}

/// What the serial line told so far.
#[derive(Clone, Debug, Default)]
pub struct Story {
    expected: Vec<String>,
    ended: BTreeMap<String, u64>,
    reported: Option<u64>,
    quit: bool,
    system: Option<u64>,
    panic: Option<String>,
}

impl Story {
    /// Begins the story of a system with these guests.
    pub fn new(guests: Vec<String>) -> Self {
        Self {
            expected: guests,
            ..Self::default()
        }
    }

    /// Takes one more event.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Panic(line) => drop(self.panic.get_or_insert(line)),
            Event::GuestEnded { name, status } => drop(self.ended.insert(name, status)),
            Event::Quit => self.quit = true,
            Event::SystemEnded(status) => self.system = Some(status),
            Event::GuestReported(status) => drop(self.reported.get_or_insert(status)),
        }
    }

    /// Tells whether the machine is over although the emulator may still run.
    pub fn is_over(&self) -> bool {
        self.panic.is_some() || (self.reported.is_some() && self.expected.len() <= 1)
    }

    /// Tells whether every guest has ended.
    pub fn all_guests_ended(&self) -> bool {
        !self.expected.is_empty() && self.missing().is_empty()
    }

    /// Tells whether the line told how the machine ended.
    pub fn is_told(&self) -> bool {
        self.system.is_some() || (!self.expected.is_empty() && self.missing().is_empty())
    }

    /// Returns the guests that have not ended.
    fn missing(&self) -> Vec<String> {
        if self.reported.is_some() && self.expected.len() <= 1 {
            return Vec::new();
        }
        self.expected
            .iter()
            .filter(|name| !self.ended.contains_key(*name))
            .cloned()
            .collect()
    }

    /// Returns the ending that the line tells of; `stopped` is what the emulator itself says, with
    /// nothing for success or where we stopped it.
    pub fn ending(self, stopped: Option<String>) -> Ending {
        if let Some(line) = self.panic {
            return Ending::Panic(line);
        }
        if let Some(status) = self.reported.filter(|status| *status != 0) {
            return Ending::Guest { name: None, status };
        }
        if let Some((name, status)) = self.ended.iter().find(|(_, status)| **status != 0) {
            return Ending::Guest {
                name: Some(name.clone()),
                status: *status,
            };
        }
        if let Some(status) = self.system.filter(|status| *status != 0) {
            return Ending::System(status);
        }
        if let Some(what) = stopped {
            return Ending::Emulator(what);
        }
        let missing = self.missing();
        if missing.is_empty() || self.quit {
            Ending::Clean
        } else {
            Ending::Unfinished(missing)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the story of guests `a` and `b` with these events.
    fn story(guests: &[&str], events: &[Event]) -> Story {
        let mut story = Story::new(guests.iter().map(|name| (*name).to_owned()).collect());
        events.iter().cloned().for_each(|event| story.take(event));
        story
    }

    /// Returns the event of a guest's end.
    fn ended(name: &str, status: u64) -> Event {
        Event::GuestEnded {
            name: name.to_owned(),
            status,
        }
    }

    #[test]
    fn only_the_clean_end_of_every_guest_is_clean() {
        let both = [ended("a", 0), ended("b", 0)];
        assert_eq!(story(&["a", "b"], &both).ending(None), Ending::Clean);
        let one = story(&["a", "b"], &both[..1]);
        assert!(!one.all_guests_ended());
        assert_eq!(one.ending(None), Ending::Unfinished(vec!["b".to_owned()]));
        assert_eq!(story(&[], &[]).ending(None), Ending::Clean);
    }

    #[test]
    fn a_guests_status_is_the_endings() {
        let end = story(&["a"], &[ended("a", 3)]).ending(Some("exit status 1".to_owned()));
        assert_eq!(
            end,
            Ending::Guest {
                name: Some("a".to_owned()),
                status: 3
            }
        );
        let end = story(&["a"], &[Event::GuestReported(2)]).ending(None);
        assert_eq!(
            end,
            Ending::Guest {
                name: None,
                status: 2
            }
        );
    }

    #[test]
    fn a_report_ends_the_machine_of_a_single_guest_only() {
        let report = [Event::GuestReported(0)];
        assert!(story(&["a"], &report).is_over());
        assert!(!story(&["a", "b"], &report).is_over());
        assert_eq!(story(&["a"], &report).ending(None), Ending::Clean);
    }

    #[test]
    fn a_systems_own_status_counts_where_no_guest_failed() {
        let events = [Event::SystemEnded(1)];
        assert_eq!(story(&[], &events).ending(None), Ending::System(1));
        assert_eq!(
            story(&[], &[Event::SystemEnded(0)]).ending(None),
            Ending::Clean
        );
    }

    #[test]
    fn a_panic_is_never_clean() {
        let panic = Event::Panic("skerry: panic".to_owned());
        let story = story(&["a"], &[ended("a", 0), panic]);
        assert!(story.is_over());
        assert_eq!(
            story.ending(None),
            Ending::Panic("skerry: panic".to_owned())
        );
    }

    #[test]
    fn a_failing_emulator_is_never_clean() {
        let end = story(&[], &[]).ending(Some("exit status 1".to_owned()));
        assert_eq!(end, Ending::Emulator("exit status 1".to_owned()));
    }
}
