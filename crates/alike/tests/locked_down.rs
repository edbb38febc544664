//! The rights that the systemd unit leaves to alike are enough, and each of them is needed.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use alike_testkit::{Leave, Pair, compare_but, root_or_say};
use common::{nothing_to_do, pair};

const UNIT: &str = include_str!("../../../packaging/alike@.service");

/// Neither is needed for what a tree holds: the one spares a call, the other is for sources that are being written to.
const FOR_COMFORT: [&str; 2] = ["dac_read_search", "lease"];

/// The capabilities of the unit as setpriv names them.
fn rights() -> Vec<String> {
    let line = UNIT.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
    line.split_whitespace().map(|name| name.strip_prefix("CAP_").unwrap().to_lowercase()).collect()
}

/// A pair with everything in it, and a program that nobody of ours owns; what alike does there, it does with these rights alone.
fn under(rights: &[String]) -> Pair {
    let mut pair = pair();
    pair.source.everything().file("tool", "#!").owner("tool", 12, 13).mode("tool", 0o6755);
    let set = rights.iter().map(|right| format!(",+{right}")).collect::<String>();
    pair.alike.run_after(&format!(
        "exec setpriv --bounding-set=-all{set} --inh-caps=-all --no-new-privs \"$0\" \"$@\""
    ));
    pair
}

/// What differs, but for what the unit says is not copied under it.
fn differences(pair: &Pair) -> Vec<String> {
    let mut all = compare_but(pair.source.top(), pair.replica.top(), &[Leave::Xattrs]);
    for (name, attribute) in [("capable", "security.capability"), ("file", "user.alike"), ("", "user.alike")]
    {
        if !pair.replica.has(name) {
            continue;
        }
        let (one, other) = (pair.source.xattr_of(name, attribute), pair.replica.xattr_of(name, attribute));
        if one != other {
            all.push(format!("{name}: {attribute} {one:?}, {other:?}"));
        }
    }
    all
}

#[test]
fn what_the_unit_leaves_is_enough_for_everything_that_it_promises() {
    if !root_or_say("capabilities") {
        return;
    }
    let pair = under(&rights());
    for day in 0..2 {
        if day == 1 {
            pair.source.everything_edited();
        }
        let run = pair.once();
        run.expect(0).expect_message_with("trusted attributes, security attributes");
        assert_eq!(differences(&pair), [""; 0], "{}", run.report());
    }
    nothing_to_do(&pair);
}

#[test]
fn without_any_one_right_of_the_unit_something_is_left_undone() {
    if !root_or_say("capabilities") {
        return;
    }
    for one in rights().iter().filter(|right| !FOR_COMFORT.contains(&right.as_str())) {
        let left: Vec<String> = rights().into_iter().filter(|right| right != one).collect();
        let pair = under(&left);
        pair.once();
        assert_ne!(differences(&pair), [""; 0], "{one} is not needed: take it out of the unit");
    }
}
