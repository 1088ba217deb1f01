import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.impl.MQClientAPIImpl;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.header.CloneGroupOffsetRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.GetConsumerStatusRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PullMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.QueryCorrectionOffsetHeader;
import org.apache.rocketmq.remoting.protocol.header.ResetOffsetRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.SendMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.UpdateConsumerOffsetRequestHeader;
import org.apache.rocketmq.remoting.protocol.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** Requests by which an administrator changes a broker, and replies to requests: as {@link WireScenario}. */
public final class ChangeScenario {
    private static final String TOPIC = "Changes";
    private static final String REPLIES = "DefaultCluster_REPLY_TOPIC";
    private static final String GROUP = "change-group";
    private static final long TIMEOUT = 5000;
    /** Longer than the session: what repeats in the background would only be noise. */
    private static final int NEVER = 3_600_000;

    private final Session session = new Session();
    private final String namesrv;
    private final String broker;
    private final String brokerName;
    private DefaultMQAdminExt admin;
    private MQClientAPIImpl api;
    private DefaultMQProducer producer;

    private ChangeScenario(String namesrv, String broker, String brokerName) {
        this.namesrv = namesrv;
        this.broker = broker;
        this.brokerName = brokerName;
    }

    public static void main(String[] args) throws Exception {
        try {
            new ChangeScenario(args[1], args[2], args[3]).run();
        } catch (Exception e) {
            e.printStackTrace();
            System.exit(1);
        }
        // The clients' threads would keep the process alive.
        System.exit(0);
    }

    private void run() throws Exception {
        admin = new DefaultMQAdminExt("change-admin");
        configure(admin, "change-admin");
        admin.start();
        api = admin.getDefaultMQAdminExtImpl().getMqClientInstance().getMQClientAPIImpl();
        producer = new DefaultMQProducer("change-producer");
        configure(producer, "requester");
        producer.start();
        lists();
        for (int i = 0; i < 6; i++) {
            producer.send(new Message(TOPIC, bytes("body " + i)), new MessageQueue(TOPIC, brokerName, i % 2));
        }
        replies();
        settings();
        resets();
        throughMembers();
        offsets();
        clean();
        deleteGroup();
        producer.shutdown();
        admin.shutdown();
    }

    private void configure(ClientConfig client, String instance) {
        client.setNamesrvAddr(namesrv);
        client.setClientIP("127.0.0.1");
        client.setInstanceName(instance);
        client.setHeartbeatBrokerInterval(NEVER);
        client.setPollNameServerInterval(NEVER);
        client.setPersistConsumerOffsetInterval(NEVER);
    }

    private void lists() throws Exception {
        List<TopicConfig> topics = new ArrayList<>();
        topics.add(new TopicConfig(TOPIC, 2, 2, 6));
        topics.add(new TopicConfig("ChangesToo", 1, 1, 6));
        session.record(18, 0, "", () -> admin.createAndUpdateTopicConfigList(broker, topics));
        // Alone: behind one that is as it shall be the reference does not look.
        List<TopicConfig> bad = List.of(new TopicConfig("a b", 1, 1, 6));
        session.record(18, 29, "bad_name", () -> admin.createAndUpdateTopicConfigList(broker, bad));
        List<SubscriptionGroupConfig> groups = new ArrayList<>();
        for (String name : new String[] {GROUP, "change-group-too"}) {
            SubscriptionGroupConfig group = new SubscriptionGroupConfig();
            group.setGroupName(name);
            groups.add(group);
        }
        session.record(225, 0, "", () -> admin.createAndUpdateSubscriptionGroupConfigList(broker, groups));
    }

    private void replies() throws Exception {
        producer.getDefaultMQProducerImpl().getMqClientFactory().sendHeartbeatToAllBrokerWithLock();
        DefaultMQProducer replier = new DefaultMQProducer("change-replier");
        configure(replier, "replier");
        replier.setRetryTimesWhenSendFailed(0);
        replier.start();
        session.want(326, "client:0", "").want(325, 0, "").step(() -> replier.send(reply("127.0.0.1@requester")));
        session.record(325, 1, "nobody_waits", () -> replier.send(reply("127.0.0.1@nobody")));
        session.record(325, 1, "no_requester", () -> replier.send(reply(null)));
        session.record(324, 0, "", () -> {
            Message reply = reply("127.0.0.1@requester");
            SendMessageRequestHeader header = Headers.send(REPLIES, 0);
            header.setProperties(MessageDecoder.messageProperties2String(reply.getProperties()));
            invoke(324, header, reply.getBody());
        });
        replier.shutdown();
    }

    private static Message reply(String requester) {
        Message reply = new Message(REPLIES, bytes("a reply"));
        MessageAccessor.putProperty(reply, "MSG_TYPE", "reply");
        MessageAccessor.putProperty(reply, "CORRELATION_ID", "the-request");
        MessageAccessor.putProperty(reply, "TTL", "3000");
        if (requester != null) {
            MessageAccessor.putProperty(reply, "REPLY_TO_CLIENT", requester);
        }
        return reply;
    }

