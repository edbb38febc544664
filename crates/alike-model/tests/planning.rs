//! From findings to steps: what may be done at once, what waits, and what is left undone.

#![allow(clippy::unwrap_used)]

mod common;

use alike_model::compare::{Finding, Verdict};
use alike_model::entry::{Kind, Stamp, Unreadable};
use alike_model::event::Action;
use alike_model::known::{FolderId, Known};
use alike_model::plan::{FolderPlan, Horizon, Removal, Step, Verb, folder_meta, plan_folder};
use alike_model::policy::{Deletes, Policy};
use alike_model::reason::{AttrsDiff, Reason};
use alike_model::xattrs::{Xattrs, XattrsDiff};
use common::{known, name, path, replica, secs, source, stamp};

/// Nothing can have moved.
const NOTHING_MOVED: Horizon<'_> =
    Horizon { departed: None, indexed: None, filter_changed: false, was_left_out: &|_, _| false };

/// The index took things in at this moment; what moved is not known yet.
fn indexed_at(at: i64) -> Horizon<'static> {
    Horizon { indexed: Some(secs(at)), ..NOTHING_MOVED }
}

fn finding(verdict: Verdict, source: Option<Stamp>, replica: Option<Stamp>, known: Option<Known>) -> Finding {
    Finding { name: name("x"), source, replica, known, verdict }
}

fn plan(finding: Finding, horizon: Horizon<'_>) -> FolderPlan {
    plan_folder(vec![finding], &Policy::default(), horizon)
}

/// The only step, as its verb and reason.
fn step(plan: &FolderPlan) -> (Verb, String) {
    let [step] = plan.now.as_slice() else { panic!("one step, not {plan:?}") };
    (step.verb.clone(), step.reason.to_string())
}

#[test]
fn entries_and_files_of_the_source_are_counted_without_what_is_excluded() {
    let (file, folder) = (source(Kind::File), source(Kind::Folder));
    let there = Some(replica(Kind::File));
    let plan = plan_folder(
        vec![
            finding(Verdict::Missing, Some(file), None, None),
            finding(Verdict::Missing, Some(source(Kind::Symlink)), None, None),
            finding(Verdict::Folders, Some(folder), Some(replica(Kind::Folder)), None),
            finding(Verdict::Excluded, Some(file), there, None),
            finding(Verdict::Gone, None, there, None),
        ],
        &Policy::default(),
        NOTHING_MOVED,
    );
    assert_eq!((plan.entries, plan.files, plan.replica_entries), (3, 2, 3));
}

#[test]
fn each_verdict_comes_to_its_own_step() {
    let (here, there) = (source(Kind::File), replica(Kind::File));
    let both = |verdict| plan(finding(verdict, Some(here), Some(there), None), NOTHING_MOVED);
    let made = step(&plan(finding(Verdict::Missing, Some(here), None, None), NOTHING_MOVED));
    assert_eq!(made, (Verb::Create { source: here }, "new".to_owned()));
    let diff = AttrsDiff { mode: Some((0o600, 0o644)), ..AttrsDiff::default() };
    let set = step(&both(Verdict::Meta(diff)));
    assert_eq!(set, (Verb::Meta { source: here, replica: there }, "mode 600→644".to_owned()));
    let copied = step(&both(Verdict::Differs(Reason::Size(1, 2))));
    assert_eq!(copied, (Verb::Update { source: here, replica: there }, "size 1→2".to_owned()));
    let folder = source(Kind::Folder);
    let made = step(&plan(finding(Verdict::Missing, Some(folder), None, None), NOTHING_MOVED));
    assert_eq!(made, (Verb::Mkdir { source: folder, replaces: None }, "new".to_owned()));
}

