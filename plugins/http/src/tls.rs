//! TLS: which certificates are believed.

use crate::AccessError;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::sync::Arc;

/// Believes what the system believes, or, with `ca`, only what these certificates (PEM) have signed.
pub(crate) fn client(ca: Option<&[u8]>) -> Result<Arc<ClientConfig>, AccessError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| AccessError::Ca(error.to_string()))?;
                roots.add(certificate).map_err(|error| AccessError::Ca(error.to_string()))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            // One certificate that cannot be read does not make the others worthless.
            roots.add_parsable_certificates(found.certs);
        }
    }
    if roots.is_empty() {
        return Err(AccessError::NoRoots);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| AccessError::Ca(error.to_string()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}
