//! What a reader of the dynamic configuration should know although it was accepted.

use std::{fmt, time::Duration};

/// One remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DynamicNote {
    /// An option of Patroni that has no effect here yet.
    Unsupported {
        /// Its dotted name.
        option: String,
        /// What happens instead.
        instead: &'static str,
    },
    /// An option that neither Patroni nor tanist has.
    Unknown {
        /// Its dotted name.
        option: String,
    },
    /// A time was changed, because `loop_wait + 2 × retry_timeout ≤ ttl` did not hold.
    Bent {
        /// Which.
        option: &'static str,
        /// As configured.
        from: Duration,
        /// As used.
        to: Duration,
        /// The ttl that asks for it.
        ttl: Duration,
    },
    /// A ttl so short that an election in the store may cost the primary its lease.
    ShortTtl {
        /// The ttl.
        ttl: Duration,
    },
    /// A PostgreSQL parameter of old, replaced by its successor.
    Replaced {
        /// Its dotted name.
        option: &'static str,
        /// What is used.
        by: String,
    },
}

impl DynamicNote {
    /// The dotted name of the option it is about.
    pub fn option(&self) -> &str {
        match self {
            Self::Unsupported { option, .. } | Self::Unknown { option } => option.split(':').next().unwrap_or_default(),
            Self::Bent { option, .. } | Self::Replaced { option, .. } => option,
            Self::ShortTtl { .. } => "ttl",
        }
    }

    /// The remark without the option's name.
    pub fn remark(&self) -> String {
        match self {
            Self::Unsupported { option: _, instead } => format!("is not supported by this version of tanist: {instead}"),
            Self::Unknown { option: _ } => "unknown key; nothing reads it".to_owned(),
            Self::Bent { option: _, from, to, ttl } => format!(
                "is {} instead of {}, because loop_wait + 2*retry_timeout must not exceed ttl ({})",
                seconds(*to),
                seconds(*from),
                seconds(*ttl)
            ),
            Self::ShortTtl { ttl } => {
                format!(
                    "{} is accepted, but an election in the store takes up to 1.4 s and may cost the primary its lease; 5 or more is safe",
                    seconds(*ttl)
                )
            }
            Self::Replaced { option: _, by } => format!("was removed in PostgreSQL 13; {by} is used instead"),
        }
    }
}

impl fmt::Display for DynamicNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.option(), self.remark())
    }
}

fn seconds(span: Duration) -> String {
    format!("{} s", span.as_secs())
}
