//! alike's rhythm: the pass, the index, the watcher and the worker.
//!
//! Floor 2. Start reading at [`mod@pass`], which is one page. See `DESIGN.md` for the map.

mod agenda;
mod batch;
pub mod chronicle;
mod crew;
mod deeds;
mod departures;
mod doubt;
pub mod error;
mod finish;
mod flushing;
pub mod hands;
pub mod history;
pub mod hold;
mod ignore_files;
pub mod index;
pub mod kept;
mod links;
mod marker;
mod mend;
pub mod monitor;
mod motion;
mod moves;
mod names;
pub mod pair;
pub mod pass;
mod place;
mod reach;
pub mod refusal;
mod rehearsing;
mod removal;
pub mod restore;
mod scope;
pub mod siblings;
pub mod stop;
pub mod trash;
mod undo;
pub mod undoing;
mod visit;
mod waiting;
mod walk;
pub mod watch;
mod whole;
pub mod worker;
