//! The KV configuration: 100, 101, 102, 219.

use wire::body::{self, KVTable};
use wire::header::{KvKeyHeader, KvNamespaceHeader, PutKvConfigHeader};

use crate::reply::{Answer, Refused};
use crate::serve::Namesrv;

/// PUT_KV_CONFIG (100).
pub(crate) fn put(namesrv: &Namesrv, header: &PutKvConfigHeader<'_>) -> Result<Answer, Refused> {
    let (namespace, key) = (header.namespace.to_str(), header.key.to_str());
    let put = namesrv.kv().put(&namespace, &key, &header.value.to_str());
    let (namespace, key) = (namespace.into_owned(), key.into_owned());
    Ok(Answer::after(async move {
        put.await?;
        tracing::info!(namespace, key, "KV configuration changed");
        Ok(())
    }))
}

/// GET_KV_CONFIG (101).
pub(crate) fn get(namesrv: &Namesrv, header: &KvKeyHeader<'_>) -> Result<Answer, Refused> {
    let (namespace, key) = (header.namespace.to_str(), header.key.to_str());
    match namesrv.kv().get(&namespace, &key) {
        Some(value) => Ok(Answer::field("value", value)),
        None => Err(Refused::NoKey { namespace: namespace.into_owned(), key: key.into_owned() }),
    }
}

/// DELETE_KV_CONFIG (102).
pub(crate) fn delete(namesrv: &Namesrv, header: &KvKeyHeader<'_>) -> Result<Answer, Refused> {
    let (namespace, key) = (header.namespace.to_str(), header.key.to_str());
    let deleted = namesrv.kv().delete(&namespace, &key);
    let (namespace, key) = (namespace.into_owned(), key.into_owned());
    Ok(Answer::after(async move {
        deleted.await?;
        tracing::info!(namespace, key, "KV configuration deleted");
        Ok(())
    }))
}

/// GET_KVLIST_BY_NAMESPACE (219).
pub(crate) fn list(namesrv: &Namesrv, header: &KvNamespaceHeader<'_>) -> Result<Answer, Refused> {
    let namespace = header.namespace.to_str();
    match namesrv.kv().namespace(&namespace) {
        Some(table) => Ok(Answer::body(body::write(&KVTable { table }))),
        None => Err(Refused::NoNamespace(namespace.into_owned())),
    }
}
