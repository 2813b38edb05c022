//! Queues of executions, linked through the executions themselves.

use crate::Visit;
use crate::arch::Arch;
use crate::object::endpoint::Queue;
use crate::object::execution::ExecutionRef;

impl<A: Arch> Visit<'_, A> {
    /// Puts an execution behind all others.
    pub(crate) fn push_last(&self, queue: &Queue, item: ExecutionRef) {
        let execution = self.execution(item);
        let last = queue.last.get();
        execution.previous.set(last);
        execution.next.set(None);
        match last {
            Some(last) => self.execution(last).next.set(Some(item)),
            None => queue.first.set(Some(item)),
        }
        queue.last.set(Some(item));
    }

    /// Puts an execution before all others.
    pub(crate) fn push_first(&self, queue: &Queue, item: ExecutionRef) {
        let execution = self.execution(item);
        let first = queue.first.get();
        execution.next.set(first);
        execution.previous.set(None);
        match first {
            Some(first) => self.execution(first).previous.set(Some(item)),
            None => queue.last.set(Some(item)),
        }
        queue.first.set(Some(item));
    }

    /// Puts an execution behind the last one whose priority is at least its own.
    pub(crate) fn push_by_priority(&self, queue: &Queue, item: ExecutionRef) {
        let execution = self.execution(item);
        let priority = execution.priority.get();
        let mut before = queue.last.get();
        while let Some(candidate) = before {
            let candidate = self.execution(candidate);
            if candidate.priority.get() >= priority {
                break;
            }
            before = candidate.previous.get();
        }
        let Some(before) = before else {
            return self.push_first(queue, item);
        };
        let Some(after) = self.execution(before).next.get() else {
            return self.push_last(queue, item);
        };
        execution.previous.set(Some(before));
        execution.next.set(Some(after));
        self.execution(before).next.set(Some(item));
        self.execution(after).previous.set(Some(item));
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
