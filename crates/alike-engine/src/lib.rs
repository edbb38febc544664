//! alike's rhythm: the pass, the index, the watcher and the worker.
//!
//! Floor 2. Start reading at [`mod@pass`], which is one page. See `DESIGN.md` for the map.

mod agenda;
mod batch;
mod crew;
mod deeds;
mod departures;
mod doubt;
pub mod error;
mod finish;
mod flushing;
pub mod hands;
pub mod history;
mod ignore_files;
pub mod index;
mod links;
mod marker;
pub mod monitor;
mod motion;
mod moves;
mod names;
pub mod pair;
pub mod pass;
mod place;
pub mod refusal;
mod rehearsing;
mod removal;
mod scope;
pub mod siblings;
pub mod stop;
pub mod trash;
mod visit;
mod waiting;
mod walk;
pub mod watch;
mod whole;
pub mod worker;
