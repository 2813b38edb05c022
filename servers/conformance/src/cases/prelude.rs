//! What most files of cases use.

pub use crate::case::{Case, Outcome, Stop, expect_error, refusal, success};
pub use crate::context::{Context, HIGH, LOW, PRIORITY, all_but, read_execute, read_write};
pub use crate::crew::{self, Helper, Role};
pub use crate::{ensure, ensure_equal};
pub use abi::call::{Binding, FOREVER};
pub use abi::{CallNumber, DeliveryKind, Error, ObjectKind, Rights, SlotAddress};
pub use rt::synchronization::reply;
pub use rt::{
    Budget, Capability, Endpoint, Frame, Notification, Outgoing, Reply, Space, Thread, Untyped,
};

/// Returns a message with these words.
pub fn words(words: &[u64]) -> Outgoing {
    Outgoing::new(1).with_words(words)
}

/// Returns a message that claims this shape, whatever is in the message page.
pub fn shaped(words: usize, caps: usize) -> Outgoing {
    let mut message = Outgoing::new(1);
    message.info = message.info.with_words(words).with_caps(caps);
    message
}

/// Makes an endpoint with a caller whose message the suite has received.
#[track_caller]
pub fn pending(context: &Context) -> Outcome<(Endpoint, Helper)> {
    let endpoint = context.endpoint()?;
    let helper = context.caller(endpoint)?;
    endpoint.receive(context.soon())?;
    Ok((endpoint, helper))
}

/// Answers the pending caller and checks that it still waited.
#[track_caller]
pub fn settle(context: &Context, helper: &Helper) -> Outcome {
    reply(&words(&[42]))?;
    ensure_equal!(context.end_of(helper)??, 42);
    Ok(())
}
