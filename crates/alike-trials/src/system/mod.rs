//! The system-call border of the trials: the filter a tool runs under, and the few calls that Rust has no word for.

#![allow(unsafe_code)]

mod filter;
mod listener;
mod mapping;
mod power;

pub use filter::start;
pub use listener::{Listener, Notice, Waited};
pub use mapping::rewrite_by_mapping;
pub use power::{Cut, cut_power};
