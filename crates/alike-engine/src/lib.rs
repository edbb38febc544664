//! alike's rhythm: the pass, the index, the watcher and the worker.
//!
//! Floor 2. Start reading at [`mod@pass`], which is one page. See `DESIGN.md` for the map.

mod agenda;
pub mod beside;
pub mod check;
mod crew;
mod departures;
mod doubt;
pub mod error;
mod examine;
mod finish;
mod flushing;
mod found;
mod hands;
mod ignore_files;
pub mod index;
pub mod learnt;
mod links;
mod marker;
pub mod monitor;
mod moves;
mod names;
pub mod pace;
pub mod pair;
pub mod pass;
mod place;
mod reading;
pub mod refusal;
mod removal;
pub mod repair;
mod scope;
mod scrub;
pub mod siblings;
pub mod stop;
mod survey;
mod visit;
mod waiting;
mod walk;
pub mod watch;
pub mod worker;
