//! Threads that share a stack of tasks. Last in, first out, so that a tree is walked in depth and the stack stays short.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The shared stack.
pub(crate) struct Tasks<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    stack: Vec<T>,
    busy: usize,
}

impl<T: Send> Tasks<T> {
    /// Adds tasks; the first of them is taken first.
    pub(crate) fn push(&self, tasks: impl DoubleEndedIterator<Item = T>) {
        let mut state = self.lock();
        let before = state.stack.len();
        state.stack.extend(tasks.rev());
        if state.stack.len() > before {
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a task; `None` when none is left and none can come.
    fn next(&self, had_one: bool) -> Option<T> {
        let mut state = self.lock();
        state.busy -= usize::from(had_one);
        loop {
            if let Some(task) = state.stack.pop() {
                state.busy += 1;
                return Some(task);
            }
            if state.busy == 0 {
                self.changed.notify_all();
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self, work: &(impl Fn(T, &Self) + Sync)) {
        let mut had_one = false;
        while let Some(task) = self.next(had_one) {
            work(task, self);
            had_one = true;
        }
    }
}

/// Does all `first` tasks and those they add, on up to `threads` threads; the caller's is one of them.
///
/// A few tasks are done by the caller alone: starting a thread costs more than visiting a folder.
pub(crate) fn run<T: Send>(threads: usize, first: Vec<T>, work: impl Fn(T, &Tasks<T>) + Sync) {
    const WORTH_A_THREAD: usize = 4;
    let tasks = Tasks { state: Mutex::new(State { stack: Vec::new(), busy: 0 }), changed: Condvar::new() };
    tasks.push(first.into_iter());
    std::thread::scope(|scope| {
        let mut helpers = threads.saturating_sub(1);
        let mut had_one = false;
        while let Some(task) = tasks.next(had_one) {
            if helpers > 0 && tasks.lock().stack.len() >= WORTH_A_THREAD {
                for _ in 0..helpers {
                    scope.spawn(|| tasks.work(&work));
                }
                helpers = 0;
            }
            work(task, &tasks);
            had_one = true;
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_task_is_done_once_also_those_that_tasks_add() {
        for threads in [1, 2, 5] {
            let done = AtomicUsize::new(0);
            super::run(threads, vec![6_usize], |depth, tasks| {
                done.fetch_add(1, Ordering::Relaxed);
                if depth > 0 {
                    tasks.push((0..3).map(|_| depth - 1));
                }
            });
            // 3^0 + 3^1 + ... + 3^6
            assert_eq!(done.into_inner(), 1093, "with {threads} threads");
        }
    }
}
