//! The volleys, and the law that holds after each.

use super::rivals;
use super::scene::{Guests, MAPPED, SENT, Scene, Top};
use super::{Kind, Random};
use crate::case::{Outcome, Stop};
use crate::context::{Context, HIGH, LOW, read_write};
use crate::crew::{self, Helper, Role};
use crate::guest::guest_rights;
use abi::Rights;
use core::sync::atomic::Ordering::SeqCst;
use rt::{Capability, Endpoint, Notification, Thread};

/// What dies in a volley, or has copies that do.
#[derive(Clone, Copy, Debug)]
pub enum Victim {
    /// Nothing.
    None,
    /// A thread that runs.
    Thread(Thread),
    /// A notification that somebody waits for.
    Notification(Notification),
    /// An endpoint with a caller.
    Endpoint(Endpoint),
}

impl Victim {
    /// Returns its capability; slot 0, which is always empty, where there is none.
    pub const fn capability(self) -> Capability {
        match self {
            Self::None => Capability::own(0),
            Self::Thread(thread) => thread.capability(),
            Self::Notification(notification) => notification.capability(),
            Self::Endpoint(endpoint) => endpoint.capability(),
        }
    }
}

impl Scene {
    /// Holds one volley with so many steps of the driver.
    ///
    /// # Errors
    ///
    /// The law that does not hold.
    pub fn volley(
        &self,
        context: &Context,
        random: &mut Random,
        kind: Kind,
        steps: u64,
    ) -> Outcome {
        match kind {
            Kind::Delete => self.deletion(context, random)?,
            Kind::Revoke => self.revocation(context, random)?,
            Kind::Signal | Kind::Map | Kind::Inject | Kind::Guest => {
                self.rivals.begin(self, random, kind, Victim::None)?;
                for _ in 0..steps {
                    self.step(random, kind)?;
                    random.moment();
                }
                self.rivals.end(context)?;
            }
        }
        self.all_is_well(context, random, kind)
    }

    /// Does one thing of a volley in which nothing dies.
    fn step(&self, random: &mut Random, kind: Kind) -> Outcome {
        match (kind, &self.guests) {
            (Kind::Map, _) => self.mapping(random),
            (Kind::Inject, Some(guests)) => self.interruption(guests, random),
            (Kind::Guest, Some(guests)) => second_stage(guests, random),
            _ => {
                SENT.fetch_add(1, SeqCst);
                Ok(self.notification.signal()?)
            }
        }
    }

    /// Checks what holds when all is quiet.
    fn all_is_well(&self, context: &Context, random: &mut Random, kind: Kind) -> Outcome {
        let sent = SENT.load(SeqCst);
        context.until("no signal is lost", || self.waiter.count() == sent)?;
        self.rivals.hold_nothing()?;
        match (kind, &self.guests) {
            (Kind::Inject, Some(guests)) => {
                let seen = rivals::seen();
                let end = context.after(20);
                while guests.taken() <= seen && rt::sys::counter() < end {}
                context.until("no interrupt is lost", || guests.taken() > seen)
            }
            (Kind::Map, _) if self.top == Top::Toucher && random.below(16) == 0 => {
                self.toucher.stop()?;
                self.toucher.resume()?;
                context.until("the page is stored to again", || {
                    self.alias.load(0) == self.address
                })
            }
            (Kind::Guest, Some(guests)) if self.top == Top::Counter && random.below(16) == 0 => {
                let before = guests.alias.load(0);
                context.until("the guest goes on", || guests.alias.load(0) != before)
            }
            _ => Ok(()),
        }
    }

    /// Deletes something that is in use: nobody works on with it, and nobody waits for it.
    fn deletion(&self, context: &Context, random: &mut Random) -> Outcome {
        let first = context.mark();
        let (helper, victim) = match random.below(3) {
            0 => self.spinner(context)?,
            1 => self.waiting(context)?,
            _ => self.calling(context)?,
        };
        self.rivals.begin(self, random, Kind::Delete, victim)?;
        random.moment();
        victim.capability().delete()?;
        let count = helper.count();
        random.moment();
        if matches!(victim, Victim::Thread(_)) {
            if helper.count() != count {
                return Err(Stop::failed("a deleted thread does not run"));
            }
        } else {
            // It heard of a signal, or of the end of what it waited for.
            let _ = context.end_of(&helper)?;
            helper.thread.capability().delete()?;
        }
        self.rivals.end(context)?;
        forget(context, &helper, first)
    }

