//! A wish to stop, seen by all threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A wish to stop. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    wished: Arc<AtomicBool>,
    above: Option<Arc<Self>>,
}

impl Stop {
    /// Wishes.
    pub fn set(&self) {
        self.wished.store(true, Ordering::Relaxed);
    }

    /// True once wished.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.wished.load(Ordering::Relaxed) || self.above.as_ref().is_some_and(|above| above.is_set())
    }

    /// A part of what is to stop, which may be stopped alone: it stops with this one, and this one does not with it.
    #[must_use]
    pub fn part(&self) -> Self {
        Self { wished: Arc::default(), above: Some(Arc::new(self.clone())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_stops_with_the_whole_and_the_whole_not_with_a_part() {
        let whole = Stop::default();
        let (one, other) = (whole.part(), whole.part());
        one.clone().set();
        assert!(one.is_set() && !other.is_set() && !whole.is_set());
        whole.clone().set();
        assert!(other.is_set() && other.part().is_set());
    }
}
