import java.util.concurrent.CountDownLatch;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.impl.MQClientAPIImpl;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** What operators' tools ask a broker while a producer and a consumer are connected. */
final class Inspection {
    private static final String TOPIC = "Inspected";
    private static final String GROUP = "inspected-group";
    private static final long TIMEOUT = 5000;

    private final Session session;
    private final MQClientAPIImpl api;
    private final String broker;
    private final DefaultMQProducer producer;
    private final DefaultMQPushConsumer consumer;

    Inspection(Session session, MQClientAPIImpl api, String broker, DefaultMQProducer producer, DefaultMQPushConsumer consumer) {
        this.session = session;
        this.api = api;
        this.broker = broker;
        this.producer = producer;
        this.consumer = consumer;
    }

    static DefaultMQPushConsumer consumer() {
        return new DefaultMQPushConsumer(GROUP);
    }

    void run() throws Exception {
        api.createTopic(broker, "TBW102", new TopicConfig(TOPIC, 2, 2, 6), TIMEOUT);
        SendResult sent = producer.send(new Message(TOPIC, "paid", "order-1", "one".getBytes()), new MessageQueue(TOPIC, "broker-a", 0));
        producer.getDefaultMQProducerImpl().getMqClientFactory().sendHeartbeatToAllBrokerWithLock();
        consume();
        broker();
        topics();
        groups();
        clients(sent.getOffsetMsgId());
        consumer.shutdown();
        producer.shutdown();
        session.record(203, 206, "offline", () -> api.getConsumerConnectionList(broker, GROUP, TIMEOUT));
        session.record(307, 1, "offline", () -> api.getConsumerRunningInfo(broker, GROUP, "nobody", false, TIMEOUT));
    }

    private void consume() throws Exception {
        CountDownLatch consumed = new CountDownLatch(1);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(TOPIC, "paid || refunded");
        consumer.setMessageListener((MessageListenerConcurrently) (messages, context) -> {
            consumed.countDown();
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        consumed.await();
        consumer.getDefaultMQPushConsumerImpl().persistConsumerOffset();
    }

    private void broker() throws Exception {
        session.record(28, 0, "", () -> api.getBrokerRuntimeInfo(broker, TIMEOUT));
        session.record(305, 0, "", () -> api.getSystemTopicListFromBroker(broker, TIMEOUT));
        session.record(43, 0, "", () -> invoke(43));
        session.record(45, 0, "", () -> invoke(45));
    }

    private void topics() throws Exception {
        session.record(202, 0, "", () -> api.getTopicStatsInfo(broker, TOPIC, TIMEOUT));
        session.record(202, 17, "unknown", () -> api.getTopicStatsInfo(broker, "NoSuchTopic", TIMEOUT));
        session.record(321, 0, "", () -> api.queryConsumeQueue(broker, TOPIC, 0, 0, 10, null, TIMEOUT));
        session.record(321, 0, "subscribed", () -> api.queryConsumeQueue(broker, TOPIC, 0, 0, 10, GROUP, TIMEOUT));
        session.record(321, 0, "offline", () -> api.queryConsumeQueue(broker, TOPIC, 0, 0, 10, "nobody-online", TIMEOUT));
        session.record(321, 0, "no_index", () -> api.queryConsumeQueue(broker, TOPIC, 0, 100, 10, null, TIMEOUT));
        session.record(321, 1, "no_queue", () -> api.queryConsumeQueue(broker, "NoSuchTopic", 0, 0, 10, null, TIMEOUT));
    }

    private void groups() throws Exception {
        session.record(208, 0, "", () -> api.getConsumeStats(broker, GROUP, (String) null, TIMEOUT));
        session.record(208, 0, "topic", () -> api.getConsumeStats(broker, GROUP, TOPIC, TIMEOUT));
        session.record(208, 0, "never_seen", () -> api.getConsumeStats(broker, "never-seen", (String) null, TIMEOUT));
        session.record(317, 0, "", () -> api.fetchConsumeStatsInBroker(broker, false, TIMEOUT));
        session.record(315, 0, "", () -> api.viewBrokerStatsData(broker, "TOPIC_PUT_NUMS", TOPIC, TIMEOUT));
        session.record(315, 0, "group", () -> api.viewBrokerStatsData(broker, "GROUP_GET_NUMS", TOPIC + "@" + GROUP, TIMEOUT));
        session.record(315, 1, "unknown", () -> api.viewBrokerStatsData(broker, "TOPIC_PUT_NUMS", "NoSuchTopic", TIMEOUT));
        session.record(303, 0, "", () -> api.queryConsumeTimeSpan(broker, TOPIC, GROUP, TIMEOUT));
        session.record(303, 17, "unknown", () -> api.queryConsumeTimeSpan(broker, "NoSuchTopic", GROUP, TIMEOUT));
        session.record(300, 0, "", () -> api.queryTopicConsumeByWho(broker, TOPIC, TIMEOUT));
        session.record(343, 0, "", () -> api.queryTopicsByConsumer(broker, GROUP, TIMEOUT));
        session.record(345, 0, "", () -> api.querySubscriptionByConsumer(broker, GROUP, TOPIC, TIMEOUT));
        session.record(345, 0, "none", () -> api.querySubscriptionByConsumer(broker, GROUP, "NoSuchTopic", TIMEOUT));
    }

    private void clients(String messageId) throws Exception {
        String client = consumer.getDefaultMQPushConsumerImpl().getmQClientFactory().getClientId();
        session.record(203, 0, "", () -> api.getConsumerConnectionList(broker, GROUP, TIMEOUT));
        session.record(204, 0, "", () -> api.getProducerConnectionList(broker, producer.getProducerGroup(), TIMEOUT));
        session.record(204, 1, "unknown", () -> api.getProducerConnectionList(broker, "no-such-producer", TIMEOUT));
        session.record(328, 0, "", () -> api.getAllProducerInfo(broker, TIMEOUT));
        session.record(307, 0, "", () -> api.getConsumerRunningInfo(broker, GROUP, client, false, TIMEOUT));
        session.record(309, 0, "", () -> api.consumeMessageDirectly(broker, GROUP, client, TOPIC, messageId, TIMEOUT));
    }

    private RemotingCommand invoke(int code) throws Exception {
        return api.getRemotingClient().invokeSync(broker, RemotingCommand.createRequestCommand(code, null), TIMEOUT);
    }
}
