//! The order between plugins: who is called for an event after whom. Also what makes a list of plugins impossible to run.

use crate::{PluginConfig, protocol::PluginId};

/// Why these plugins cannot be run together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Two plugins of one id.
    #[error("plugins.{0} is there twice")]
    Duplicate(PluginId),
    /// Each of them waits for another.
    #[error("plugins.{0} comes after itself, by `after` in the manifests")]
    Cycle(PluginId),
}

/// For each plugin the indexes of those that are called before it. Names that nobody has are ignored: the plugin may be configured on
/// another node only.
pub(crate) fn predecessors(plugins: &[PluginConfig]) -> Result<Vec<Vec<usize>>, OrderError> {
    let index = |name: &str| plugins.iter().position(|plugin| plugin.id.0 == name);
    for (place, plugin) in plugins.iter().enumerate() {
        if index(&plugin.id.0) != Some(place) {
            return Err(OrderError::Duplicate(plugin.id.clone()));
        }
    }
    let direct: Vec<Vec<usize>> =
        plugins.iter().map(|plugin| plugin.manifest.after.iter().filter_map(|name| index(name)).collect()).collect();
    match (0..plugins.len()).find(|start| reaches(&direct, *start)) {
        Some(start) => Err(OrderError::Cycle(plugins[start].id.clone())),
        None => Ok(direct),
    }
}

/// Whether a plugin comes after itself.
fn reaches(direct: &[Vec<usize>], start: usize) -> bool {
    let (mut seen, mut pending) = (vec![false; direct.len()], direct[start].clone());
    while let Some(next) = pending.pop() {
        if next == start {
            return true;
        }
        if !std::mem::replace(&mut seen[next], true) {
            pending.extend(&direct[next]);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugins(list: &[(&str, &[&str])]) -> Vec<PluginConfig> {
        let one = |(id, after): &(&str, &[&str])| {
            let mut plugin = crate::testing::plugin(id);
            plugin.manifest.after = after.iter().map(|name| (*name).to_owned()).collect();
            plugin
        };
        list.iter().map(one).collect()
    }

    #[test]
    fn predecessors_are_found_by_name_and_unknown_ones_ignored() {
        let order = predecessors(&plugins(&[("c", &["a", "b", "elsewhere"]), ("a", &[]), ("b", &["a"])])).unwrap();
        assert_eq!(order, [vec![1, 2], vec![], vec![1]]);
    }

    #[test]
    fn circles_and_doubles_are_refused() {
        let refused = |list: &[(&str, &[&str])]| predecessors(&plugins(list)).unwrap_err();
        assert_eq!(refused(&[("a", &["a"])]), OrderError::Cycle("a".into()));
        assert_eq!(refused(&[("z", &["a"]), ("a", &["c"]), ("b", &["a"]), ("c", &["b"])]), OrderError::Cycle("a".into()));
        assert_eq!(refused(&[("a", &[]), ("b", &[]), ("a", &[])]), OrderError::Duplicate("a".into()));
    }
}
