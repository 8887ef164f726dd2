use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use proptest::prelude::*;

use super::table::{Place, WAYS};
use super::*;
use crate::access::{Decision, Explanation, PolicyType, StatementRef};

fn get(cache: &DecisionCache, key: &str) -> Option<Outcome> {
    cache.get(&cache.key(key.as_bytes()))
}

fn insert(cache: &DecisionCache, key: impl AsRef<[u8]>, outcome: &Outcome) {
    cache.insert(&cache.key(key.as_ref()), outcome);
}

fn plain(decision: Decision) -> Outcome {
    Outcome { decision, decided_by: PolicyType::Identity, explanation: None }
}

/// An outcome that says which key it belongs to and which of its inserts it is.
fn told(key: &str, round: u32) -> Outcome {
    let statement = StatementRef {
        policy_type: PolicyType::Identity,
        policy: "arn:aws:iam::123456789012:policy/p".into(),
        index: round,
        sid: key.into(),
        file: "p.json".into(),
        line: 1,
        column: 1,
    };
    let explanation = Explanation { statements: vec![statement], missing_context_keys: Vec::new() };
    Outcome { decision: Decision::Allow, decided_by: PolicyType::Identity, explanation: Some(Arc::new(explanation)) }
}

/// Small numbers that differ from thread to thread and from round to round, the same in every run.
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(seed * 2 + 1), |n| Some(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1)))
        .map(|n| n >> 33)
}

/// The counters say what stands in the table.
#[track_caller]
fn assert_counted(cache: &DecisionCache) {
    let entries = cache.table.entries();
    let bytes: usize = entries.iter().map(entry::held_bytes).sum();
    assert_eq!(cache.entries(), entries.len());
    assert_eq!(cache.bytes(), cache.table.bytes() + bytes);
    assert!(cache.bytes() <= cache.budget_bytes);
}

#[test]
fn what_was_remembered_is_found_and_nothing_else() {
    let cache = DecisionCache::new(1 << 20);
    assert!(cache.is_enabled());
    let keys: Vec<String> = (0..500).map(|n| format!("key {n}")).collect();
    for key in &keys {
        assert_eq!(get(&cache, key), None);
        insert(&cache, key, &told(key, 0));
    }
    // A set of six gets five keys on an average of one and less in 1 of 10,000 cases: next to nothing is lost.
    let found = keys.iter().filter(|key| get(&cache, key) == Some(told(key, 0))).count();
    assert!(found >= 490, "{found}");
    assert_eq!(found, cache.entries());
    assert_counted(&cache);
}

#[test]
fn a_budget_of_nothing_turns_it_off() {
    let cache = DecisionCache::new(0);
    assert!(!cache.is_enabled());
    insert(&cache, "key", &plain(Decision::Allow));
    assert_eq!(get(&cache, "key"), None);
    assert_eq!((cache.entries(), cache.evictions(), cache.bytes()), (0, 0, 0));
    assert_eq!(cache.table.allocated_sets(), 0);
}

#[test]
fn budgets_of_every_size_are_kept() {
    for budget in (1..4000).step_by(7) {
        let cache = DecisionCache::new(budget);
        for n in 0..20 {
            let key = format!("key {n}");
            insert(&cache, &key, &plain(Decision::Allow));
            assert!(cache.bytes() <= budget, "{budget}");
        }
        assert_eq!(cache.entries() > 0, cache.table.allocated_sets() > 0);
    }
}

#[test]
fn an_unused_cache_takes_next_to_nothing_and_grows_with_use() {
    let cache = DecisionCache::new(64 << 20);
    assert_eq!(cache.table.allocated_sets(), 0);
    insert(&cache, "key", &plain(Decision::Allow));
    assert_eq!(cache.table.allocated_sets(), 256);
    assert!(cache.table.bytes() < (64 << 20) / 15);
}

/// The next snapshot's cache does not have to move what it is given as its table grows.
#[test]
fn a_successor_is_empty_and_has_grown_as_far_as_it_is_used() {
    let (few, many) = (DecisionCache::new(64 << 20), DecisionCache::new(64 << 20));
    insert(&few, "key 1", &plain(Decision::Allow));
    (0..20_000).for_each(|n| insert(&many, format!("key {n}"), &plain(Decision::Allow)));
    let sets = [&few, &many].map(|cache| {
        let next = cache.successor();
        assert_eq!((get(&next, "key 1"), next.entries(), next.table.allocated_sets()), (None, 0, 0));
        assert_eq!(next.bytes(), DecisionCache::new(64 << 20).bytes());
        next.table.set_count()
    });
    assert_eq!(sets, [256, many.entries().div_ceil(2)]);
    let place = few.successor().key(b"key 1").place();
    assert_eq!(few.get(&Key::at(place, b"key 1")), Some(plain(Decision::Allow)));
    assert!(!DecisionCache::new(0).successor().is_enabled());
}

