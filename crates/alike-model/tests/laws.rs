//! The laws of the deciding code, over generated folders.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use alike_model::compare::{Contents, Finding, Look, Verdict, compare_folder};
use alike_model::dirty::{Dirty, Extent};
use alike_model::entry::{Entry, Kind, Stamp, Time, Unreadable};
use alike_model::guard::{Judgement, Proposal, judge};
use alike_model::known::{Known, Row};
use alike_model::path::{Escaped, Name, RelPath};
use alike_model::plan::{FolderPlan, Horizon, plan_folder};
use alike_model::policy::{Compare, Deletes, MaxDelete, Policy};
use alike_model::xattrs::{Namespaces, XattrsDiff};
use proptest::prelude::*;

fn name() -> impl Strategy<Value = Name> {
    prop::sample::select(vec!["a", "b", "c", "dd", "é", "\n"])
        .prop_map(|text| Name::new(text.as_bytes()).unwrap())
}

fn time() -> impl Strategy<Value = Time> {
    (0..3_i64, 0..2_u32).prop_map(|(secs, nanos)| Time { secs, nanos })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::File, Kind::Folder, Kind::Symlink, Kind::Fifo])
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (
        kind(),
        1..6_u64,
        0..3_u64,
        prop::sample::select(vec![0o600_u32, 0o644]),
        0..2_u32,
        time(),
        time(),
        time(),
    )
        .prop_map(|(kind, ino, size, mode, uid, mtime, ctime, btime)| Stamp {
            kind,
            dev: 1,
            ino,
            size,
            blocks: 8,
            nlink: 1,
            mode,
            uid,
            gid: 0,
            rdev: 0,
            mtime,
            ctime,
            btime: Some(btime),
        })
}

/// A folder's entries by name; a look fails now and then.
fn folder() -> impl Strategy<Value = Vec<Entry>> {
    let look = prop_oneof![9 => stamp().prop_map(Ok), 1 => Just(Err(Unreadable("denied".to_owned())))];
    prop::collection::btree_map(name(), look, 0..6)
        .prop_map(|all: BTreeMap<_, _>| all.into_iter().map(|(name, look)| Entry { name, look }).collect())
}

fn readable(entries: &[Entry]) -> Vec<Entry> {
    entries.iter().filter(|entry| entry.look.is_ok()).cloned().collect()
}

/// What the index would hold if both sides were proven equal while they looked like this.
fn row_of(source: &[Entry], replica: &[Entry]) -> Row {
    let entries = source.iter().filter_map(|entry| {
        let there = replica.iter().find(|other| other.name == entry.name)?;
        let (Ok(source), Ok(replica)) = (&entry.look, &there.look) else { return None };
        Some((entry.name.clone(), Known::equal(source, false, replica, None)))
    });
    Row { filter: 0, xattrs: Namespaces::ALL, entries: entries.collect() }
}

fn policy() -> impl Strategy<Value = Policy> {
    let deletes = prop::sample::select(vec![Deletes::default(), Deletes::Allowed, Deletes::Never]);
    let compare =
        prop::sample::select(vec![Compare::Auto, Compare::Newer, Compare::Content(Default::default())]);
    (deletes, compare, any::<bool>()).prop_map(|(deletes, compare, owner)| Policy {
        deletes,
        compare,
        owner,
        ..Policy::default()
    })
}

fn findings(source: &[Entry], replica: &[Entry], row: &Row, policy: &Policy) -> Vec<Finding> {
    compare_folder(source, replica, row, policy, |_, _| false)
}

fn plan(source: &[Entry], replica: &[Entry], row: &Row, policy: &Policy, contents: Contents) -> FolderPlan {
    let look = Look { contents, xattrs: XattrsDiff::default() };
    let settled =
        findings(source, replica, row, policy).into_iter().map(|found| found.settle(look.clone(), policy));
    plan_folder(
        settled.collect(),
        policy,
        Horizon { departed: None, indexed: None, filter_changed: false, was_left_out: &|_, _| false },
    )
}

fn does_nothing(plan: &FolderPlan) -> bool {
    plan.now.is_empty()
        && plan.arrivals.is_empty()
        && plan.removals.is_empty()
        && plan.skips.is_empty()
        && plan.holds.is_empty()
}

