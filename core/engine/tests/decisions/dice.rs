//! Chance, and small things made by it: names, epochs, positions, jobs. What they are put together to is in `random`.

use std::{collections::BTreeSet, time::Duration};
use tanist_engine::*;

/// SplitMix64: small, and the same everywhere.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
    pub fn coin(&mut self) -> bool {
        self.roll(2) == 0
    }
    pub fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.coin().then(|| make(self))
    }
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let index = usize::try_from(self.roll(from.len() as u64)).expect("small");
        from[index].clone()
    }
    pub fn several<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.roll(4)).map(|_| make(self)).collect()
    }
    pub fn name(&mut self) -> MemberName {
        self.pick(&["a", "b", "c"].map(MemberName::from))
    }
    pub fn epoch(&mut self) -> Epoch {
        Epoch(self.roll(4))
    }
    pub fn timeline(&mut self) -> Timeline {
        Timeline(u32::try_from(1 + self.roll(3)).expect("small"))
    }
    pub fn lsn(&mut self) -> Lsn {
        Lsn(self.pick(&[0, 90, 100, 110, 50_000_000]))
    }
    pub fn moment(&mut self, now: Moment) -> Moment {
        let away = Duration::from_millis(self.pick(&[0, 1, 250, 1_000, 4_000, 20_000]));
        if self.coin() { now + away } else { now.minus(away) }
    }
    pub fn position(&mut self) -> Position {
        Position { opened_by: self.epoch(), timeline: self.timeline(), lsn: self.lsn() }
    }
    pub fn tags(&mut self) -> Tags {
        Tags {
            nofailover: self.roll(6) == 0,
            nosync: self.roll(6) == 0,
            failover_priority: self.pick(&[None, None, Some(0), Some(2)]),
        }
    }
    pub fn upstream(&mut self) -> Upstream {
        let name = self.name();
        Upstream { endpoint: Endpoint { host: name.to_string(), port: 5432 }, name, epoch: self.epoch() }
    }
    pub fn sync(&mut self) -> SyncState {
        SyncState {
            revision: Revision(self.roll(3)),
            leader: self.maybe(Self::name),
            standbys: self.several(Self::name).into_iter().collect(),
            quorum: self.pick(&[0, 0, 1, 2]),
        }
    }
    pub fn count(&mut self) -> u32 {
        self.pick(&[1, 1, 2, 3])
    }
    pub fn names(&mut self) -> SyncNames {
        let (count, standbys) = (self.count(), self.several(Self::name).into_iter().collect::<BTreeSet<_>>());
        self.pick(&[
            SyncNames::Nobody,
            SyncNames::Reserved,
            SyncNames::FirstOf { count, standbys: standbys.clone() },
            SyncNames::AnyOf { count, standbys },
        ])
    }
    pub fn state(&mut self) -> MemberState {
        self.pick(&[MemberState::Running, MemberState::Streaming, MemberState::Stopped, MemberState::CreatingReplica])
    }
    pub fn storage(&mut self) -> Storage {
        use Storage::*;
        self.pick(&[Good, Good, Good, Good, Good, Good, Full, Broken])
    }
    pub fn role(&mut self) -> Role {
        self.pick(&[Role::Primary, Role::Replica, Role::Demoted, Role::Uninitialized])
    }
    pub fn job(&mut self) -> Job {
        let upstream = self.upstream();
        let (epoch, timeline) = (self.epoch(), self.timeline());
        let to = self.maybe(Self::name);
        self.pick(&[
            Job::Bootstrap,
            Job::Clone { from: upstream.clone() },
            Job::Rewind { from: upstream.clone() },
            Job::Start(StartAs::Standby(Some(upstream.clone()))),
            Job::Start(StartAs::Standby(None)),
            Job::Start(StartAs::Primary { epoch }),
            Job::Promote { epoch, timeline },
            Job::Stop(StopMode::Fast),
            Job::Promise { epoch, to },
            Job::Follow(upstream),
            Job::Checkpoint,
            Job::PostBootstrap,
        ])
    }

    pub fn named(&mut self) -> Named {
        self.several(|dice| (dice.name(), "http://x".to_owned())).into_iter().collect()
    }
}
