//! I4: what is shown never goes back: the face, every DNS server's answers, timeline numbers.

use crate::world::World;
use tanist_engine::Epoch;

impl World {
    /// After a commit: the face.
    pub(crate) fn check_face(&mut self) {
        let Some(face) = self.store.snap.face() else { return };
        let (epoch, name) = (face.epoch, face.name.clone());
        if epoch == self.checks.face_epoch {
            return;
        }
        if epoch < self.checks.face_epoch {
            self.violate("I4", format!("the face went back from epoch {} to {epoch}", self.checks.face_epoch));
        }
        self.checks.face_epoch = epoch;
        let proved = self.find(&name).is_some_and(|node| self.checks.proved.contains(&(epoch, node)));
        if !proved && !self.checks.store_restored {
            self.violate("I4", format!("{name} was published under epoch {epoch} without a write that proves it"));
        }
    }

    fn was_writable(&self, node: usize) -> bool {
        self.checks.writable_under.iter().any(|(_, known)| *known == node)
    }

    /// A DNS server names a primary.
    pub(crate) fn check_named(&mut self, server: usize, named: usize, epoch: Epoch) {
        if self.checks.store_restored {
            return;
        }
        let last = self.checks.named[server];
        if epoch < last {
            self.violate("I4", format!("the DNS server of {} went back from epoch {last} to {epoch}", self.names[server]));
        }
        self.checks.named[server] = epoch;
        self.check_fresh(server, named, epoch);
        if epoch != last && !self.was_writable(named) {
            self.violate("I4", format!("the DNS server of {} names {}, never writable", self.names[server], self.names[named]));
        }
    }

    /// A server that has seen the lease under a newer epoch does not name the old holder, and one that has heard nothing for long nobody.
    fn check_fresh(&mut self, server: usize, named: usize, epoch: Epoch) {
        let Some((record, revision, since)) = self.checks.terms.seen(server) else { return };
        let newest = record.epoch_at(revision);
        let now = self.reading(server);
        let heard =
            self.checks.terms.heard(server, epoch).map_or(since, |heard| if heard.boot > since.boot { heard } else { since });
        let blind = now.least_since(heard).as_nanos() as u64;
        if newest > epoch || blind > self.longest_ttl() * 21 / 10 && named != server {
            let text = format!(
                "the DNS server of {} names {} of epoch {epoch}; it has seen the lease of epoch {newest} {} ms ago",
                self.names[server],
                self.names[named],
                blind / 1_000_000
            );
            self.violate("I4", text);
        }
    }

    /// A timeline is opened.
    pub(crate) fn check_opened(&mut self, node: usize, branch: u32, timeline: u32, epoch: Epoch) {
        if let Some((_, earlier)) = self.checks.opened.insert(timeline, (branch, epoch))
            && !self.checks.store_restored
        {
            let text =
                format!("{} opens timeline {timeline} under epoch {epoch}, opened before under {earlier}", self.names[node]);
            self.violate("I4", text);
        }
    }
}
