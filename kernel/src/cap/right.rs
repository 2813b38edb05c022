//! The rights that calls need.

use abi::Rights;

/// To configure, retype, bind or read.
pub(crate) const CONTROL: Rights = Rights::new().with_control(true);
/// To call.
pub(crate) const CALL: Rights = Rights::new().with_call(true);
/// To receive.
pub(crate) const RECEIVE: Rights = Rights::new().with_receive(true);
/// To signal.
pub(crate) const SIGNAL: Rights = Rights::new().with_signal(true);
/// To wait for signals.
pub(crate) const WAIT: Rights = Rights::new().with_wait(true);
/// To raise interrupts of a vCPU, and to flush its translations.
pub(crate) const INJECT: Rights = Rights::new().with_inject(true);
