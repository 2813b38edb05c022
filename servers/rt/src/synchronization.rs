//! Endpoints, notifications and Reply objects.

use crate::capability::handle;
use crate::message::{Incoming, Outgoing};
use crate::sys;
use abi::{CallNumber, Error, MessageInfo};

handle! {
    /// A place where calls meet their server.
    Endpoint
}
handle! {
    /// A caller that waits for its answer.
    Reply
}
handle! {
    /// A word of signal bits.
    Notification
}

/// Makes a call that may return a message.
fn exchange(
    number: CallNumber,
    object: u64,
    message: &Outgoing,
    deadline: u64,
) -> Result<Incoming, Error> {
    let results = sys::exchange(number, message.info, object, message.words, deadline);
    results.status()?;
    Ok(Incoming::from_results(&results))
}

/// A message for calls that send none.
const NOTHING: Outgoing = Outgoing {
    info: MessageInfo::new(),
    words: [0; 6],
};

impl Endpoint {
    /// Calls the server and waits for its reply.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn call(self, message: &Outgoing) -> Result<Incoming, Error> {
        exchange(CallNumber::Call, self.bits(), message, 0)
    }

    /// Waits for a message until `deadline`.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn receive(self, deadline: u64) -> Result<Incoming, Error> {
        exchange(CallNumber::Receive, self.bits(), &NOTHING, deadline)
    }

    /// Answers the current caller and waits for the next message until `deadline`.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn reply_receive(self, message: &Outgoing, deadline: u64) -> Result<Incoming, Error> {
        exchange(CallNumber::ReplyReceive, self.bits(), message, deadline)
    }
}

/// Answers the current caller.
///
/// # Errors
///
/// The kernel's.
pub fn reply(message: &Outgoing) -> Result<(), Error> {
    exchange(CallNumber::Reply, 0, message, 0).map(drop)
}

impl Reply {
    /// Moves the current caller into this object.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn save(self) -> Result<(), Error> {
        sys::call(CallNumber::SaveReply, [self.bits()]).map(drop)
    }

    /// Answers the caller in this object.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn send(self, message: &Outgoing) -> Result<(), Error> {
        exchange(CallNumber::ReplyTo, self.bits(), message, 0).map(drop)
    }
}

impl Notification {
    /// Sets the bits of the capability's badge.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn signal(self) -> Result<(), Error> {
        sys::call(CallNumber::Signal, [self.bits()]).map(drop)
    }

    /// Waits for bits until `deadline`, and clears and returns them.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn wait(self, deadline: u64) -> Result<u64, Error> {
        let results = sys::exchange(
            CallNumber::Wait,
            MessageInfo::new(),
            self.bits(),
            [0; 6],
            deadline,
        );
        results.status()?;
        Ok(results.x[1])
    }
}
