//! No failover without a cause: long after the last disturbance nobody takes the lease from anybody.

use crate::world::World;

impl World {
    /// Somebody else holds the lease now.
    pub(crate) fn check_cause(&mut self, holder: Option<usize>, _by: Option<usize>) {
        let calm = self.options.ttl * 4 + 25_000_000_000;
        if self.calm_for() > calm {
            let who = holder.map_or("nobody", |holder| self.names[holder].0.as_str()).to_owned();
            self.violate("cause", format!("{who} took the lease {} ms after the last disturbance", self.calm_for() / 1_000_000));
        }
    }
}