proptest! {
    #[test]
    fn comparing_a_folder_with_itself_plans_nothing(entries in folder(), policy in policy()) {
        let entries = readable(&entries);
        for row in [Row::default(), row_of(&entries, &entries)] {
            prop_assert!(does_nothing(&plan(&entries, &entries, &row, &policy, Contents::Equal)));
        }
    }

    #[test]
    fn what_the_index_proved_equal_and_nobody_touched_needs_no_look_at_contents(entries in folder()) {
        let entries = readable(&entries);
        let found = findings(&entries, &entries, &row_of(&entries, &entries), &Policy::default());
        let is_quiet = |found: &Finding| matches!(found.verdict, Verdict::Same { proven: true } | Verdict::Folders);
        prop_assert!(found.iter().all(is_quiet));
    }

    #[test]
    fn without_an_index_no_file_is_taken_for_equal_unseen(source in folder(), replica in folder()) {
        for found in findings(&source, &replica, &Row::default(), &Policy::default()) {
            let is_file = found.source.is_some_and(|stamp| matches!(stamp.kind, Kind::File | Kind::Symlink));
            let is_trusted = matches!(found.verdict, Verdict::Same { .. } | Verdict::Meta(_));
            prop_assert!(!(is_file && is_trusted));
        }
    }

    #[test]
    fn a_change_of_ctime_alone_is_never_taken_for_equal_unseen(entries in folder(), at in any::<prop::sample::Index>()) {
        let mut source = readable(&entries);
        let replica = source.clone();
        let row = row_of(&source, &replica);
        let files: Vec<usize> =
            (0..source.len()).filter(|at| source[*at].look.as_ref().is_ok_and(|look| look.kind == Kind::File)).collect();
        prop_assume!(!files.is_empty());
        let at = files[at.index(files.len())];
        source[at].look.as_mut().unwrap().ctime.secs += 1;
        let found = findings(&source, &replica, &row, &Policy::default());
        prop_assert_eq!(&found[at].verdict, &Verdict::Doubt);
    }

    #[test]
    fn nothing_that_cannot_be_looked_at_is_deleted_or_overwritten(
        source in folder(), replica in folder(), row in (folder(), folder()), policy in policy(),
    ) {
        let plan = plan(&source, &replica, &row_of(&row.0, &row.1), &policy, Contents::Different);
        for entry in source.iter().chain(&replica).filter(|entry| entry.look.is_err()) {
            prop_assert!(plan.now.iter().all(|step| step.name != entry.name));
            prop_assert!(plan.removals.iter().all(|removal| removal.name != entry.name));
            prop_assert!(plan.arrivals.iter().all(|arrival| arrival.name != entry.name));
            prop_assert!(plan.unreadable.iter().any(|(name, _)| *name == entry.name));
        }
    }

    #[test]
    fn with_deletions_off_no_plan_deletes(source in folder(), replica in folder(), row in (folder(), folder())) {
        let policy = Policy { deletes: Deletes::Never, ..Policy::default() };
        let plan = plan(&source, &replica, &row_of(&row.0, &row.1), &policy, Contents::Different);
        prop_assert!(plan.removals.is_empty());
    }

    #[test]
    fn only_what_the_source_lacks_or_has_as_another_kind_is_ever_removed(
        source in folder(), replica in folder(), row in (folder(), folder()), policy in policy(),
    ) {
        let plan = plan(&source, &replica, &row_of(&row.0, &row.1), &policy, Contents::Different);
        for removal in &plan.removals {
            let there = source.iter().find(|entry| entry.name == removal.name);
            let other_kind = there.and_then(|entry| entry.look.as_ref().ok()).is_some_and(|look| look.kind != removal.replica.kind);
            prop_assert!(there.is_none() || (other_kind && removal.replica.kind == Kind::Folder));
        }
    }

    #[test]
    fn the_same_folders_give_the_same_plan(source in folder(), replica in folder(), policy in policy()) {
        let row = row_of(&source, &replica);
        let once = plan(&source, &replica, &row, &policy, Contents::Different);
        prop_assert_eq!(once, plan(&source, &replica, &row, &policy, Contents::Different));
    }

    #[test]
    fn dirt_only_grows_coarser(marks in prop::collection::vec((0..4_usize, 0..3_usize, name()), 1..40)) {
        let folders = ["", "a", "a/b", "c"].map(|path| RelPath::parse(path.as_bytes()).unwrap());
        let mut dirty = Dirty::new();
        for (folder, how, name) in &marks {
            match how {
                0 => dirty.mark_name(folders[*folder].clone(), name.clone()),
                1 => dirty.mark(folders[*folder].clone(), Extent::Folder),
                _ => dirty.mark(folders[*folder].clone(), Extent::Subtree),
            }
        }
        let kept = dirty.into_folders();
        for (folder, how, name) in &marks {
            let folder = &folders[*folder];
            let covered = kept.iter().any(|(at, extent)| match extent {
                Extent::Subtree => folder.is_within(at),
                Extent::Folder => folder == at && *how < 2,
                Extent::Names(names) => folder == at && *how == 0 && names.contains(name),
            });
            prop_assert!(covered, "{:?} {} {:?} fell out of {:?}", folder, how, name, kept);
        }
    }

    #[test]
    fn no_name_shown_sends_a_control_character_or_breaks_a_line(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let shown = Escaped(&bytes).to_string();
        let unsafe_char = |ch: char| ch.is_control() || ('\u{2028}'..='\u{202e}').contains(&ch);
        prop_assert!(!shown.chars().any(unsafe_char), "{:?}", shown);
    }

    #[test]
    fn the_guard_lets_nothing_over_its_limit_pass(deletions in 0..2000_u64, entries in 0..2000_u64, percent in 0..=100_u8) {
        let policy = Policy { deletes: Deletes::Within(MaxDelete::Percent(percent)), ..Policy::default() };
        let go = judge(Proposal { deletions, replica_entries: entries }, &policy) == Judgement::Go;
        let over = deletions >= MaxDelete::ALWAYS_FINE && deletions * 100 > entries * u64::from(percent);
        prop_assert_eq!(go, !over);
    }
}

#[test]
fn a_limit_is_read_as_a_share_or_a_number_and_nothing_else() {
    assert_eq!("50%".parse::<MaxDelete>().unwrap(), MaxDelete::Percent(50));
    assert_eq!("1000".parse::<MaxDelete>().unwrap(), MaxDelete::Entries(1000));
    for bad in ["", "%", "101%", "-1", "ten", "1k"] {
        assert!(bad.parse::<MaxDelete>().is_err(), "{bad:?}");
    }
}
