//! How a path stands in the source and on the replica, and what leaves it out: a rule, or what was asked for.

use alike_model::entry::{Kind, Stamp};
use alike_model::filter::{Filter, Rule};
use alike_model::path::{OWN_FOLDER, RelPath};
use alike_model::policy::Policy;
use alike_storage::{Local, Result, Source};

use crate::ignore_files::read_ignore_files;
use crate::reach::Reach;

/// Something that is left out, and with it all that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The path, or a folder above it.
    pub at: RelPath,
    /// Why.
    pub cause: Cause,
}

/// Why something is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It is alike's own folder.
    Own,
    /// A pattern says so.
    Rule(Rule),
    /// A pipe, a socket or a device, and these are not wanted.
    Special,
    /// What is mounted there is another filesystem, and only the source's is wanted.
    OtherFilesystem,
}

/// What stands at a path of a tree; nothing, when a folder on the way is none.
///
/// # Errors
/// When that cannot be told.
pub fn look(tree: &Local, path: &RelPath) -> Result<Option<Stamp>> {
    Reach::new(tree)?.look(path)
}

/// What leaves a path out, if anything does. `is_folder`: what it was, where the source lacks it.
///
/// # Errors
/// When the source cannot be looked at.
pub fn left_out(
    source: &Local,
    (filter, policy): (&Filter, &Policy),
    (path, is_folder): (&RelPath, bool),
) -> Result<Option<LeftOut>> {
    let mut at = RelPath::root();
    let mut folder = Some(source.root()?);
    let mut filter = filter.clone();
    let mut device = source.stamp(&source.root()?)?.dev;
    let mut names = path.names().peekable();
    while let Some(name) = names.next() {
        if let Some(folder) = &folder {
            filter = read_ignore_files(source, folder, &filter, &|| at.clone())?.0;
        }
        let stamp = folder.as_ref().map(|folder| source.look(folder, &name)).transpose()?.flatten();
        let is_last = names.peek().is_none();
        let is_folder = match stamp {
            Some(stamp) => stamp.kind == Kind::Folder,
            None => !is_last || is_folder,
        };
        let here = at.join(&name);
        let is_own = at.is_root() && name.as_bytes() == OWN_FOLDER;
        let by_rule = || filter.why(&at, &name, is_folder).map(Cause::Rule);
        let by_flag = || match stamp? {
            stamp if stamp.kind.is_special() && !policy.special => Some(Cause::Special),
            stamp if policy.one_filesystem && !is_last && stamp.dev != device => Some(Cause::OtherFilesystem),
            _ => None,
        };
        let cause = if is_own { Some(Cause::Own) } else { by_rule().or_else(by_flag) };
        if let Some(cause) = cause {
            return Ok(Some(LeftOut { at: here, cause }));
        }
        device = stamp.map_or(device, |stamp| stamp.dev);
        let below = folder.filter(|_| stamp.is_some() && is_folder && !is_last);
        folder = below.map(|folder| source.open_folder(&folder, &name)).transpose()?;
        at = here;
    }
    Ok(None)
}
