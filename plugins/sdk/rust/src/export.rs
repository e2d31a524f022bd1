//! From the component's exports to the author's [`Plugin`].

use crate::{
    Error, Event, Plugin, View,
    bindings::exports::tanist::plugin::{callbacks, reconcile},
};
use std::marker::PhantomData;

/// Gives a [`Plugin`] the form the generated exports want.
#[derive(Debug)]
pub struct Adapter<P>(PhantomData<P>);

impl<P: Plugin> callbacks::Guest for Adapter<P> {
    fn on_start(event: Event) -> Result<(), Error> {
        P::on_start(event)
    }

    fn on_stop(event: Event) -> Result<(), Error> {
        P::on_stop(event)
    }

    fn on_restart(event: Event) -> Result<(), Error> {
        P::on_restart(event)
    }

    fn on_reload(event: Event) -> Result<(), Error> {
        P::on_reload(event)
    }

    fn on_role_change(event: Event) -> Result<(), Error> {
        P::on_role_change(event)
    }
}

impl<P: Plugin> reconcile::Guest for Adapter<P> {
    fn reconcile(view: View) -> Result<(), Error> {
        P::reconcile(view)
    }
}

/// Makes a type that implements [`Plugin`] the component's exports. Once per component. Does nothing off Wasm, so that
/// `cargo test` links.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        mod __tanist_export {
            use super::*;
            type Exported = $crate::Adapter<$plugin>;
            $crate::bindings::__export_bindings!(Exported with_types_in $crate::bindings);
        }
    };
}