#[test]
fn what_is_no_step_is_told_apart() {
    let (here, there) = (source(Kind::File), replica(Kind::File));
    let both = |verdict| plan(finding(verdict, Some(here), Some(there), None), NOTHING_MOVED);
    assert_eq!(both(Verdict::Same { proven: false }).learn, [(name("x"), here, there)]);
    assert_eq!(both(Verdict::Same { proven: true }).learn, []);
    let skipped = both(Verdict::Skip(Reason::ReplicaNewer));
    assert_eq!(skipped.skips, [(name("x"), Reason::ReplicaNewer)]);
    let held = both(Verdict::Hold(Reason::Content));
    assert_eq!(held.holds, [(name("x"), Reason::Content)]);
    let why = Unreadable("denied".to_owned());
    let unreadable = plan(finding(Verdict::Unreadable(why.clone()), None, None, None), NOTHING_MOVED);
    assert_eq!(unreadable.unreadable, [(name("x"), why)]);
    for plan in [both(Verdict::Same { proven: true }), skipped, held, unreadable, both(Verdict::Doubt)] {
        assert_eq!((plan.now, plan.removals, plan.arrivals), (vec![], vec![], vec![]));
    }
}

#[test]
fn the_index_forgets_what_is_nowhere_and_what_became_excluded() {
    let known = known(&source(Kind::File), &replica(Kind::File));
    let forgets =
        |verdict, known| !plan(finding(verdict, None, None, known), NOTHING_MOVED).forget.is_empty();
    assert!(forgets(Verdict::Forgotten, Some(known)));
    assert!(forgets(Verdict::Excluded, Some(known)));
    assert!(!forgets(Verdict::Excluded, None));
}

#[test]
fn a_folder_that_is_another_than_before_starts_afresh() {
    let (here, there) = (source(Kind::Folder), replica(Kind::Folder));
    let row = Known { folder: Some(FolderId(7)), ..known(&here, &there) };
    let descent = |source: Stamp| {
        let plan = plan(finding(Verdict::Folders, Some(source), Some(there), Some(row)), NOTHING_MOVED);
        plan.descents.into_iter().map(|descent| descent.known).next().unwrap()
    };
    assert_eq!(descent(here), Some(FolderId(7)));
    assert_eq!(descent(stamp(Kind::Folder, 9)), None);
}

#[test]
fn an_entry_of_another_kind_is_replaced_at_once_unless_it_is_a_folder() {
    let flip =
        |source, replica| plan(finding(Verdict::OtherKind, Some(source), Some(replica), None), NOTHING_MOVED);
    let (pipe, file, folder) = (replica(Kind::Fifo), source(Kind::File), source(Kind::Folder));
    let replaced = step(&flip(file, pipe));
    assert_eq!(replaced, (Verb::Update { source: file, replica: pipe }, "kind fifo→file".to_owned()));
    let replaced = step(&flip(folder, pipe));
    assert_eq!(
        replaced,
        (Verb::Mkdir { source: folder, replaces: Some(pipe) }, "kind fifo→folder".to_owned())
    );
    // What a folder holds would be deleted: that is judged first, and the file made after it.
    let waits = flip(file, replica(Kind::Folder));
    assert_eq!(waits.now, []);
    let then = Step {
        name: name("x"),
        verb: Verb::Create { source: file },
        reason: Reason::Kind(Kind::Folder, Kind::File),
    };
    let removal = Removal {
        name: name("x"),
        replica: replica(Kind::Folder),
        known: None,
        reason: Reason::Displaced(Kind::File),
        then: Some(Box::new(then)),
    };
    assert_eq!(waits.removals, [removal]);
}

