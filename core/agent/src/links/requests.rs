//! The `http` capability of plugins, carried out: the broker's trait over the HTTP client, and the only place that holds what the
//! operator configured for it.

use crate::config::HttpGrantSetting;
use async_trait::async_trait;
use std::{collections::BTreeMap, time::Duration};
use tanist_broker::{HttpExchange, HttpFailure, HttpGrant, HttpSender, protocol::HttpResponse};
use tanist_http::{Access, AccessError, Answer, Credentials, Failure, Request, send};

/// Accesses by name.
#[derive(Default)]
pub struct Requests {
    accesses: BTreeMap<String, Access>,
}

impl Requests {
    /// Takes what belongs to a grant, and gives the broker the rest: `name` connects the two.
    pub fn grant(&mut self, name: String, setting: &HttpGrantSetting) -> Result<HttpGrant, AccessError> {
        let HttpGrantSetting { url, methods, addresses, headers, signing_key, ca } = setting;
        let credentials = Credentials {
            headers: headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect(),
            signing_key: signing_key.as_ref().map(|key| key.expose().as_bytes().to_vec()),
            ca: ca.clone(),
        };
        self.accesses.insert(name.clone(), Access::new(credentials, url.secure)?);
        Ok(HttpGrant {
            url: url.to_string(),
            methods: methods.clone(),
            addresses: addresses.clone(),
            access: name,
            headers: headers.iter().map(|(name, _)| name.clone()).collect(),
        })
    }
}

#[async_trait]
impl HttpSender for Requests {
    async fn send(&self, exchange: HttpExchange, within: Duration) -> Result<HttpResponse, HttpFailure> {
        let HttpExchange { access, method, url, addresses, headers, body, most } = exchange;
        let Some(access) = self.accesses.get(&access) else {
            // Never sent without what the operator wanted added.
            return Err(HttpFailure::Refused(format!("there is no access {access}")));
        };
        let (authority, target) = (url.authority(), url.target());
        let request = Request { method, host: url.host, port: url.port, authority, target, headers, body, addresses, most };
        match send(request, access, within).await {
            Ok(Answer { status, headers, body }) => Ok(HttpResponse { status, headers, body }),
            Err(Failure::Refused(text)) => Err(HttpFailure::Refused(text)),
            Err(Failure::Unreachable(text)) => Err(HttpFailure::Unreachable(text)),
            Err(Failure::Unknown(text)) => Err(HttpFailure::Unknown(text)),
        }
    }
}
