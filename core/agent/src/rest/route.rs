//! Which answer a path asks for. Patroni goes by the first segment of a path, whatever follows it, and so do the tools made for it.

use axum::http::Method;
use tanist_patroni::rest::{first_segment, is_health_path};

/// What a `GET` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Node,
    Cluster,
    History,
    Config,
    Failsafe,
    Metrics,
    Explain,
    Plugins,
    /// A code, and the node.
    Health,
}

impl Page {
    pub(super) fn of(path: &str) -> Option<Self> {
        Some(match first_segment(path) {
            "patroni" => Self::Node,
            "cluster" => Self::Cluster,
            "history" => Self::History,
            "config" => Self::Config,
            "failsafe" => Self::Failsafe,
            "metrics" => Self::Metrics,
            "explain" => Self::Explain,
            "plugins" => Self::Plugins,
            _ if is_health_path(path) => Self::Health,
            _ => return None,
        })
    }
}

/// What another method asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    AskFailsafe,
    Switchover,
    Failover,
    ForgetSwitchover,
    Restart,
    ForgetRestart,
    Reload,
    ChangeConfig,
    ReplaceConfig,
}

impl Act {
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        Some(match (method.as_str(), first_segment(path)) {
            ("POST", "failsafe") => Self::AskFailsafe,
            ("POST", "switchover") => Self::Switchover,
            ("POST", "failover") => Self::Failover,
            ("DELETE", "switchover") => Self::ForgetSwitchover,
            ("POST", "restart") => Self::Restart,
            ("DELETE", "restart") => Self::ForgetRestart,
            ("POST", "reload") => Self::Reload,
            ("PATCH", "config") => Self::ChangeConfig,
            ("PUT", "config") => Self::ReplaceConfig,
            _ => return None,
        })
    }

    /// Without a body it says nothing.
    pub(super) fn needs_body(self) -> bool {
        match self {
            Self::AskFailsafe | Self::Switchover | Self::Failover | Self::ChangeConfig | Self::ReplaceConfig => true,
            Self::ForgetSwitchover | Self::Restart | Self::ForgetRestart | Self::Reload => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_segment_counts() {
        for (paths, page) in [
            (["/metrics", "/metrics/", "//metrics/x"], Page::Metrics),
            (["/patroni", "/patroni/", "/patroni/a"], Page::Node),
            (["/cluster", "/cluster/", "/cluster/a"], Page::Cluster),
            (["/config", "/config/", "/config/a"], Page::Config),
            (["/history", "/history/", "/history/a"], Page::History),
            (["/", "/primary/", "/replica/a"], Page::Health),
        ] {
            assert_eq!(paths.map(Page::of), [Some(page); 3], "{paths:?}");
        }
        assert_eq!((Page::of("/nonsense/patroni"), Page::of("/metricsx")), (None, None));
        for (method, path, act) in [
            (Method::POST, "/switchover/", Act::Switchover),
            (Method::DELETE, "/switchover/", Act::ForgetSwitchover),
            (Method::DELETE, "/restart", Act::ForgetRestart),
            (Method::PATCH, "/config/", Act::ChangeConfig),
        ] {
            assert_eq!(Act::of(&method, path), Some(act), "{method} {path}");
        }
        assert_eq!((Act::of(&Method::DELETE, "/config"), Act::of(&Method::POST, "/reinitialize")), (None, None));
    }
}
