//! What targets hold: times that are rounded as the kernel rounds them, and words for what is missing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use alike_model::entry::Time;
use alike_model::holds::{Holds, Times};
use alike_model::policy::Policy;
use alike_model::xattrs::{Namespace, Namespaces, Xattrs};
use proptest::prelude::*;

const SECOND: u32 = 1_000_000_000;

fn times() -> impl Strategy<Value = Times> {
    let grain = prop::sample::select(vec![1, 100, 1000, SECOND, 2 * SECOND]);
    (grain, any::<bool>()).prop_map(|(grain, narrow)| match narrow {
        true => Times { min: -100, max: 100, grain },
        false => Times { grain, ..Times::default() },
    })
}

proptest! {
    #[test]
    fn a_time_that_was_fitted_once_fits(times in times(), secs in -200..200_i64, nanos in 0..SECOND) {
        let fitted = times.fit(Time { secs, nanos });
        prop_assert_eq!(times.fit(fitted), fitted);
        prop_assert!((times.min..=times.max).contains(&fitted.secs));
    }

    #[test]
    fn a_fitted_time_is_never_later_nor_a_grain_earlier_within_the_range(times in times(), secs in -99..100_i64, nanos in 0..SECOND) {
        let time = Time { secs, nanos };
        let fitted = times.fit(time);
        prop_assert!(fitted <= time);
        prop_assert!(time < fitted.plus_millis(2 * times.grain.div_ceil(1_000_000) + 1));
    }
}

#[test]
fn a_target_without_limits_keeps_every_time() {
    for secs in [i64::MIN, -1, 0, i64::MAX] {
        let time = Time { secs, nanos: 999_999_999 };
        assert_eq!(Times::default().fit(time), time);
    }
}

#[test]
fn what_is_missing_is_said_only_of_what_is_wanted() {
    let bare = Holds {
        owner: false,
        modes: false,
        devices: false,
        xattrs: Namespaces::NONE.with(Namespace::User),
        times: Times { min: -(1 << 31), max: (1 << 31) - 1, grain: SECOND },
    };
    assert_eq!(
        bare.lacks(&Policy::default()).join(", "),
        "owner, modes, trusted attributes, security attributes, file capabilities, ACLs, device nodes, \
         times before 1901 and after 2038, times finer than 1 s"
    );
    let modest =
        Policy { owner: false, xattrs: Namespaces::NONE, special: false, ..Policy::default() }.within(&bare);
    assert_eq!(
        bare.lacks(&modest).join(", "),
        "modes, times before 1901 and after 2038, times finer than 1 s"
    );
    assert!(Holds::default().lacks(&Policy::default()).is_empty());
}

#[test]
fn attributes_that_belong_to_one_filesystem_or_inode_are_not_copied() {
    for name in
        ["btrfs.compression", "system.nfs4_acl", "security.evm", "trusted.SGI_ACL_FILE", "user", "odd"]
    {
        assert!(!Namespaces::ALL.copy(name.as_bytes()), "{name}");
    }
    for name in ["user.", "user.a", "trusted.a", "security.capability", "system.posix_acl_default"] {
        assert!(Namespaces::ALL.copy(name.as_bytes()), "{name}");
    }
}

#[test]
fn every_attribute_that_differs_is_named_and_no_name_forges_a_line() {
    let of =
        |all: &[(&[u8], &[u8])]| Xattrs::new(all.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect());
    let replica = of(&[(b"user.same", b"1"), (b"user.old", b"1"), (b"user.extra\n\x1b[0m", b"")]);
    let source = of(&[(b"user.same", b"1"), (b"user.old", b"2"), (b"user.new", b""), (b"user.newer", b"")]);
    let shown = replica.differ_from(&source).to_string();
    assert_eq!(shown, "xattr user.extra\\n\\x1b[0m, xattr user.new, xattr user.newer and 1 more");
    assert!(source.differ_from(&source).is_empty());
}
