//! Requests about routes and topics.

use std::sync::Arc;

use wire::body::{
    BrokerData, ClusterInfo, TopicConfig, TopicList, TopicRouteData, TopicStatsTable,
};
use wire::codes::RequestCode;
use wire::header::{
    CreateTopicHeader, DeleteTopicFromNamesrvHeader, GetRouteInfoHeader, NoHeader, TopicHeader,
};
use wire::reply_codes;

use super::{Answer, Remote};
use crate::admin::{Cluster, TopicSpec};
use crate::error::{CallError, RouteError};
use crate::route::{Brokers, Route, Share};
use crate::routes::TEMPLATE_TOPIC;

impl Remote {
    /// A topic's route.
    pub(crate) async fn route(&self, topic: &str) -> Result<Route, RouteError> {
        let header = GetRouteInfoHeader { topic: topic.into() };
        let answer = self.ask_names(RequestCode::GetRouteinfoByTopic, &header).await?;
        match answer.code() {
            reply_codes::SUCCESS => {}
            reply_codes::TOPIC_NOT_EXIST => {
                let address = answer.address.clone();
                return Err(RouteError::NoTopic { topic: topic.to_owned(), address });
            }
            _ => return Err(answer.refused().into()),
        }
        let body: TopicRouteData = answer.json()?;
        let shares = body.queue_datas.iter().map(|data| {
            let share = Share {
                read_queues: count(data.read_queue_nums),
                write_queues: count(data.write_queue_nums),
                permission: data.perm,
            };
            (data.broker_name.as_str().into(), share)
        });
        Ok(Route {
            shares: shares.collect(),
            brokers: brokers(body.broker_datas.iter()),
            order: body.order_topic_conf.as_deref().map_or_else(Vec::new, Route::parse_order),
        })
    }

    /// The brokers that the name server knows.
    pub(crate) async fn cluster(&self) -> Result<Cluster, CallError> {
        let answer = self.ask_names(RequestCode::GetBrokerClusterInfo, &NoHeader).await?;
        cluster(&answer.success()?)
    }

    /// The brokers that one name server knows.
    pub(crate) async fn cluster_at(&self, name_server: &Arc<str>) -> Result<Cluster, CallError> {
        let request = RequestCode::GetBrokerClusterInfo;
        cluster(&self.administer(name_server, request, &NoHeader).await?)
    }

    /// Names of all topics.
    pub(crate) async fn topics(&self) -> Result<Vec<String>, CallError> {
        let request = RequestCode::GetAllTopicListFromNameserver;
        let answer = self.ask_names(request, &NoHeader).await?;
        Ok(answer.success()?.json::<TopicList>()?.topic_list)
    }

    /// Creates a topic at one broker, or changes it.
    pub(crate) async fn create_topic(
        &self,
        address: &Arc<str>,
        topic: &TopicSpec,
    ) -> Result<(), CallError> {
        let count = |queues: u32| i32::try_from(queues).unwrap_or(i32::MAX);
        let header = CreateTopicHeader {
            topic: topic.name.as_str().into(),
            default_topic: TEMPLATE_TOPIC.into(),
            read_queue_nums: count(topic.read_queues),
            write_queue_nums: count(topic.write_queues),
            perm: topic.permission,
            topic_filter_type: "SINGLE_TAG".into(),
            topic_sys_flag: 0,
            order: topic.order,
            attributes: Some(topic.attributes.as_str().into()),
        };
        self.administer(address, RequestCode::UpdateAndCreateTopic, &header).await.map(drop)
    }

    /// Deletes a topic at one broker.
    pub(crate) async fn delete_topic(
        &self,
        address: &Arc<str>,
        topic: &str,
    ) -> Result<(), CallError> {
        let header = TopicHeader { topic: topic.into() };
        self.administer(address, RequestCode::DeleteTopicInBroker, &header).await.map(drop)
    }

    /// Deletes a topic's route at every name server.
    pub(crate) async fn delete_route(
        &self,
        topic: &str,
        cluster: Option<&str>,
    ) -> Result<(), CallError> {
        let cluster_name = cluster.map(Into::into);
        let header = DeleteTopicFromNamesrvHeader { topic: topic.into(), cluster_name };
        for address in self.names.all() {
            self.administer(address, RequestCode::DeleteTopicInNamesrv, &header).await?;
        }
        Ok(())
    }

    /// A topic as one broker has it. Brokers before 5.0 do not know the request.
    pub(crate) async fn topic_config(
        &self,
        address: &Arc<str>,
        topic: &str,
    ) -> Result<TopicConfig, CallError> {
        let header = TopicHeader { topic: topic.into() };
        self.administer(address, RequestCode::GetTopicConfig, &header).await?.json()
    }

    /// What the queues of a topic hold at one broker.
    pub(crate) async fn topic_stats(
        &self,
        address: &Arc<str>,
        topic: &str,
    ) -> Result<TopicStatsTable, CallError> {
        let header = TopicHeader { topic: topic.into() };
        self.administer(address, RequestCode::GetTopicStatsInfo, &header).await?.json()
    }
}

fn cluster(answer: &Answer) -> Result<Cluster, CallError> {
    let body: ClusterInfo = answer.json()?;
    let clusters = body
        .cluster_addr_table
        .into_iter()
        .map(|(cluster, names)| (cluster, names.iter().map(|name| name.as_str().into()).collect()));
    let clusters = clusters.collect();
    Ok(Cluster { clusters, brokers: brokers(body.broker_addr_table.values()) })
}

fn brokers<'a>(data: impl Iterator<Item = &'a BrokerData>) -> Brokers {
    let members = data.map(|one| {
        let addresses = one
            .broker_addrs
            .iter()
            .filter_map(|(id, address)| Some((u64::try_from(*id).ok()?, address.as_str().into())));
        (one.broker_name.as_str().into(), addresses.collect())
    });
    members.collect()
}

/// A number of queues; one that is negative means none.
fn count(queues: i32) -> u32 {
    u32::try_from(queues).unwrap_or(0)
}
