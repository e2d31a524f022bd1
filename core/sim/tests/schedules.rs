//! A bounded hunt, the seeds that once found something, and determinism.

use std::collections::BTreeSet;
use tanist_sim::{
    branching::FAMILY,
    case::Case,
    command::{fuzz::hunt, mutants::first_catch},
    mutant::Mutant,
    schedule,
    trace::Trace,
};

/// Random schedules from a seed that is printed; `TANIST_SIM_SEED` chooses another.
#[test]
fn random_schedules_break_nothing() {
    let first = std::env::var("TANIST_SIM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    println!("seed {first}");
    let found = hunt(first.into(), 20_000, 2, None);
    println!("{}", found.line(first.into()));
    assert!(found.found.is_empty(), "{:#?}", found.found);
    let holes = found.coverage.holes();
    assert!(holes.is_empty(), "never reached: {holes:?}");
}

/// Seeds that once found something.
const FOUND: [u64; 106] = [
    45,
    98,
    194,
    217,
    471,
    575,
    696,
    715,
    745,
    919,
    1125,
    1357,
    1538,
    1799,
    3306,
    3793,
    4105,
    4549,
    4733,
    5471,
    5951,
    6295,
    10_452,
    11_786,
    12_678,
    16_302,
    17_497,
    21_516,
    21_787,
    25_718,
    1_001_915,
    1_011_299,
    1_015_596,
    5_022_031,
    1618,
    2608,
    8_016_942,
    20_002_866,
    20_011_741,
    20_016_345,
    20_028_741,
    30_004_040,
    30_016_131,
    30_021_677,
    40_001_652,
    40_020_605,
    1_008_153,
    1_009_527,
    1_053_374,
    30_040_676,
    100253025,
    100059980,
    100090847,
    100467350,
    100489688,
    100201010,
    100066711,
    100473285,
    88341,
    2046,
    202_048_853,
    202_055_628,
    202_065_510,
    204_030_376,
    204_115_019,
    204054745,
    210466472,
    250166677,
    240037723,
    270166186,
    251029799,
    250425090,
    270014037,
    270044873,
    270047252,
    260233864,
    260251788,
    270197047,
    270204914,
    230349523,
    210215407,
    210221160,
    230156556,
    230185071,
    210094174,
    230070032,
    230070419,
    230023706,
    230042248,
    263193784,
    263535672,
    2240,
    118,
    274,
    6216,
    16930,
    252600929,
    263556448,
    263112861,
    300251838,
    300000238,
    300013148,
    300049678,
    301035702,
    302228219,
    302562537,
];

/// Variations that did.
const VARIED: [&str; 64] = [
    "250166677/1243e",
    "204115019/387e",
    "204115019/699e",
    "204115019/723e",
    "270014037/180e",
    "270014037/401e",
    "263556448/80e",
    "2240/1106e",
    "230023706/2719e",
    "1618/3742e",
    "1618/4049e",
    "263556448/3738e",
    "263556448/4158e",
    "230070032/4296e",
    "301035702/4839",
    "270197047/5167e",
    "270197047/5507e",
    "54849b",
    "50079b",
    "333017615b",
    "1017349b",
    "335014292b",
    "330018128b",
    "331027798b",
    "331024179b",
    "332047092b",
    "340066582b",
    "345036287b",
    "350128921b",
    "53",
    "581",
    "833",
    "1379",
    "463",
    "828",
    "600004",
    "610018",
    "640294",
    "640211",
    "99003528b",
    "99010076b",
    "99006276b",
    "99018837b",
    "370000929b",
    "380008473b",
    "98006054b",
    "370060986b",
    "370073333b",
    "370079964b",
    "95001809b",
    "94009218b",
    "93002168b",
    "11.22b",
    "1951.03b",
    "3700.06b",
    "450069544b",
    "450096248b",
    "450132288b",
    "460013272.34b",
    "460013853.25b",
    "460016424.16b",
    "460035130.13b",
    "470001840.24b",
    "480007474.15b",
];

/// Seeds whose story became a rule.
///
/// - 217: a release whose answer was lost landed after a late renewal had revived the lease and PostgreSQL had been restarted under it.
/// - 715: a timeline was opened and its begin never recorded; a standby beyond it took itself for a part of the leader's history.
/// - 10452: a write of `/sync` with an unknown outcome landed after commits had been opened for another standby.
/// - 45, 575, 696: an older copy in the place of the primary's data directory was started as primary again.
/// - 919: peers were asked twice, and the worse candidate of an asynchronous race won.
/// - 4733: the last primary had taken the lease anew as a standby and waited for promises that nobody gave.
/// - 16302: whoever had stood still over its lease kept out of the next race, and so did everybody else.
/// - 21516, 25718: data were copied over by an announcement made long before, on a view that was behind.
/// - 1001915, 1015596: a longer ttl delayed the next renewal of the lease that was still short.
/// - 1618: a restored store handed out an epoch a second time, to a member that had promised it to the leader of the other history, who
///   was held by failsafe mode meanwhile.
/// - 2608: a crashed primary handed over to the member with the highest position, whose history had left the cluster's: it did not race.
/// - 8016942: whoever was asked to wait took a restored record, which named all, for the one that named whom the holder asked.
/// - 30004040: a round of failsafe mode outlived the record of a shorter ttl that was written while it was under way.
/// - 30016131: the news that a primary can be rewound from was lost, and nothing else changed: nobody came back.
/// - 40020605: a standby was pointed at the new leader by a position that was read before it was cut from the old one.
/// - 40001652: an agent that started when an old store had just been put in place took its released record for the present.
/// - 1009527: `/sync` named a standby by names that had been in force when PostgreSQL was looked at and were being loosened meanwhile.
/// - 1008153: a write of `/sync` had landed unseen before the leader key was put back under a new epoch, and names were loosened.
/// - 202048853: a primary's member key was lost with its new timeline, and nobody wrote: an old primary waited for ever.
/// - 202055628: an old holder's release landed in a store restored from a backup, and counted as vacant at once.
/// - 202065510: whoever was taken out of `/sync` so that it could give up its data was named again while commits still waited for it.
/// - 204030376: `/sync` was empty when the lease was taken: whom the leader had named since was forgotten when it had the lease back.
/// - 204054745: a read that was asked before this node agreed to wait was answered after, and confirmed the vacancy all the same.
/// - 210094174, 230070032: a question to the others that was asked while an older one was under way was never sent, and the race was won
///   without answers.
/// - 210466472: the lease was released while a start as primary was on its way to a guard that stood still, and was carried out afterwards.
/// - 230156556: a holder whose data directory was replaced waited for promises instead of leaving the lease to whoever has what it lacks.
/// - 230185071: the leader key was lost and put back while a promotion went on, and the guard fenced it at the end of the old epoch's term.
/// - 230070419: somebody whose history has left the cluster's, and who therefore does not race, was waited for as the better candidate.
/// - 230023706, 230042248: a second cluster was created on a view that did not show the first one's `/initialize`.
/// - 204115019: a directory that was replaced between the last look and the start was led with.
/// - 88341: of several that were bound to wait the worst was free first, and had waited for the best one alone.
/// - 250166677: synchronous mode was switched off while a write of `/sync` was open, and commits were opened for nobody before it landed.
/// - 270166186: a data directory replaced by other hands was adopted without a mark on a view that was behind the mode, and a walsender of
///   the old one made the leader name the node.
/// - 251029799: a crashed primary handed over to an old one that had just been continued and still called itself a primary.
/// - 250425090: that the members' agreement was old was noticed at the next news only.
/// - 2046: synchronous mode was switched off while nobody led: `/sync` bound nobody any more, and what it had acknowledged was lost.
/// - 100253025: the walsender of a server whose data directory was gone still told what that had, and `/sync` named the standby.
/// - 100059980: what the old leader told last landed after the race, and a standby further behind than allowed was promoted.
/// - 100090847, 100467350, 100489688: the data of a cluster just made were taken away, another one was made under the same lease, and
///   `/initialize` of the first one landed late.
/// - 100201010: a mark was raised before the leader changed, and was no news to the new one: both waited for ever.
/// - 263193784: a standby that had not heard of anything was still pointed at a primary that led anew with copied data; PostgreSQL refused
///   it each time only after it had told what it flushed, and `/sync` named it.
/// - 263535672: answers from before the old leader's guard ended it decided a race that began long after.
/// - 250166677/1243e: PostgreSQL was restarted as a primary with open names while a write of `/sync` could still land.
/// - 230023706/2719e: the data of a cluster just made were taken away while the leader key was lost and put back under a new epoch, and
///   another one was made under it on a view that did not show the first one's `/initialize`.
/// - 300251838: a data directory was replaced once more after the first time was announced, and taken for known by that announcement.
/// - 300000238, 300013148, 300049678: `/sync` went to and fro between two standbys, neither of which counted while the other was named (in
///   an earlier form of the rule of 263193784).
/// - 302228219: a standby whose agent stood still was pointed at the new leader by a look from before, and had received from the old one
///   until then; PostgreSQL refused it only after it had told what it flushed, the mode was switched on, and `/sync` named it.
/// - 1618/3742e, /4049e: a backup from before `ttl` was raised was put in place under a leader cut off from the store, and a release of
///   that past landed in it.
/// - 263556448/3738e, /4158e: a backup knew nothing of a record that named others, and whom that one had left out took over.
/// - 301035702, 301035702/4839: a better candidate that the last leader had not named was waited for, also as the one asked for.
/// - 270197047/5167e, /5507e: it said that it was left out just before a release let it in, and lost to a worse one.
/// - 54849b: the guard of a crashed primary stood still, and the agent renewed the lease and asked it for a permission for as long.
/// - 50079b: a restart that the operator asked for was fenced as soon as it began, because `primary_start_timeout` was 0.
/// - 333017615b: asynchronous mode, the lease came back by itself to a standby whose data had been replaced by an older copy, and which was
///   promoted before the end of its WAL was known.
/// - 53, 581: an old primary that this node ended itself three times, because it hung, was taken for one that never starts, and copied
///   over.
/// - 833, 1379: a rewound server was stopped, and so copied anew, because its leader had a new epoch for the same lease.
/// - 463, 828, 99003528b, 99010076b: a permission of a lease that was over was left with the guard, which fenced the standby that ran by
///   then.
/// - 600004, 610018: a synchronous standby that won while it still replayed was asked to promote, which the shipped agent refuses.
/// - 640294, 640211: a crashed primary handed the lease to whoever had told its position last, and a better one lost what it had.
/// - 99006276b: whoever had given the lease up for others was started at once, and won it back (while this was built). 99018837b: the same
///   server on another timeline was taken for the one that a rewound server waited for (likewise).
/// - 11.22b: in a store restored from before the cluster was made a crashed primary handed over, again and again, to members that lead no
///   cluster the store does not know.
/// - 1951.03b: a rewound server was started under a leader that may never send what it lacks, and neither answered nor ended.
/// - 460035130.13b: a crashed primary handed over to the standby that its own write of `/sync`, under way, had just left out.
///   470001840.24b: it was restarted in place instead although the write left the standby in (while this was built).
/// - 2240, 6216: a permission that the guard refused (for an epoch older than its newest, for less than a fence may take) was asked for as
///   fast as it was refused.
/// - 118, 274, 16930: what the store had taken and not shown yet was written as fast as it answered; a vacancy that a store gone back did
///   not confirm was asked for as fast.
/// - 98, 194, 471, 1538, 1799, 1125, 12678, 17497, 20002866, 20011741, 20016345, 20028741, 30021677, 1053374, 30040676,
///   100066711, 100473285, 210215407, 210221160, 230349523, 240037723, 270014037, 270044873, 270047252, 260233864, 260251788, 270197047,
///   270204914, 252600929, 263556448, 263112861, 302562537, 230070032/4296e, 1017349b, 335014292b, 330018128b, 331027798b, 331024179b,
///   332047092b, 340066582b, 345036287b, 350128921b, 370000929b, 380008473b, 98006054b, 370060986b, 370073333b, 370079964b, 95001809b,
///   94009218b, 93002168b, 3700.06b, 450069544b, 450096248b, 450132288b,
///   460013272.34b, 460013853.25b, 460016424.16b, 480007474.15b: what models and checks had to learn.
#[test]
fn seeds_that_once_found_something_find_nothing() {
    // By agents as they are, and as they were when most of these were found.
    let both = |seed: &u64| [Case::from(*seed), Case { eager: true, ..Case::from(*seed) }];
    for case in FOUND.iter().flat_map(both).chain(VARIED.map(|name| name.parse().expect("a schedule"))) {
        let outcome = schedule::run(case, case.script(), None, Trace::default());
        assert_eq!(outcome.violation, None, "tanist-sim run {case}");
    }
}

/// A Patroni knows the leader key alone and takes it when it is gone. Nobody takes the lease over its key, whatever else goes wrong, nobody
/// counts on a lease whose key has expired, and when the Patroni's key is gone a tanist leads again.
#[test]
fn a_patroni_that_leads_is_respected() {
    let (mut led, mut followed) = (0, 0);
    for seed in 1..=400 {
        let outcome = schedule::run_mixed(seed.into(), None, Trace::telling());
        let story = outcome.trace.story.unwrap_or_default();
        let last = story.iter().rposition(|line| line.contains("the Patroni is writable"));
        led += u32::from(last.is_some());
        let after = last.map_or(&[][..], |last| &story[last..]);
        followed += u32::from(after.iter().any(|line| line.contains("PostgreSQL is writable under epoch")));
        assert_eq!(outcome.violation, None, "tanist-sim mixed {seed}");
    }
    println!("led in {led}, followed by a tanist in {followed}");
    assert!(led > 100 && followed > 20);
    assert!(first_catch(Mutant::BeyondTheExpiry, 1, 200, 2).is_some());
}

#[test]
fn the_same_seed_gives_the_same_trace_on_any_number_of_threads() {
    assert_eq!(hunt(77.into(), 200, 1, None).hash, hunt(77.into(), 200, 3, None).hash);
    assert_ne!(hunt(77.into(), 200, 1, None).hash, hunt(78.into(), 200, 1, None).hash);
    let case = Case::from(5);
    let told = schedule::run(case, case.script(), None, Trace::telling());
    assert_eq!(told.hash, schedule::run(case, case.script(), None, Trace::default()).hash);
}

#[test]
fn a_schedule_runs_alone_as_among_its_family() {
    for seed in 1..=24 {
        let mut hashes = BTreeSet::new();
        schedule::family(Case { brisk: true, ..seed.into() }, FAMILY, None, |case, outcome| {
            assert_eq!(outcome.hash, schedule::run(case, case.script(), None, Trace::default()).hash, "tanist-sim run {case}");
            hashes.insert(outcome.hash);
        });
        assert_eq!(hashes.len() as u64, FAMILY, "seed {seed}: two went the same way");
    }
}

/// Rules switched off, each caught within a few schedules; `make sim-mutants` shows the others as well.
#[test]
fn the_simulator_can_fail() {
    for mutant in [
        Mutant::AnyRecordIsMine,
        Mutant::Unconfirmed,
        Mutant::AcquireWithoutRecord,
        Mutant::RenewWithoutCompare,
        Mutant::FailedCompareIsLoss,
        Mutant::UnknownIsFailed,
        Mutant::UntilFromAnswer,
        Mutant::OverForeignKey,
        Mutant::BootClockOnly,
        Mutant::GuardNeverFences,
        Mutant::FenceSparesBackends,
        Mutant::NoWatchdog,
        Mutant::PositionAlwaysKnown,
        Mutant::FaceAlwaysBelieved,
        Mutant::QueueDropsFailures,
    ] {
        assert!(first_catch(mutant, 500, 1_500, 2).is_some(), "{mutant:?} lives");
    }
}
