//! Recognises moves: an inode that is gone from one name and stands under another.

use std::collections::HashMap;

use crate::entry::{Identity, Kind};

/// Pairs each arrival with the departure of the same inode and kind. Of several departures of one inode the first
/// counts. Order is kept. Returns the pairs, the arrivals left over and the departures left over.
#[must_use]
pub fn pair_up<A, D>(
    arrivals: Vec<(Identity, Kind, A)>,
    departures: Vec<(Identity, Kind, D)>,
) -> (Vec<(A, D)>, Vec<A>, Vec<D>) {
    let mut wanted: HashMap<(Identity, Kind), usize> = HashMap::new();
    for (at, (identity, kind, _)) in arrivals.iter().enumerate() {
        wanted.entry((*identity, *kind)).or_insert(at);
    }
    let mut found: HashMap<usize, D> = HashMap::new();
    let mut gone = Vec::new();
    for (identity, kind, departure) in departures {
        match wanted.remove(&(identity, kind)) {
            Some(at) => {
                found.insert(at, departure);
            }
            None => gone.push(departure),
        }
    }
    let (mut pairs, mut new) = (Vec::new(), Vec::new());
    for (at, (_, _, arrival)) in arrivals.into_iter().enumerate() {
        match found.remove(&at) {
            Some(departure) => pairs.push((arrival, departure)),
            None => new.push(arrival),
        }
    }
    (pairs, new, gone)
}
