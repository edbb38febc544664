//! A symlink on the replica is an entry, never a way out of it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use alike_testkit::{Pair, Snapshot, Tree};
use common::{SOON, pair, pair_with_files};

/// A folder outside both trees that must stay as it is.
struct Outside {
    tree: Tree,
    before: Snapshot,
}

impl Outside {
    fn beside(pair: &Pair) -> Self {
        let tree = Tree::make(pair.beside("outside"));
        tree.file("file", "precious").file("folder/file", "precious").file("sub/file-000", "precious");
        tree.file("file-000", "precious").mtime("file", 1_000_000_000, 1);
        let before = Snapshot::of(tree.top());
        Self { tree, before }
    }

    #[track_caller]
    fn untouched(&self, context: &str) {
        assert_eq!(self.before.changes(&Snapshot::of(self.tree.top())), [""; 0], "{context}");
    }
}

#[test]
fn a_planted_link_in_place_of_a_folder_is_not_followed() {
    let pair = pair_with_files(20);
    let outside = Outside::beside(&pair);
    pair.mirrored();
    pair.replica.remove("even").symlink("even", outside.tree.top());
    pair.source.file("even/file-000", "edited").file("even/new", "x").mode("even", 0o700);
    let run = pair.mirrored();
    outside.untouched(&run.report());
}

#[test]
fn a_planted_link_in_place_of_a_file_is_not_written_through() {
    let pair = pair_with_files(4);
    let outside = Outside::beside(&pair);
    pair.mirrored();
    pair.replica.remove("even/file-000").symlink("even/file-000", outside.tree.path("file"));
    pair.mirrored();
    outside.untouched("unchanged source");
    pair.replica.remove("even/file-000").symlink("even/file-000", outside.tree.path("file"));
    pair.source.file("even/file-000", "edited").mode("even/file-000", 0o600);
    pair.mirrored();
    outside.untouched("edited source");
}

#[test]
fn a_planted_link_is_removed_and_what_it_names_stays() {
    let pair = pair_with_files(4);
    let outside = Outside::beside(&pair);
    pair.mirrored();
    pair.replica.symlink("extra", outside.tree.top()).symlink("even/extra", outside.tree.path("file"));
    pair.mirrored();
    outside.untouched("links removed");
    assert!(!pair.replica.has("extra"));
}

#[test]
fn a_folder_removed_from_the_source_whose_replica_is_a_link_takes_nothing_with_it() {
    let pair = pair_with_files(20);
    let outside = Outside::beside(&pair);
    pair.source.file("folder/file", "x").file("folder/sub/file", "x");
    pair.mirrored();
    pair.replica.remove("folder").symlink("folder", outside.tree.top());
    pair.source.remove("folder");
    pair.mirrored();
    outside.untouched("the folder went");
}

#[test]
fn a_first_pass_over_planted_links_stays_inside() {
    let pair = pair_with_files(4);
    let outside = Outside::beside(&pair);
    pair.replica.folder("").symlink("even", outside.tree.top()).symlink("odd", "../outside/folder");
    pair.mirrored();
    outside.untouched("first pass");
}

#[test]
fn a_link_in_the_source_is_copied_as_a_link() {
    let pair = pair_with_files(4);
    let outside = Outside::beside(&pair);
    pair.source.symlink("away", outside.tree.top()).symlink("even/away", outside.tree.path("file"));
    pair.mirrored();
    outside.tree.file("folder/file", "edited");
    let run = pair.mirrored_with(&["--json"]);
    assert_eq!(
        common::steps(&common::events(&run)),
        [""; 0],
        "what a link names is none of alike's business"
    );
}

#[test]
fn a_move_into_or_out_of_a_planted_link_stays_inside() {
    let pair = pair_with_files(20);
    let outside = Outside::beside(&pair);
    pair.source.file("target/stays", "x").file("origin/file", "moves");
    pair.mirrored();
    pair.replica.remove("target").symlink("target", outside.tree.top());
    pair.source.rename("even/file-000", "target/file-000");
    pair.mirrored();
    outside.untouched("into");
    pair.replica.remove("origin").symlink("origin", outside.tree.top());
    pair.source.rename("origin/file", "even/file");
    pair.mirrored();
    outside.untouched("out of");
}

#[test]
fn alikes_own_folder_planted_as_a_link_is_not_followed() {
    let pair = pair_with_files(4);
    let outside = Outside::beside(&pair);
    pair.replica.folder("").symlink(".alike", outside.tree.top());
    let run = pair.once();
    outside.untouched(&run.report());
    run.expect_one_of(&[0, 1, 3]);
    assert!(run.code != Some(0) || pair.differences().is_empty(), "{}", run.report());
}

#[test]
fn folders_inside_alikes_own_folder_planted_as_links_are_not_followed() {
    let pair = pair_with_files(20);
    let outside = Outside::beside(&pair);
    pair.mirrored();
    let inside: Vec<_> =
        std::fs::read_dir(pair.replica.path(".alike")).unwrap().map(|e| e.unwrap().path()).collect();
    let mut planted = vec!["trash".into(), "staging".into(), "stage".into(), "tmp".into()];
    planted
        .extend(inside.iter().filter(|path| path.is_dir()).map(|path| path.file_name().unwrap().to_owned()));
    for name in planted {
        let path = std::path::Path::new(".alike").join(name);
        pair.replica.remove(&path).symlink(&path, outside.tree.top());
    }
    pair.source.file("even/file-000", "edited").file("new", "x").remove("odd/file-001");
    let run = pair.once();
    outside.untouched(&run.report());
    assert!(run.code != Some(0) || pair.differences().is_empty(), "{}", run.report());
}

#[test]
fn a_replica_given_as_a_link_is_the_folder_it_names() {
    let pair = pair_with_files(4);
    let folder = Tree::make(pair.beside("the real folder"));
    std::os::unix::fs::symlink(folder.top(), pair.replica.top()).unwrap();
    pair.mirrored();
    assert!(std::fs::symlink_metadata(pair.replica.top()).unwrap().is_symlink());
    assert!(folder.has("even/file-000"));
}

#[test]
fn a_folder_swapped_for_a_link_while_mirroring_is_not_followed() {
    let pair = pair();
    for i in 0..20 {
        pair.source.file(format!("sub/file-{i:03}"), "x");
    }
    let outside = Outside::beside(&pair);
    let mut live = pair.mirror_with(&["--interval", "1"]);
    live.wait_identical(SOON);
    for round in 0..10 {
        pair.replica.remove("sub").symlink("sub", outside.tree.path("sub"));
        pair.source.file("sub/file-000", format!("round {round}")).file(format!("sub/new-{round}"), "x");
        live.wait_identical(SOON);
    }
    live.stop();
    outside.untouched("live");
}
