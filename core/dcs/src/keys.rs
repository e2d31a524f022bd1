//! Where everything lies in the store: Patroni's layout, and ours beside it.

use tanist_engine::MemberName;

/// The keys of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// The keys under `/<namespace>/<scope>/`; slashes around the namespace do not matter.
    pub fn new(namespace: &str, scope: &str) -> Self {
        match namespace.trim_matches('/') {
            "" => Self { prefix: format!("/{scope}/") },
            namespace => Self { prefix: format!("/{namespace}/{scope}/") },
        }
    }

    /// What all of them begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn at(&self, rest: &str) -> String {
        format!("{}{rest}", self.prefix)
    }

    /// Patroni's leader key: the leader's name.
    pub fn leader(&self) -> String {
        self.at("leader")
    }

    /// What the member keys begin with.
    pub fn members(&self) -> String {
        self.at("members/")
    }

    /// One member's key.
    pub fn member(&self, name: &MemberName) -> String {
        self.at(&format!("members/{name}"))
    }

    /// The database system identifier.
    pub fn initialize(&self) -> String {
        self.at("initialize")
    }

    /// The dynamic configuration.
    pub fn config(&self) -> String {
        self.at("config")
    }

    /// A switchover or failover that was asked for.
    pub fn failover(&self) -> String {
        self.at("failover")
    }

    /// Who may have acknowledged.
    pub fn sync(&self) -> String {
        self.at("sync")
    }

    /// The leader's last known position.
    pub fn status(&self) -> String {
        self.at("status")
    }

    /// Timelines and who opened them, for people.
    pub fn history(&self) -> String {
        self.at("history")
    }

    /// Members that must all be heard in failsafe mode.
    pub fn failsafe(&self) -> String {
        self.at("failsafe")
    }

    /// The lease record.
    pub fn lease(&self) -> String {
        self.at("tanist/lease")
    }

    /// The cluster's face.
    pub fn primary(&self) -> String {
        self.at("tanist/primary")
    }

    /// The base of the epochs.
    pub fn epoch(&self) -> String {
        self.at("tanist/epoch")
    }

    /// Claimed timelines.
    pub fn timelines(&self) -> String {
        self.at("tanist/timelines")
    }

    /// In whose favour the lease was given up.
    pub fn handoff(&self) -> String {
        self.at("tanist/handoff")
    }

    /// What the promises begin with.
    pub fn promises(&self) -> String {
        self.at("tanist/promise/")
    }

    /// What the generations of data directories begin with.
    pub fn all_data(&self) -> String {
        self.at("tanist/data/")
    }

    /// A standby's promise.
    pub fn promise(&self, name: &MemberName) -> String {
        self.at(&format!("tanist/promise/{name}"))
    }

    /// The generation of a node's data directory.
    pub fn data(&self, name: &MemberName) -> String {
        self.at(&format!("tanist/data/{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_patronis() {
        let keys = Keys::new("/service/", "main");
        assert_eq!(keys, Keys::new("service", "main"));
        assert_eq!(keys.leader(), "/service/main/leader");
        assert_eq!(keys.member(&"a".into()), "/service/main/members/a");
        assert_eq!(keys.lease(), "/service/main/tanist/lease");
        assert_eq!(Keys::new("", "main").sync(), "/main/sync");
    }
}
