//! Queues of executions, linked through the executions themselves.

use crate::Visit;
use crate::arch::Arch;
use crate::object::endpoint::Queue;
use crate::object::execution::ExecutionRef;

impl<A: Arch> Visit<'_, A> {
    /// Puts an execution behind all others.
    pub(crate) fn push_last(&self, queue: &Queue, item: ExecutionRef) {
        self.push_behind(queue, queue.last.get(), item);
    }

    /// Puts an execution before all others.
    pub(crate) fn push_first(&self, queue: &Queue, item: ExecutionRef) {
        self.push_behind(queue, None, item);
    }

    /// Puts an execution behind the last one whose priority is at least its own.
    pub(crate) fn push_by_priority(&self, queue: &Queue, item: ExecutionRef) {
        let priority = self.execution(item).priority.get();
        let mut before = queue.last.get();
        while let Some(candidate) = before.map(|before| self.execution(before))
            && candidate.priority.get() < priority
        {
            before = candidate.previous.get();
        }
        self.push_behind(queue, before, item);
    }

    /// Puts an execution behind `before`, or before all others.
    fn push_behind(&self, queue: &Queue, before: Option<ExecutionRef>, item: ExecutionRef) {
        let execution = self.execution(item);
        let next = before.map_or(&queue.first, |before| &self.execution(before).next);
        let after = next.get();
        next.set(Some(item));
        execution.previous.set(before);
        execution.next.set(after);
        let previous = after.map_or(&queue.last, |after| &self.execution(after).previous);
        previous.set(Some(item));
    }

    /// Takes an execution out of the queue that it is in.
    pub(crate) fn remove(&self, queue: &Queue, item: ExecutionRef) {
        let execution = self.execution(item);
        let (previous, next) = (execution.previous.take(), execution.next.take());
        match previous {
            Some(previous) => self.execution(previous).next.set(next),
            None => queue.first.set(next),
        }
        match next {
            Some(next) => self.execution(next).previous.set(previous),
            None => queue.last.set(previous),
        }
    }

    /// Takes the first execution out.
    pub(crate) fn pop(&self, queue: &Queue) -> Option<ExecutionRef> {
        let first = queue.first.get()?;
        self.remove(queue, first);
        Some(first)
    }
}
