//! Budgets: exhaustion, replenishment, lending.

use super::prelude::*;

/// Makes a spinning helper of higher priority with this budget, in microseconds.
#[track_caller]
fn limited(context: &Context, amount: u64, period: u64) -> Outcome<Helper> {
    let (thread, budget) = (context.thread_on(0)?, context.budget_on(0)?);
    budget.configure(context.microseconds(amount), context.microseconds(period))?;
    context.start(Role::EAGER, (thread, budget), &[], crew::spin)
}

/// A helper below the suite.
const LOWER: Role = Role {
    priority: LOW,
    ..Role::EAGER
};

/// Makes a spinning helper of lower priority that takes turns of so many microseconds.
#[track_caller]
fn turning(context: &Context, turn: u64) -> Outcome<Helper> {
    let (thread, budget) = (context.thread_on(0)?, context.budget_on(0)?);
    budget.take_turns(context.microseconds(turn))?;
    context.start(LOWER, (thread, budget), &[], crew::spin)
}

/// Returns how far the helper counts while the suite spins for so many microseconds.
fn progress(context: &Context, helper: &Helper, microseconds: u64) -> u64 {
    let (before, end) = (helper.count(), context.after(microseconds));
    while rt::sys::counter() < end {
        core::hint::spin_loop();
    }
    helper.count() - before
}

/// Waits until the helper goes on. The suite spins, so that the helper has to take the core from it.
fn goes_on(context: &Context, helper: &Helper) -> Outcome {
    let (before, limit) = (helper.count(), context.soon());
    while helper.count() == before {
        ensure!(rt::sys::counter() < limit);
        core::hint::spin_loop();
    }
    Ok(())
}

/// The cases.
pub const CASES: &[Case] = &[
    success(
        CallNumber::BudgetConfigure,
        "a thread runs no more than its amount",
        |context| {
            // The suite's thread is of lower priority: that it runs at all is the law.
            let helper = limited(context, 2_000, 1_000_000)?;
            let count = helper.count();
            ensure!(count > 0);
            ensure_equal!(progress(context, &helper, 20_000), 0);
            Ok(())
        },
    ),
    success(
        CallNumber::BudgetConfigure,
        "the amount comes back every period",
        |context| {
            let helper = limited(context, 1_000, 10_000)?;
            for _ in 0..3 {
                goes_on(context, &helper)?;
            }
            Ok(())
        },
    ),
    success(
        CallNumber::BudgetConfigure,
        "a larger amount lets the thread go on",
        |context| {
            let helper = limited(context, 1_000, 10_000_000)?;
            ensure_equal!(progress(context, &helper, 5_000), 0);
            let ten = context.microseconds(10_000);
            helper.budget.configure(ten / 10, ten)?;
            goes_on(context, &helper)
        },
    ),
    success(
        CallNumber::BudgetConfigure,
        "the caller's budget pays for its call",
        |context| {
            // The server's own budget is too small for what the callers ask of it.
            let endpoint = context.endpoint()?;
            let (thread, budget) = (context.thread_on(0)?, context.budget_on(0)?);
            budget.configure(context.microseconds(2_000), context.microseconds(5_000_000))?;
            context.start(
                Role::EAGER,
                (thread, budget),
                &[endpoint.bits()],
                |number| {
                    let _ = rt::serve(Endpoint::at(crew::note(number).slot(0)), |_| {
                        let end = rt::sys::counter() + 5_000;
                        while rt::sys::counter() < end {}
                        rt::ReplyAction::Reply(Outgoing::new(0))
                    });
                },
            )?;
            for _ in 0..20 {
                endpoint.call(&Outgoing::new(0))?;
            }
            Ok(())
        },
    ),
    success(
        CallNumber::BudgetConfigure,
        "what it says is what it is",
        |context| {
            let budget = context.budget_on(0)?;
            budget.configure(1, 1)?;
            Ok(budget.configure(5, u64::MAX >> 1)?)
        },
    ),
    success(
        CallNumber::BudgetConfigure,
        "equals take turns, and one alone has all of the time",
        |context| {
            let helpers = [turning(context, 1_000)?, turning(context, 1_000)?];
            let [one, other] = &helpers;
            context.until("both count", || one.count() > 0 && other.count() > 0)?;
            other.thread.stop()?;
            let stopped = other.count();
            let before = one.count();
            context.pause(20_000)?;
            context.until("the other goes on", || one.count() > before)?;
            ensure_equal!(other.count(), stopped);
            Ok(())
        },
    ),
    refusal(
        CallNumber::BudgetConfigure,
        Error::BadArgument,
        "turns of a budget that ends, or too long ones",
        |context| {
            let budget = context.budget_on(0)?;
            for (amount, turn) in [(50, 10), (100, u64::MAX)] {
                let arguments = [budget.bits(), amount, 100, turn];
                context.refuses(Error::BadArgument, || {
                    rt::sys::call(CallNumber::BudgetConfigure, arguments)
                })?;
            }
            Ok(())
        },
    ),
    refusal(
        CallNumber::BudgetConfigure,
        Error::BadArgument,
        "nothing, or more than the period",
        |context| {
            let budget = context.budget_on(0)?;
            context.refuses(Error::BadArgument, || budget.configure(0, 100))?;
            context.refuses(Error::BadArgument, || budget.configure(101, 100))?;
            context.refuses(Error::BadArgument, || budget.configure(0, 0))
        },
    ),
];