#[test]
fn a_full_cache_uses_its_budget_and_keeps_it() {
    let budget = 256 << 10;
    let cache = DecisionCache::new(budget);
    let outcomes = [plain(Decision::Allow), told("key", 0)];
    for (n, size) in numbers(1).take(20_000).enumerate() {
        let key = format!("{n}{}", "k".repeat(usize::try_from(size % 600).unwrap()));
        // Where there is no room, the first time is not enough.
        insert(&cache, &key, &outcomes[n % 2]);
        insert(&cache, &key, &outcomes[n % 2]);
        assert!(cache.bytes() <= budget);
    }
    assert!(cache.bytes() > budget * 9 / 10, "{cache:?}");
    assert!(cache.evictions() > 10_000, "{cache:?}");
    assert_counted(&cache);
}

fn long_key(n: u64) -> String {
    format!("{n}{}", "k".repeat(300))
}

fn insert_long(cache: &DecisionCache, n: u64) {
    insert(cache, long_key(n), &plain(Decision::Allow));
}

/// One that has no room for another key.
fn full_cache() -> DecisionCache {
    let cache = DecisionCache::new(1 << 20);
    (0..4_000).for_each(|n| insert_long(&cache, n));
    cache
}

/// A hundred thousand keys that are asked for once leave those alone that fill the cache, but for the few that are taken for others.
#[test]
fn what_comes_once_is_not_let_in_where_there_is_no_room() {
    let cache = full_cache();
    let (entries, evictions) = (cache.entries(), cache.evictions());
    assert!(entries > 2_000, "{cache:?}");
    (10_000..110_000).for_each(|n| insert_long(&cache, n));
    assert!(cache.evictions() - evictions < 1_000, "{cache:?}");
    assert_counted(&cache);
}

#[test]
fn what_comes_again_is_let_in() {
    let cache = full_cache();
    let known = || {
        (10_000..10_500).for_each(|n| insert_long(&cache, n));
        (10_000..10_500).filter(|n| get(&cache, &long_key(*n)).is_some()).count()
    };
    assert!(known() < 10);
    assert!(known() > 300, "few were written over");
}

#[test]
fn requests_that_fit_into_the_budget_come_to_be_remembered_all() {
    let cache = DecisionCache::new(64 << 20);
    let keys: Vec<String> = (0..3000).map(|n| format!("key {n}")).collect();
    let misses = || {
        let missed = keys.iter().filter(|key| get(&cache, key).is_none());
        missed.map(|key| insert(&cache, key, &plain(Decision::Allow))).count()
    };
    assert!((0..300).any(|_| misses() == 0), "{cache:?}");
    assert_counted(&cache);
}

#[test]
fn what_is_used_outlives_a_scan() {
    let cache = DecisionCache::new(256 << 10);
    let outcome = plain(Decision::Allow);
    let hot: Vec<String> = (0..50).map(|n| format!("hot {n}")).collect();
    let mut hits = 0;
    for round in 0..400 {
        for key in &hot {
            match get(&cache, key) {
                Some(_) => hits += 1,
                None => insert(&cache, key, &outcome),
            }
        }
        // 40,000 keys that are asked for once each pass through a cache of about 2,000 entries.
        for n in 0..100 {
            insert(&cache, format!("scan {round} {n}"), &outcome);
        }
    }
    assert!(hits > 400 * 50 * 9 / 10, "{hits}, {cache:?}");
    assert!(cache.evictions() > 30_000, "{cache:?}");
}

#[test]
fn several_are_found_as_each_is() {
    // Of small tables and of large ones, whose lines are fetched at once.
    for entries in [0, 1, 100, 2 * NEAR_SETS * ENTRIES_PER_SET] {
        let cache = DecisionCache::new(64 << 20);
        let keys: Vec<String> = (0..entries + 50).map(|n| format!("{n}{}", "-".repeat(n % 700))).collect();
        keys.iter().take(entries).for_each(|key| insert(&cache, key, &told(key, 0)));
        assert_eq!(cache.table.set_count() > NEAR_SETS, entries > 100);
        for keys in keys.chunks(64) {
            let together: ArrayVec<_, 64> = keys.iter().map(|key| cache.key(key.as_bytes())).collect();
            assert!(cache.get_all(&together).into_iter().eq(keys.iter().map(|key| get(&cache, key))));
        }
        let of_none = ArrayVec::<Key<'_>, 64>::new();
        assert!(cache.get_all(&of_none).is_empty());
    }
}

#[test]
fn keys_that_collide_in_every_bit_are_told_apart() {
    let cache = DecisionCache::new(1 << 20);
    let place = Place { hash: 3, tag: 200 };
    let keys: Vec<String> = (0..100).map(|n| format!("key {n}")).collect();
    let get = |text: &str| cache.get(&Key { place, ..cache.key(text.as_bytes()) });
    for (n, text) in keys.iter().enumerate() {
        cache.insert(&Key { place, ..cache.key(text.as_bytes()) }, &told(text, 0));
        assert_eq!(get(text), Some(told(text, 0)));
        let found: Vec<_> = keys.iter().filter_map(|key| Some((key, get(key)?))).collect();
        assert_eq!(found.len(), (n + 1).min(WAYS));
        assert!(found.into_iter().all(|(key, outcome)| outcome == told(key, 0)));
        let together: ArrayVec<_, 100> = keys.iter().map(|key| Key { place, ..cache.key(key.as_bytes()) }).collect();
        assert!(cache.get_all(&together).into_iter().eq(keys.iter().map(|key| get(key))));
    }
    assert_eq!((cache.entries(), cache.evictions()), (6, 94));
    assert_counted(&cache);
}

