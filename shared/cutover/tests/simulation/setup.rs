//! What a world is made of before anything happens, and what is going to happen at which step of a cutover.

use std::time::Duration;

use migration::TopicPartition;
use migration::config::{Cutover, Sentinels, Span, Topology, WriteFence};

use crate::dice::Dice;
use crate::faults::Faults;

/// A topic of another migration.
pub(crate) const OTHER_WAVE: &str = "users";

/// What somebody does who should not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// A producer that ignores the freeze writes to the source.
    Write,
    /// It does so within a transaction, which it commits.
    WriteInTransaction,
    /// The leader of a partition of the source loses its last record (an unclean election).
    LoseRecord,
    /// Another client writes to the target.
    WriteOnTarget,
    /// Records of the target are deleted.
    DeleteOnTarget,
    /// A topic of the target is configured so that records in its midst are compacted away.
    CompactOnTarget,
    /// Consumers of a group are started on the target.
    JoinOnTarget,
    /// A share group takes a group's name on the target.
    ShareOnTarget,
}

/// When somebody does something: behind a request of this name, by a function that works on the cutover.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mischief {
    pub(crate) behind: &'static str,
    pub(crate) after: Duration,
    pub(crate) deed: Deed,
}

/// One world.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) partitions: Vec<TopicPartition>,
    /// Batches that the partitions are assigned to.
    pub(crate) batches: u32,
    pub(crate) limits: Cutover,
    pub(crate) selection: Topology,
    /// Consumer groups with plain commits.
    pub(crate) groups: usize,
    /// How often a producer that ignores the freeze writes.
    pub(crate) ignores_every: Option<Duration>,
    pub(crate) mischief: Vec<Mischief>,
    /// Whether consumers begin on the target as soon as their offsets are there.
    pub(crate) eager: bool,
    /// Longest time from the end of a transaction to its markers.
    pub(crate) markers_take: Duration,
    /// Whether coordinators of the source list a group before its first commit is decided.
    pub(crate) lists_pending: bool,
    /// Partitions of the source that take no marker, in a thousand.
    pub(crate) no_markers: u32,
    /// Groups and topics for which the target refuses commits, in a thousand.
    pub(crate) refusing: u32,
    /// Whether everybody may do everything on a topic that no rule is about.
    pub(crate) is_open: bool,
    /// Whether the producer that ignores the freeze is a super user.
    pub(crate) ignoring_is_super: bool,
    /// Longest time until a leader knows of a change of the rules.
    pub(crate) rules_take: Duration,
    pub(crate) faults: Faults,
}

impl Setup {
    /// A world with faults.
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let count = dice.index(1..5) as i32;
        let bills = dice.index(0..2) as i32;
        let partition = |topic: &'static str| move |number| TopicPartition::new(topic, number);
        let sentinels = dice.pick(&[Sentinels::Markers, Sentinels::Markers, Sentinels::Records, Sentinels::None]);
        let exclude: &[&str] = if dice.chance(400) { &["bills"] } else { &[] };
        let include: &[&str] = if dice.chance(700) { &["orders", "bills"] } else { &[] };
        let parse = |patterns: &[&str]| patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
        let limits = Cutover {
            max_producer_freeze: Span::from_secs(dice.pick(&[5, 10, 20, 60])),
            fence_window: Span::from_secs(dice.pick(&[0, 0, 1, 2])),
            sentinels,
            write_fence: if dice.chance(350) { WriteFence::Acl } else { WriteFence::None },
            sentinel_exclude: parse(exclude),
            skip_groups: parse(&["tmp-.*"]),
            ..Cutover::default()
        };
        let many = dice.chance(60);
        Self {
            partitions: (0..count).map(partition("orders")).chain((0..bills).map(partition("bills"))).collect(),
            batches: dice.index(1..4) as u32,
            limits,
            selection: Topology { include: parse(include), ..Topology::default() },
            groups: if many { dice.index(65..150) } else { dice.index(1..8) },
            ignores_every: dice
                .chance(120)
                .then(|| dice.pick(&[50, 400, 900, 2_500, 8_000]))
                .map(Duration::from_millis),
            mischief: mischief(dice),
            eager: dice.chance(250),
            markers_take: Duration::from_millis(dice.pick(&[20, 20, 300, 3_000])),
            lists_pending: dice.chance(500),
            no_markers: if dice.chance(250) { 400 } else { 0 },
            refusing: if dice.chance(400) { 300 } else { 0 },
            is_open: dice.chance(700),
            ignoring_is_super: dice.chance(200),
            rules_take: Duration::from_millis(dice.pick(&[20, 20, 300, 3_000])),
            faults: Faults::draw(dice),
        }
    }

    /// A world in which nothing goes wrong.
    pub(crate) fn quiet(sentinels: Sentinels, write_fence: WriteFence) -> Self {
        let limits = Cutover {
            max_producer_freeze: Span::from_secs(30),
            sentinels,
            write_fence,
            skip_groups: vec!["tmp-.*".parse().unwrap()],
            ..Cutover::default()
        };
        Self {
            partitions: (0..2).map(|number| TopicPartition::new("orders", number)).collect(),
            batches: 2,
            limits,
            selection: Topology { include: vec!["orders".parse().unwrap()], ..Topology::default() },
            groups: 65,
            ignores_every: None,
            mischief: Vec::new(),
            eager: false,
            markers_take: Duration::from_millis(20),
            lists_pending: false,
            no_markers: 0,
            refusing: 0,
            is_open: true,
            ignoring_is_super: false,
            rules_take: Duration::from_millis(20),
            faults: Faults::default(),
        }
    }

    /// The batch of the partition at `index`.
    pub(crate) const fn batch_of(&self, index: usize) -> u32 {
        index as u32 % self.batches
    }

    /// Where `partition` is, if it is copied.
    pub(crate) fn index_of(&self, partition: &TopicPartition) -> Option<usize> {
        self.partitions.iter().position(|name| name == partition)
    }
}

/// What happens at which step, in some worlds.
fn mischief(dice: &mut Dice) -> Vec<Mischief> {
    const STEPS: [&str; 16] = [
        "add rules",
        "probe",
        "write the write fence",
        "frozen since",
        "stable ends",
        "append markers",
        "append records",
        "written batches",
        "bounds",
        "hold configs",
        "source group offsets",
        "describe groups",
        "put new",
        "mark",
        "commit",
        "apply",
    ];
    const DEEDS: [Deed; 14] = [
        Deed::Write,
        Deed::Write,
        Deed::Write,
        Deed::Write,
        Deed::WriteInTransaction,
        Deed::WriteInTransaction,
        Deed::LoseRecord,
        Deed::LoseRecord,
        Deed::WriteOnTarget,
        Deed::DeleteOnTarget,
        Deed::CompactOnTarget,
        Deed::JoinOnTarget,
        Deed::JoinOnTarget,
        Deed::ShareOnTarget,
    ];
    let count = if dice.chance(350) { dice.index(1..3) } else { 0 };
    let one = |_| Mischief { behind: dice.pick(&STEPS), after: dice.millis(0..30), deed: dice.pick(&DEEDS) };
    (0..count).map(one).collect()
}