/// Whether a name that the source lacks is proposed for deletion, or held.
fn removed(
    verdict: Verdict,
    known: Option<Known>,
    deletes: Deletes,
    filter_changed: bool,
) -> Result<(), Reason> {
    let finding = finding(verdict, None, Some(replica(Kind::File)), known);
    let policy = Policy { deletes, ..Policy::default() };
    let plan = plan_folder(vec![finding], &policy, Horizon { filter_changed, ..NOTHING_MOVED });
    match (plan.removals.as_slice(), plan.holds.as_slice()) {
        ([_], []) => Ok(()),
        ([], [(_, reason)]) => Err(reason.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_filter_left_out_before_it_changed_is_held_unless_a_person_allows_it() {
    let known = Some(known(&source(Kind::File), &replica(Kind::File)));
    let within = Deletes::default();
    assert_eq!(removed(Verdict::Gone, None, within, false), Ok(()));
    assert_eq!(removed(Verdict::Gone, None, within, true), Err(Reason::FilterChanged));
    assert_eq!(removed(Verdict::Gone, known, within, true), Ok(()));
    assert_eq!(removed(Verdict::Gone, None, Deletes::Allowed, true), Ok(()));
    // That what is excluded goes was asked for together with the filter.
    assert_eq!(removed(Verdict::ExcludedGoes, None, within, true), Ok(()));
    for verdict in [Verdict::Gone, Verdict::ExcludedGoes] {
        assert_eq!(removed(verdict, known, Deletes::Never, false), Err(Reason::DeletesOff));
    }
}

#[test]
fn why_something_goes_is_told() {
    let reason = |verdict| {
        let plan = plan(finding(verdict, None, Some(replica(Kind::File)), None), NOTHING_MOVED);
        plan.removals.into_iter().map(|removal| removal.reason).next()
    };
    assert_eq!(reason(Verdict::Gone), Some(Reason::Gone));
    assert_eq!(reason(Verdict::ExcludedGoes), Some(Reason::Excluded));
}

#[test]
fn names_of_an_inode_with_several_wait_for_the_others() {
    let several = Stamp { nlink: 2, ..source(Kind::File) };
    let linked = plan(finding(Verdict::Missing, Some(several), None, None), NOTHING_MOVED);
    assert_eq!((linked.now.len(), linked.linked.len()), (0, 1));
    assert_eq!(linked.linked[0].source, several);
}

fn arrives(finding: Finding, horizon: Horizon<'_>) -> bool {
    let plan = plan(finding, horizon);
    assert!(plan.arrivals.is_empty() || plan.now.is_empty(), "{plan:?}");
    !plan.arrivals.is_empty()
}

#[test]
fn what_was_born_after_the_index_last_took_anything_in_cannot_have_moved() {
    // Born at 50.
    let missing = || finding(Verdict::Missing, Some(source(Kind::File)), None, None);
    assert!(!arrives(missing(), NOTHING_MOVED));
    assert!(!arrives(missing(), indexed_at(49)));
    assert!(arrives(missing(), indexed_at(50)));
    assert!(arrives(missing(), indexed_at(51)));
    let ageless = Stamp { btime: None, ..source(Kind::File) };
    assert!(arrives(finding(Verdict::Missing, Some(ageless), None, None), indexed_at(0)));
}

#[test]
fn an_old_acquaintance_under_its_old_name_did_not_arrive() {
    let (here, there) = (source(Kind::File), replica(Kind::File));
    let known = known(&here, &there);
    assert!(!arrives(finding(Verdict::Missing, Some(here), None, Some(known)), indexed_at(60)));
    let differs = Verdict::Differs(Reason::Content);
    assert!(!arrives(finding(differs.clone(), Some(here), Some(there), Some(known)), indexed_at(60)));
    assert!(arrives(finding(differs, Some(here), Some(there), None), indexed_at(60)));
}

#[test]
fn folders_of_which_nothing_is_known_are_just_compared() {
    let (here, there) = (source(Kind::Folder), replica(Kind::Folder));
    assert!(!arrives(finding(Verdict::Folders, Some(here), Some(there), None), indexed_at(60)));
    let other = known(&stamp(Kind::Folder, 9), &there);
    assert!(arrives(finding(Verdict::Folders, Some(here), Some(there), Some(other)), indexed_at(60)));
}

#[test]
fn what_is_equal_may_have_moved_only_where_another_inode_took_the_name() {
    let (here, there) = (source(Kind::File), replica(Kind::File));
    let before = known(&stamp(Kind::File, 9), &there);
    let same = || Verdict::Same { proven: false };
    assert!(arrives(finding(same(), Some(here), Some(there), Some(before)), indexed_at(60)));
    assert!(!arrives(finding(same(), Some(here), Some(there), Some(known(&here, &there))), indexed_at(60)));
    assert!(!arrives(finding(same(), Some(here), Some(there), None), indexed_at(60)));
    let meta = Verdict::Meta(AttrsDiff { mode: Some((1, 2)), ..AttrsDiff::default() });
    assert!(arrives(finding(meta.clone(), Some(here), Some(there), Some(before)), indexed_at(60)));
    assert!(!arrives(finding(meta, Some(here), Some(there), None), indexed_at(60)));
    assert!(!arrives(finding(Verdict::Doubt, Some(here), Some(there), Some(before)), indexed_at(60)));
}

#[test]
fn who_is_displaced_is_the_replica_entry_that_the_index_knew_under_that_name() {
    let (here, there) = (source(Kind::File), replica(Kind::File));
    let displaced = |known: Known| {
        let differs = Verdict::Differs(Reason::Content);
        let plan = plan(finding(differs, Some(here), Some(there), Some(known)), indexed_at(60));
        plan.displaced.into_iter().map(|displaced| displaced.known).next()
    };
    let before = known(&stamp(Kind::File, 9), &there);
    assert_eq!(displaced(before), Some(before));
    assert_eq!(displaced(known(&here, &there)), None);
    assert_eq!(displaced(known(&stamp(Kind::File, 9), &stamp(Kind::File, 8))), None);
    assert_eq!(displaced(known(&stamp(Kind::Fifo, 9), &there)), None);
}

#[test]
fn once_all_is_seen_only_what_is_gone_from_elsewhere_arrives() {
    let (here, there) = (source(Kind::File), replica(Kind::File));
    let departed = |stamp: &Stamp| stamp.ino == 1;
    let seen = Horizon { departed: Some(&departed), ..indexed_at(0) };
    assert!(arrives(finding(Verdict::Missing, Some(here), None, None), seen));
    assert!(!arrives(finding(Verdict::Missing, Some(stamp(Kind::File, 3)), None, None), seen));
    assert!(!arrives(finding(Verdict::Missing, Some(here), None, Some(known(&here, &there))), seen));
}

fn verbs() -> [(Verb, Action, bool, bool); 8] {
    let (source, replica) = (source(Kind::File), replica(Kind::File));
    let replaces = Some(replica);
    [
        (Verb::Create { source }, Action::Create, true, false),
        (Verb::Update { source, replica }, Action::Update, true, true),
        (Verb::Meta { source, replica }, Action::Meta, true, true),
        (Verb::Mkdir { source, replaces }, Action::Mkdir, true, true),
        (Verb::Link { source, replaces, to: path("a") }, Action::Link, true, true),
        (Verb::Rename { source, replica, replaces: None, from: path("a") }, Action::Rename, true, false),
        (Verb::Delete { replica }, Action::Delete, false, true),
        (Verb::Rmdir { replica }, Action::Rmdir, false, true),
    ]
}

#[test]
fn each_verb_tells_its_word_what_it_copies_and_what_it_replaces() {
    for (verb, action, copies, replaces) in verbs() {
        assert_eq!(verb.action(), action);
        assert_eq!(verb.source(), copies.then_some(&source(Kind::File)), "{verb:?}");
        assert_eq!(verb.replaces(), replaces.then_some(&replica(Kind::File)), "{verb:?}");
    }
}

#[test]
fn a_folder_gets_a_step_of_its_own_only_when_its_attributes_differ() {
    let (here, there) = (source(Kind::Folder), replica(Kind::Folder));
    let step = |replica| {
        folder_meta(&name("x"), &here, replica, XattrsDiff::default(), &Policy::default())
            .map(|step| (step.name, step.verb, step.reason.to_string()))
    };
    assert_eq!(step(&there), None);
    let narrow = Stamp { mode: 0o700, ..there };
    let meta = Verb::Meta { source: here, replica: narrow };
    assert_eq!(step(&narrow), Some((name("x"), meta, "mode 700→644".to_owned())));
    let of = |value: &[u8]| Xattrs::new(vec![(b"user.a".to_vec(), value.to_vec())]);
    let differs = of(b"1").differ_from(&of(b"2"));
    let step = folder_meta(&name("x"), &here, &there, differs, &Policy::default()).unwrap();
    assert_eq!(step.reason.to_string(), "xattr user.a");
}
