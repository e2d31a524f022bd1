//! The trace: a hash of everything that was decided, and, where asked for, the story in words and the decisions for `replay`.

use tanist_engine::Recorded;

/// FNV-1a over 64-bit words.
#[derive(Clone, Copy, Debug)]
pub struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Hash {
    /// Takes a word in.
    pub fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01B3);
        self.0 ^= self.0 >> 29;
    }

    /// The hash so far.
    pub fn value(self) -> u64 {
        self.0
    }
}

/// What happened in one schedule.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The hash.
    pub hash: Hash,
    /// The story, while it is told.
    pub story: Option<Vec<String>>,
    /// Decisions, while they are kept.
    pub entries: Option<Vec<Recorded>>,
}

impl Trace {
    /// A trace that tells the story and keeps the decisions.
    pub fn telling() -> Self {
        Self { story: Some(Vec::new()), entries: Some(Vec::new()), ..Self::default() }
    }

    /// Whether the story is told.
    pub fn tells(&self) -> bool {
        self.story.is_some()
    }

    /// A line of the story.
    pub fn tell(&mut self, at: u64, line: String) {
        if let Some(story) = &mut self.story {
            story.push(format!("{:>4}.{:06} {line}", at / 1_000_000_000, at / 1_000 % 1_000_000));
        }
    }
}