    private void settings() throws Exception {
        session.record(25, 0, "", () -> setting("fileReservedTime", "48"));
        session.record(25, 16, "black_list", () -> setting("brokerConfigPath", "/elsewhere"));
    }

    private void setting(String key, String value) throws Exception {
        Properties properties = new Properties();
        properties.setProperty(key, value);
        api.updateBrokerConfig(broker, properties, TIMEOUT);
    }

    private void resets() throws Exception {
        session.record(222, 0, "", () -> invoke(222, reset(TOPIC, GROUP, -1, null), null));
        session.record(15, 0, "reset", () -> api.updateConsumerOffset(broker, commit(0, 3), TIMEOUT));
        PullMessageRequestHeader pull = Headers.pull(GROUP, TOPIC, 0, 3);
        session.record(11, 21, "reset", () -> invoke(11, pull, null));
        session.record(222, 0, "queue", () -> invoke(222, reset(TOPIC, GROUP, 1, 2L), null));
        session.record(222, 1, "out_of_range", () -> invoke(222, reset(TOPIC, GROUP, 1, 99L), null));
        session.record(222, 17, "unknown_topic", () -> invoke(222, reset("NoSuchTopic", GROUP, -1, null), null));
        session.record(222, 26, "unknown_group", () -> invoke(222, reset(TOPIC, "no-such-group", -1, null), null));
        // The second queue's reset is still to be told.
        invoke(11, Headers.pull(GROUP, TOPIC, 1, 0), null);
    }

    private void throughMembers() throws Exception {
        setting("useServerSideResetOffset", "false");
        session.record(222, 206, "nobody_online", () -> invoke(222, reset(TOPIC, GROUP, -1, null), null));
        session.record(223, 1, "nobody_online", () -> invoke(223, status(), null));
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(GROUP);
        configure(consumer, "member");
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(TOPIC, "*");
        consumer.setMessageListener((MessageListenerConcurrently) (messages, context) -> ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
        consumer.start();
        await(() -> consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().size() == 2 + 1);
        session.want(221, "client:0", "").want(223, 0, "").step(() -> invoke(223, status(), null));
        session.want(220, "pushed", "").want(222, 0, "through_members").step(() -> invoke(222, reset(TOPIC, GROUP, -1, null), null));
        consumer.shutdown();
        setting("useServerSideResetOffset", "true");
    }

    private static ResetOffsetRequestHeader reset(String topic, String group, int queueId, Long offset) {
        ResetOffsetRequestHeader header = new ResetOffsetRequestHeader();
        header.setTopic(topic);
        header.setGroup(group);
        header.setQueueId(queueId);
        header.setOffset(offset);
        header.setTimestamp(0);
        header.setForce(true);
        return header;
    }

    private static GetConsumerStatusRequestHeader status() {
        GetConsumerStatusRequestHeader header = new GetConsumerStatusRequestHeader();
        header.setTopic(TOPIC);
        header.setGroup(GROUP);
        return header;
    }

    private UpdateConsumerOffsetRequestHeader commit(int queueId, long offset) {
        UpdateConsumerOffsetRequestHeader header = new UpdateConsumerOffsetRequestHeader();
        header.setConsumerGroup(GROUP);
        header.setTopic(TOPIC);
        header.setQueueId(queueId);
        header.setCommitOffset(offset);
        header.setBrokerName(brokerName);
        return header;
    }

    private void offsets() throws Exception {
        CloneGroupOffsetRequestHeader clone = new CloneGroupOffsetRequestHeader();
        clone.setSrcGroup(GROUP);
        clone.setDestGroup("change-group-too");
        clone.setTopic(TOPIC);
        clone.setOffline(true);
        session.record(314, 0, "", () -> invoke(314, clone, null));
        QueryCorrectionOffsetHeader correction = new QueryCorrectionOffsetHeader();
        correction.setTopic(TOPIC);
        correction.setCompareGroup(GROUP);
        session.record(308, 0, "", () -> invoke(308, correction, null));
    }

    private void clean() throws Exception {
        session.record(306, 0, "", () -> invoke(306, null, null));
        session.record(316, 0, "", () -> invoke(316, null, null));
        session.record(329, 0, "", () -> invoke(329, null, null));
    }

    private void deleteGroup() throws Exception {
        session.record(207, 0, "", () -> api.deleteSubscriptionGroup(broker, GROUP, true, TIMEOUT));
        session.record(207, 0, "unknown", () -> api.deleteSubscriptionGroup(broker, "no-such-group", false, TIMEOUT));
    }

    private RemotingCommand invoke(int code, CommandCustomHeader header, byte[] body) throws Exception {
        RemotingCommand request = RemotingCommand.createRequestCommand(code, header);
        request.setBody(body);
        return api.getRemotingClient().invokeSync(broker, request, TIMEOUT);
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static void await(BooleanSupplier done) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (!done.getAsBoolean()) {
            if (System.nanoTime() > end) {
                throw new IllegalStateException("waited 30 s in vain");
            }
            Thread.sleep(5);
        }
    }
}
