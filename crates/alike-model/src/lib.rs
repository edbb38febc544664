//! alike's words and decisions.
//!
//! Floor 0: pure. It takes values and returns values; no I/O, no clock, no async. See `DESIGN.md` for the map.

pub mod compare;
mod dialect;
pub mod difference;
pub mod dirty;
pub mod entry;
pub mod event;
pub mod failures;
pub mod filter;
pub mod guard;
pub mod holds;
pub mod known;
pub mod links;
pub mod outcome;
pub mod past;
pub mod path;
pub mod pattern;
pub mod plan;
pub mod policy;
pub mod reason;
pub mod xattrs;
