//! The interruptions of one guest as its vcpu server sees them.

use super::Floating;
use alloc::vec;
use alloc::vec::Vec;
use api::{Deliveries, Delivery, Last};
use irq_api::floating::Answer;
use irq_api::{Refusal, Reply, Request};
use vcpu_api::Description;

/// Interruptions, and whose exits moved them.
#[derive(Clone, Debug)]
pub struct Controller {
    floating: Floating,
    /// Badge of the guest's vcpu server.
    supervisor: u64,
    /// Exits, by vCPU, and what became of what they asked for.
    exits: Deliveries<Answer, Vec<Last<Answer>>>,
}

impl Controller {
    /// Returns the controller of a guest.
    #[must_use]
    pub fn new(description: &Description) -> Self {
        let cpus = description.cores.len();
        Self {
            floating: Floating::new(cpus),
            supervisor: u64::from(description.vcpu) + 1,
            exits: Deliveries::new(vec![Last::default(); cpus]),
        }
    }

    /// Serves a request of the client with this badge. The lines have to be settled afterwards.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] that the client gets.
    pub fn request(&mut self, badge: u64, request: Request) -> Result<Reply, Refusal> {
        match request {
            // No device has a line here: adapters will set indicators.
            Request::Raise { .. } => Err(Refusal::NoSuchSource),
            Request::Statistics => Ok(Reply::Statistics(self.floating.ledger().counts())),
            Request::Reset { .. } | Request::Interruption { .. } if badge != self.supervisor => {
                Err(Refusal::NotYours)
            }
            Request::Reset { newest } => {
                self.exits.retire_all(&newest);
                self.floating.reset();
                Ok(Reply::Done)
            }
            Request::Interruption { by, sequence, act } => {
                let by = usize::from(by);
                let answer = match self.exits.look(by, sequence) {
                    Delivery::New => {
                        let answer = self.floating.act(act).ok_or(Refusal::NoSuchSource)?;
                        self.exits.record(by, sequence, answer);
                        answer
                    }
                    Delivery::Repeated(answer) => answer,
                    Delivery::Stale => Answer::default(),
                };
                Ok(Reply::Interruption(answer))
            }
        }
    }

    /// Returns the interruptions, to settle their lines.
    pub const fn floating(&mut self) -> &mut Floating {
        &mut self.floating
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use irq_api::floating::{Act, Interruption};

    fn post(sequence: u64) -> Request {
        let interruption = Interruption::ServiceSignal { parameter: 8 };
        let act = Act::Post {
            cpu: None,
            interruption,
        };
        Request::Interruption {
            by: 0,
            sequence,
            act,
        }
    }

    fn controller() -> Controller {
        Controller::new(&Description {
            cores: vec![0, 1],
            vcpu: 7,
            ..Description::default()
        })
    }

    #[test]
    fn what_comes_again_is_answered_again_and_posts_nothing() {
        let mut controller = controller();
        let first = controller.request(8, post(5));
        assert_eq!(first, Ok(Reply::Interruption(Answer::default())));
        assert_eq!(controller.request(8, post(5)), first);
        assert_eq!(controller.floating().ledger().counts().raised, 1);
        let coalesced = Answer {
            coalesced: true,
            ..Answer::default()
        };
        assert_eq!(
            controller.request(8, post(6)),
            Ok(Reply::Interruption(coalesced))
        );
        // What was made before a reset and comes after it does nothing.
        let mut newest = api::Newest::default();
        newest.set(0, 9);
        assert_eq!(
            controller.request(8, Request::Reset { newest }),
            Ok(Reply::Done)
        );
        assert!(controller.request(8, post(7)).is_ok());
        assert_eq!(controller.floating().ledger().counts().raised, 2);
    }

    #[test]
    fn only_the_vcpu_server_posts_and_resets() {
        let mut controller = controller();
        let newest = api::Newest::default();
        for request in [post(1), Request::Reset { newest }] {
            assert_eq!(controller.request(9, request), Err(Refusal::NotYours));
        }
    }
}
