//! The bundled plugins, embedded as components. They get no rights that anybody's plugin would not get.

/// Name (after `builtin:`) and component.
pub const BUILTINS: &[(&str, &[u8])] = &[
    ("dns-update", include_bytes!(concat!(env!("OUT_DIR"), "/dns-update.wasm"))),
    ("notify", include_bytes!(concat!(env!("OUT_DIR"), "/notify.wasm"))),
];

/// The component of that name.
pub(crate) fn find(name: &str) -> Option<&'static [u8]> {
    BUILTINS.iter().find(|(known, _)| *known == name).map(|(_, component)| *component)
}
