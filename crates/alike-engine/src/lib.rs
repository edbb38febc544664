//! alike's rhythm: the pass, the index, the watcher and the worker.
//!
//! Floor 2. Start reading at [`mod@pass`], which is one page. See `DESIGN.md` for the map.

mod agenda;
mod confined;
mod crew;
pub mod damage;
mod departures;
mod doubt;
pub mod error;
mod finish;
mod flushing;
mod hands;
mod ignore_files;
pub mod index;
mod links;
mod marker;
pub mod monitor;
mod moves;
mod names;
pub mod pair;
pub mod pass;
mod place;
pub mod refusal;
mod removal;
mod rows;
mod scope;
pub mod siblings;
pub mod stop;
mod visit;
mod waiting;
mod walk;
pub mod watch;
pub mod worker;
