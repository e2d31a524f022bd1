//! What a component asks for and offers, read off its type before any of its code runs.

use std::collections::BTreeSet;
use tanist_broker::protocol::{Export, Import, LoadFailure};
use wasmtime::{Engine, component::Component};

const PACKAGE: &str = "tanist:plugin/";
/// Versions of the package this host speaks: every 0.1.x.
const SPOKEN: &str = "0.1";
const EXPORTS: [Export; 2] = [Export::Callbacks, Export::Reconcile];
/// Only the types of events; nothing is linked for it.
const TYPES: &str = "types";

/// The shape of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Full names of everything it imports.
    pub(crate) imports: Vec<String>,
    /// Our interfaces among them.
    pub(crate) asked: BTreeSet<Import>,
    /// Our interfaces it exports.
    pub(crate) exports: Vec<Export>,
}

impl Shape {
    /// Reads a component. Fails when no set of grants would let it run here.
    pub(crate) fn of(component: &Component, engine: &Engine) -> Result<Self, LoadFailure> {
        let kind = component.component_type();
        let imports: Vec<String> = kind.imports(engine).map(|(name, _)| name.to_owned()).collect();
        let exports: Vec<String> = kind.exports(engine).map(|(name, _)| name.to_owned()).collect();
        Self::from_names(imports, &exports)
    }

    fn from_names(imports: Vec<String>, exports: &[String]) -> Result<Self, LoadFailure> {
        let mut asked = BTreeSet::new();
        for name in &imports {
            match ours(name)? {
                Some(interface) if interface == TYPES => {}
                Some(interface) => match Import::ALL.iter().find(|import| import.name() == interface) {
                    Some(import) => asked.extend([*import]),
                    None => return Err(LoadFailure::Incompatible(format!("it imports {name}, which this host does not have"))),
                },
                None if name.starts_with("wasi:") => {}
                None => return Err(LoadFailure::Incompatible(format!("it imports {name}, which no host of plugins has"))),
            }
        }
        let mut offered = Vec::new();
        for name in exports {
            // What is exported beyond our interfaces is the component's own affair (Python exports an `exports`).
            let Some(interface) = ours(name)? else { continue };
            offered.extend(EXPORTS.iter().find(|export| export.name() == interface));
        }
        if offered.is_empty() {
            let wanted = EXPORTS.map(|export| format!("{PACKAGE}{}@{SPOKEN}", export.name())).join(" nor ");
            return Err(LoadFailure::Incompatible(format!("it exports neither {wanted}")));
        }
        Ok(Self { imports, asked, exports: offered })
    }

    /// Full name of an import that was asked for and is not in `granted`.
    pub(crate) fn missing(&self, granted: &BTreeSet<Import>) -> Vec<(Import, &str)> {
        let full = |import: &Import| {
            let prefix = format!("{PACKAGE}{}@", import.name());
            self.imports.iter().find(|name| name.starts_with(&prefix)).map_or(import.name(), String::as_str)
        };
        self.asked.difference(granted).map(|import| (*import, full(import))).collect()
    }
}

/// The interface behind a name of our package, in a version spoken here; none: not our package.
fn ours(name: &str) -> Result<Option<&str>, LoadFailure> {
    let Some(rest) = name.strip_prefix(PACKAGE) else { return Ok(None) };
    let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
    let patch = version.strip_prefix(SPOKEN).and_then(|patch| patch.strip_prefix('.'));
    if patch.is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit())) {
        return Ok(Some(interface));
    }
    Err(LoadFailure::Incompatible(format!("it was made for {name}; this host speaks tanist:plugin {SPOKEN}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(imports: &[&str], exports: &[&str]) -> Result<Shape, LoadFailure> {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Shape::from_names(own(imports), &own(exports))
    }

    #[test]
    fn a_plugin_of_a_later_patch_fits() {
        let shape = shape(
            &["tanist:plugin/types@0.1.9", "tanist:plugin/dns@0.1.9", "wasi:cli/exit@0.2.6"],
            &["tanist:plugin/reconcile@0.1.9", "exports"],
        )
        .unwrap();
        assert_eq!(shape.asked, BTreeSet::from([Import::Dns]));
        assert_eq!(shape.exports, [Export::Reconcile]);
        assert_eq!(shape.missing(&BTreeSet::new()), [(Import::Dns, "tanist:plugin/dns@0.1.9")]);
        assert!(shape.missing(&BTreeSet::from([Import::Dns])).is_empty());
    }

    #[test]
    fn what_no_grant_would_mend_is_told() {
        let text = |result: Result<Shape, LoadFailure>| result.unwrap_err().to_string();
        let callbacks = "tanist:plugin/callbacks@0.1.0";
        assert!(text(shape(&["tanist:plugin/log@0.2.0"], &[callbacks])).contains("this host speaks tanist:plugin 0.1"));
        assert!(text(shape(&["tanist:plugin/log@0.11.0"], &[callbacks])).contains("this host speaks"));
        assert!(text(shape(&["tanist:plugin/teleport@0.1.0"], &[callbacks])).contains("does not have"));
        assert!(text(shape(&["acme:things/x@1.0.0"], &[callbacks])).contains("no host of plugins"));
        assert!(text(shape(&[], &["run"])).contains("exports neither"));
    }
}