    /// Starts a thread that counts for ever.
    fn spinner(&self, context: &Context) -> Outcome<(Helper, Victim)> {
        let priority = if self.core == 0 { LOW } else { HIGH - 1 };
        let role = Role::EAGER.on(self.core).with_priority(priority);
        let helper = context.spawn(role, &[], crew::spin)?;
        Ok((helper, Victim::Thread(helper.thread)))
    }

    /// Starts a thread that waits for a notification.
    fn waiting(&self, context: &Context) -> Outcome<(Helper, Victim)> {
        let notification = context.notification_on(self.core)?;
        let role = Role::EAGER.on(self.core);
        let helper = context.spawn(role, &[notification.bits()], crew::wait)?;
        Ok((helper, Victim::Notification(notification)))
    }

    /// Starts a thread that calls an endpoint at which nobody receives.
    fn calling(&self, context: &Context) -> Outcome<(Helper, Victim)> {
        let endpoint = context.endpoint_on(self.core)?;
        let role = Role::EAGER.on(self.core);
        let helper = context.spawn(role, &[endpoint.bits()], crew::call)?;
        Ok((helper, Victim::Endpoint(endpoint)))
    }

    /// Revokes copies of the notification, some of them just used or being made.
    fn revocation(&self, context: &Context, random: &mut Random) -> Outcome {
        let first = context.mark();
        let middle = context.mint(self.notification.capability(), Rights::ALL, 0)?;
        let role = Role::EAGER.on(self.core).with_priority(LOW + 5);
        let copy = context.mint(middle, Rights::ALL, 2)?;
        let helper = context.spawn(role, &[copy.bits()], |number| {
            let note = crew::note(number);
            while Notification::at(note.slot(0)).signal().is_ok() {
                note.value.fetch_add(1, SeqCst);
            }
            note.end(Ok(1));
        })?;
        let victim = Victim::Notification(Notification::at(middle.slot()));
        self.rivals.begin(self, random, Kind::Revoke, victim)?;
        random.moment();
        middle.revoke()?;
        context.end_of(&helper)??;
        self.rivals.end(context)?;
        middle.delete()?;
        helper.thread.capability().delete()?;
        forget(context, &helper, first)
    }

    /// Raises a line of the taker. An interrupt of its core comes first as often as not: the line
    /// then meets the guest on its way out or in, and nothing later makes up for one that is lost.
    fn interruption(&self, guests: &Guests, random: &mut Random) -> Outcome {
        if random.below(2) == 0 {
            SENT.fetch_add(1, SeqCst);
            self.notification.signal()?;
            random.moment();
        }
        Ok(rivals::raise(guests.taker.vcpu, guests.taker.memory)?)
    }

    /// Unmaps the page that threads store to; no store may come after that.
    fn mapping(&self, random: &mut Random) -> Outcome {
        self.touched.unmap()?;
        self.alias.store(0, 0);
        random.moment();
        if self.alias.load(0) != 0 {
            return Err(Stop::failed("an unmapped page is not stored to"));
        }
        let space = rt::Space::own(abi::boot::SLOT_SPACE).capability();
        Ok(self.touched.map(space, self.address, read_write())?)
    }
}

/// Unmaps the page that the counter stores to, or stops it; no store may come after that.
fn second_stage(guests: &Guests, random: &mut Random) -> Outcome {
    if random.below(4) == 0 {
        guests.counter.vcpu.stop()?;
        let before = guests.alias.load(0);
        random.moment();
        if guests.alias.load(0) != before {
            return Err(Stop::failed("a stopped vCPU does not run"));
        }
        return Ok(guests.counter.vcpu.resume()?);
    }
    MAPPED.store(0, SeqCst);
    guests.page.unmap()?;
    guests.alias.store(0, 0);
    random.moment();
    if guests.alias.load(0) != 0 {
        return Err(Stop::failed("a guest does not store to an unmapped page"));
    }
    let space = guests.counter.space.capability();
    guests
        .page
        .map(space, Guests::page_address(), guest_rights())?;
    MAPPED.store(1, SeqCst);
    Ok(guests.mapped.signal()?)
}

/// Gives back what is left of a helper whose thread is gone.
fn forget(context: &Context, helper: &Helper, first: u32) -> Outcome {
    crew::dismiss_one(helper.number);
    helper.budget.capability().delete()?;
    context.rewind(first);
    Ok(())
}