#[test]
fn what_means_the_same_in_any_order_is_found_in_any_order_and_stands_once() {
    let cache = DecisionCache::new(1 << 20);
    // Fields 1 and 2 of a message, of one letter each.
    let (ab, ba) = (&[0x0a, 1, b'a', 0x12, 1, b'b'], &[0x12, 1, b'b', 0x0a, 1, b'a']);
    insert(&cache, ab, &told("in this order", 0));
    assert_eq!(cache.get(&cache.key(ba)), None);
    cache.insert(&cache.key(ab).in_any_order(), &told("in any", 1));
    assert_eq!(cache.get(&cache.key(ba)), Some(told("in any", 1)));
    cache.insert(&cache.key(ba).in_any_order(), &told("in any", 2));
    assert_eq!([ab, ba].map(|message| cache.get(&cache.key(message))), [(); 2].map(|()| Some(told("in any", 2))));
    assert_eq!(cache.entries(), 1);
    assert_counted(&cache);
}

#[test]
fn an_outcome_that_is_too_large_is_not_remembered_and_leaves_no_older_one_behind() {
    let cache = DecisionCache::new(64 << 10);
    insert(&cache, "key", &told("key", 1));
    assert!(get(&cache, "key").is_some());
    insert(&cache, "key", &told(&"k".repeat(5000), 2));
    assert_eq!(get(&cache, "key"), None);
    assert_eq!((cache.entries(), cache.evictions()), (0, 1));
    assert_counted(&cache);
}

#[test]
fn nothing_is_kept_alive_by_what_was_evicted_replaced_or_dropped() {
    let cache = DecisionCache::new(16 << 10);
    let outcomes: Vec<Outcome> = (0..200).map(|n| told("key", n)).collect();
    for (n, outcome) in outcomes.iter().enumerate() {
        insert(&cache, format!("key {}", n / 2), outcome);
    }
    let owners = || -> usize {
        let explanations = outcomes.iter().filter_map(|outcome| outcome.explanation.as_ref());
        explanations.map(|explanation| Arc::strong_count(explanation) - 1).sum()
    };
    assert_eq!(owners(), cache.entries());
    assert!(cache.entries() > 0 && cache.evictions() > 0);
    drop(cache);
    assert_eq!(owners(), 0);
}

proptest! {
    /// Against a plain map: what comes back, if anything does, is what was inserted last.
    #[test]
    fn it_forgets_but_never_errs(
        budget in prop_oneof![Just(1500_usize), Just(5000), Just(20_000), Just(200_000)],
        steps in proptest::collection::vec((0..60_u32, 0..3_u32), 0..400),
    ) {
        let cache = DecisionCache::new(budget);
        let mut oracle: HashMap<u32, Outcome> = HashMap::new();
        for (round, (key, step)) in (0..).zip(steps) {
            let text = format!("key {key}");
            if step == 0 {
                let outcome = told(&"k".repeat(usize::try_from(round % 7 * 800).unwrap()), round);
                insert(&cache, &text, &outcome);
                oracle.insert(key, outcome);
            } else if let Some(found) = get(&cache, &text) {
                prop_assert_eq!(Some(&found), oracle.get(&key));
            }
            prop_assert!(cache.bytes() <= budget);
        }
        assert_counted(&cache);
    }
}

#[test]
fn four_threads_get_what_belongs_to_their_keys_within_the_budget() {
    let cache = DecisionCache::new(128 << 10);
    let over_budget = AtomicBool::new(false);
    let hits = AtomicUsize::new(0);
    let work = |seed: u64| {
        for (round, n) in (0..).zip(numbers(seed).take(20_000)) {
            // Half of all calls go to 16 keys, so that threads meet; the others spread over 2,000 and evict.
            let key = format!("key {}", if n % 2 == 0 { n / 2 % 16 } else { n / 2 % 2000 });
            match get(&cache, &key) {
                Some(outcome) => {
                    let explanation = outcome.explanation.unwrap();
                    assert_eq!(*explanation.statements[0].sid, *key);
                    hits.fetch_add(1, Ordering::Relaxed);
                }
                None => insert(&cache, &key, &told(&key, round)),
            }
            if round % 8 == 0 {
                insert(&cache, &key, &told(&key, round));
            }
            if cache.bytes() > cache.budget_bytes || cache.entries() > 2100 {
                over_budget.store(true, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for seed in 0..4 {
            scope.spawn(move || work(seed));
        }
    });
    assert!(!over_budget.into_inner());
    assert!(hits.into_inner() > 20_000, "{cache:?}");
    assert!(cache.evictions() > 1000, "{cache:?}");
    assert_counted(&cache);
}
