import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullCallback;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.impl.CommunicationMode;
import org.apache.rocketmq.client.impl.MQClientAPIImpl;
import org.apache.rocketmq.client.impl.factory.MQClientInstance;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.BoundaryType;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.common.sysflag.PullSysFlag;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.protocol.DataVersion;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.body.LockBatchRequestBody;
import org.apache.rocketmq.remoting.protocol.body.UnlockBatchRequestBody;
import org.apache.rocketmq.remoting.protocol.header.GetAllSubscriptionGroupRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.GetAllTopicConfigRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.GetBrokerMemberGroupRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.GetMaxOffsetRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PullMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.QueryConsumerOffsetRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.QueryMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.SendMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.UpdateConsumerOffsetRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.namesrv.BrokerHeartbeatRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.namesrv.QueryDataVersionRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.namesrv.RegisterTopicRequestHeader;
import org.apache.rocketmq.remoting.protocol.route.QueueData;
import org.apache.rocketmq.remoting.protocol.route.TopicRouteData;
import org.apache.rocketmq.remoting.protocol.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What a producer, the three kinds of consumer and an administrator do with a broker: each step names the exchanges it causes. */
public final class WireScenario {
    private static final String ONEWAY = "oneway";
    private static final String PUSHED = "pushed";
    private static final String TOPIC = "Orders";
    private static final String CLUSTER = "DefaultCluster";
    private static final String GROUP = "order-service";
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

    private WireScenario(String namesrv, String broker, String brokerName) {
        this.namesrv = namesrv;
        this.broker = broker;
        this.brokerName = brokerName;
    }

    public static void main(String[] args) throws Exception {
        try {
            new WireScenario(args[1], args[2], args[3]).run(args[0]);
        } catch (Exception e) {
            e.printStackTrace();
            System.exit(1);
        }
        // The clients' threads would keep the process alive.
        System.exit(0);
    }

    private void run(String mode) throws Exception {
        start();
        if (mode.equals("long-names")) {
            sendWithLongNames();
        } else if (mode.equals("name-server")) {
            nameServer();
        } else if (mode.equals("inspection")) {
            inspection();
        } else {
            topicsAndGroups();
            routes();
            send();
            sendRefused();
            batch();
            pull();
            pullRefused();
            litePull();
            pushConsumer();
            orderlyConsumer();
            heartbeats();
            offsets();
            consumerOffsets();
            query();
            sendBack();
            withoutAutoCreatedGroups();
            deleteTopics();
            unknownCodes();
        }
        producer.shutdown();
        admin.shutdown();
    }

    private void start() throws Exception {
        admin = new DefaultMQAdminExt("fixture-admin");
        configure(admin, "admin");
        admin.start();
        api = admin.getDefaultMQAdminExtImpl().getMqClientInstance().getMQClientAPIImpl();
        producer = new DefaultMQProducer("order-producer");
        configure(producer, "producer");
        producer.start();
    }

    private void configure(ClientConfig client, String instance) {
        client.setNamesrvAddr(namesrv);
        client.setClientIP("127.0.0.1");
        client.setInstanceName(instance);
        client.setHeartbeatBrokerInterval(NEVER);
        client.setPollNameServerInterval(NEVER);
        client.setPersistConsumerOffsetInterval(NEVER);
    }

    // ---- administration ----

    private void topicsAndGroups() throws Exception {
        TopicConfig orders = new TopicConfig(TOPIC, 4, 4, 6);
        session.want(17, 0, "").want(103, 0, "one_topic").step(() -> api.createTopic(broker, "TBW102", orders, TIMEOUT));
        TopicConfig attributes = new TopicConfig("Payments", 1, 1, 6);
        attributes.setAttributes(Map.of("+message.type", "NORMAL"));
        session.record(17, 0, "attributes", () -> api.createTopic(broker, "TBW102", attributes, TIMEOUT));
        session.record(17, 29, "system_topic",
            () -> api.createTopic(broker, "TBW102", new TopicConfig("SCHEDULE_TOPIC_XXXX", 1, 1, 6), TIMEOUT));
        session.record(17, 29, "bad_name", () -> api.createTopic(broker, "TBW102", new TopicConfig("a b", 1, 1, 6), TIMEOUT));
        api.createTopic(broker, "TBW102", new TopicConfig("WriteOnly", 1, 1, 2), TIMEOUT);
        api.createTopic(broker, "TBW102", new TopicConfig("Empty", 1, 1, 6), TIMEOUT);

        SubscriptionGroupConfig group = new SubscriptionGroupConfig();
        group.setGroupName(GROUP);
        session.record(200, 0, "", () -> api.createSubscriptionGroup(broker, group, TIMEOUT));
        SubscriptionGroupConfig disabled = new SubscriptionGroupConfig();
        disabled.setGroupName("disabled-group");
        disabled.setConsumeEnable(false);
        session.record(200, 0, "disabled", () -> api.createSubscriptionGroup(broker, disabled, TIMEOUT));
        SubscriptionGroupConfig illegal = new SubscriptionGroupConfig();
        illegal.setGroupName("a b");
        session.record(200, 29, "bad_name", () -> api.createSubscriptionGroup(broker, illegal, TIMEOUT));

        session.record(21, 0, "", () -> api.getAllTopicConfig(broker, TIMEOUT));
        session.record(21, 0, "page", () -> invoke(21, topicPage()));
        session.record(201, 0, "", () -> api.getAllSubscriptionGroup(broker, TIMEOUT));
        session.record(201, 0, "page", () -> invoke(201, groupPage()));
        session.record(26, 0, "", () -> api.getBrokerConfig(broker, TIMEOUT));
        session.record(351, 0, "", () -> api.getTopicConfig(broker, TOPIC, TIMEOUT));
        session.record(351, 17, "unknown", () -> api.getTopicConfig(broker, "NoSuchTopic", TIMEOUT));
        session.record(352, 0, "", () -> api.getSubscriptionGroupConfig(broker, GROUP, TIMEOUT));
    }

    private static GetAllTopicConfigRequestHeader topicPage() {
        GetAllTopicConfigRequestHeader header = new GetAllTopicConfigRequestHeader();
        header.setTopicSeq(2);
        header.setMaxTopicNum(3);
        header.setDataVersion("");
        return header;
    }

    private static GetAllSubscriptionGroupRequestHeader groupPage() {
        GetAllSubscriptionGroupRequestHeader header = new GetAllSubscriptionGroupRequestHeader();
        header.setGroupSeq(1);
        header.setMaxGroupNum(2);
        header.setDataVersion("");
        return header;
    }

    private void routes() throws Exception {
        session.record(105, 0, "", () -> api.getTopicRouteInfoFromNameServer(TOPIC, TIMEOUT));
        session.record(105, 17, "unknown", () -> api.getTopicRouteInfoFromNameServer("NoSuchTopic", TIMEOUT));
        session.record(105, 0, "template", () -> api.getTopicRouteInfoFromNameServer("TBW102", TIMEOUT));
        session.record(106, 0, "", () -> api.getBrokerClusterInfo(TIMEOUT));
        session.record(206, 0, "", () -> api.getTopicListFromNameServer(TIMEOUT));
    }

    /** What administrators and brokers ask a name server for, besides routes. */
    private void nameServer() throws Exception {
        api.createTopic(broker, "TBW102", new TopicConfig(TOPIC, 4, 4, 6), TIMEOUT);
        session.record(100, 0, "", () -> api.putKVConfigValue("ORDER_TOPIC_CONFIG", TOPIC, brokerName + ":4", TIMEOUT));
        session.record(101, 0, "", () -> api.getKVConfigValue("ORDER_TOPIC_CONFIG", TOPIC, TIMEOUT));
        session.record(101, 22, "unknown", () -> api.getKVConfigValue("ORDER_TOPIC_CONFIG", "NoSuchTopic", TIMEOUT));
        session.record(105, 0, "ordered", () -> api.getTopicRouteInfoFromNameServer(TOPIC, TIMEOUT));
        session.record(219, 0, "", () -> api.getKVListByNamespace("ORDER_TOPIC_CONFIG", TIMEOUT));
        session.record(219, 22, "unknown", () -> api.getKVListByNamespace("NoSuchNamespace", TIMEOUT));
        session.record(102, 0, "", () -> api.deleteKVConfigValue("ORDER_TOPIC_CONFIG", TOPIC, TIMEOUT));
        session.record(205, 0, "", () -> api.wipeWritePermOfBroker(namesrv, brokerName, TIMEOUT));
        session.record(327, 0, "", () -> api.addWritePermOfBroker(namesrv, brokerName, TIMEOUT));
        session.record(224, 0, "", () -> api.getTopicsByCluster(CLUSTER, TIMEOUT));
        session.record(304, 0, "", () -> api.getSystemTopicList(TIMEOUT));
        session.record(311, 0, "", () -> api.getUnitTopicList(false, TIMEOUT));
        session.record(312, 0, "", () -> api.getHasUnitSubTopicList(false, TIMEOUT));
        session.record(313, 0, "", () -> api.getHasUnitSubUnUnitTopicList(false, TIMEOUT));
        Properties limits = new Properties();
        limits.setProperty("deleteTopicWithBrokerRegistration", "false");
        session.record(318, 0, "", () -> api.updateNameServerConfig(limits, List.of(namesrv), TIMEOUT));
        Properties paths = new Properties();
        paths.setProperty("kvConfigPath", "elsewhere.json");
        session.record(318, 16, "path", () -> api.updateNameServerConfig(paths, List.of(namesrv), TIMEOUT));
        session.record(319, 0, "", () -> api.getNameServerConfig(List.of(namesrv), TIMEOUT));
        asBroker();
    }

    private void asBroker() throws Exception {
        QueryDataVersionRequestHeader version = new QueryDataVersionRequestHeader();
        version.setBrokerAddr(broker);
        version.setBrokerId(0L);
        version.setBrokerName(brokerName);
        version.setClusterName(CLUSTER);
        session.record(322, 0, "changed", () -> tellNamesrv(322, version, new DataVersion().encode()));
        BrokerHeartbeatRequestHeader heartbeat = new BrokerHeartbeatRequestHeader();
        heartbeat.setBrokerAddr(broker);
        heartbeat.setBrokerName(brokerName);
        heartbeat.setClusterName(CLUSTER);
        session.record(904, 0, "", () -> tellNamesrv(904, heartbeat, null));
        GetBrokerMemberGroupRequestHeader members = new GetBrokerMemberGroupRequestHeader();
        members.setBrokerName(brokerName);
        members.setClusterName(CLUSTER);
        session.record(901, 0, "", () -> tellNamesrv(901, members, null));
        RegisterTopicRequestHeader topic = new RegisterTopicRequestHeader();
        topic.setTopic("RegisteredTopic");
        TopicRouteData route = new TopicRouteData();
        QueueData queues = new QueueData();
        queues.setBrokerName(brokerName);
        queues.setReadQueueNums(2);
        queues.setWriteQueueNums(2);
        queues.setPerm(6);
        route.setQueueDatas(List.of(queues));
        session.record(217, 0, "", () -> tellNamesrv(217, topic, route.encode()));
    }

    private RemotingCommand tellNamesrv(int code, CommandCustomHeader header, byte[] body) throws Exception {
        RemotingCommand request = RemotingCommand.createRequestCommand(code, header);
        request.setBody(body);
        return api.getRemotingClient().invokeSync(namesrv, request, TIMEOUT);
    }

    private void withoutAutoCreatedGroups() throws Exception {
        setting("autoCreateSubscriptionGroup", "false");
        session.record(352, 26, "unknown", () -> api.getSubscriptionGroupConfig(broker, "no-such-group", TIMEOUT));
        session.record(11, 26, "unknown_group", () -> pull(11, Headers.pull("no-such-group", TOPIC, 0, 0)));
        MessageExt message = oneMessage();
        session.record(36, 26, "unknown_group",
            () -> api.consumerSendMessageBack(broker, brokerName, message, "no-such-group", 1, TIMEOUT, 16));
        session.record(15, 26, "unknown_group", () -> api.updateConsumerOffset(broker, commit("no-such-group", TOPIC, 0, 1), TIMEOUT));
        session.record(310, 26, "unknown_group",
            () -> send(message("%RETRY%no-such-group", "t", "k", "x"), Headers.send("%RETRY%no-such-group", 0)));
        setting("autoCreateSubscriptionGroup", "true");
    }

    private void setting(String key, String value) throws Exception {
        Properties properties = new Properties();
        properties.setProperty(key, value);
        api.updateBrokerConfig(broker, properties, TIMEOUT);
    }

    private void deleteTopics() throws Exception {
        session.record(215, 0, "", () -> api.deleteTopicInBroker(broker, "Payments", TIMEOUT));
        session.record(215, 29, "system_topic", () -> api.deleteTopicInBroker(broker, "SCHEDULE_TOPIC_XXXX", TIMEOUT));
        session.record(216, 0, "", () -> api.deleteTopicInNameServer(namesrv, "Payments", TIMEOUT));
        session.record(216, 0, "cluster", () -> api.deleteTopicInNameServer(namesrv, CLUSTER, "Empty", TIMEOUT));
    }

    private void unknownCodes() throws Exception {
        session.record(9999, 3, "broker", () -> invoke(9999, new GetMaxOffsetRequestHeader()));
        RemotingCommand toNamesrv = RemotingCommand.createRequestCommand(9998, null);
        session.record(9998, 3, "namesrv", () -> api.getRemotingClient().invokeSync(namesrv, toNamesrv, TIMEOUT));
    }

    private RemotingCommand invoke(int code, CommandCustomHeader header) throws Exception {
        return api.getRemotingClient().invokeSync(broker, RemotingCommand.createRequestCommand(code, header), TIMEOUT);
    }

    private void inspection() throws Exception {
        DefaultMQProducer inspected = new DefaultMQProducer("inspected-producer");
        configure(inspected, "inspected-producer");
        inspected.start();
        DefaultMQPushConsumer consumer = Inspection.consumer();
        configure(consumer, "inspected-consumer");
        new Inspection(session, api, broker, inspected, consumer).run();
    }

    // ---- producers ----

    private void send() throws Exception {
        MessageQueue queue = queue(TOPIC, 0);
        session.record(310, 0, "", () -> producer.send(message(TOPIC, "paid", "order-1 customer-7", "hello"), queue));
        session.record(310, ONEWAY, "oneway", () -> producer.sendOneway(message(TOPIC, "paid", "order-2", "oneway"), queue));
        session.record(310, 0, "plain", () -> producer.send(new Message(TOPIC, bytes("no tag, no key")), queue));
        session.record(310, 0, "utf8", () -> {
            Message message = message(TOPIC, "bezahlt", "ключ", "grüße 你好");
            message.putUserProperty("city", "Zürich \"北京\"");
            message.setFlag(7);
            producer.send(message, queue);
        });
        session.record(310, 0, "delay", () -> {
            Message message = message(TOPIC, "later", "order-3", "delayed");
            message.setDelayTimeLevel(18);
            producer.send(message, queue);
        });
        session.record(310, 0, "created_topic", () -> producer.send(message("CreatedBySend", "t", "k", "creates its topic")));
        session.record(310, 0, "any_queue", () -> send(message(TOPIC, "t", "k", "queue -1"), Headers.send(TOPIC, -1)));
        producer.setCompressMsgBodyOverHowmuch(64);
        session.record(310, 0, "compressed", () -> producer.send(message(TOPIC, "zip", "order-4", "abc".repeat(100)), queue));
        producer.setCompressMsgBodyOverHowmuch(4096);
        for (int i = 0; i < 5; i++) {
            producer.send(message(TOPIC, i % 2 == 0 ? "even" : "odd", "key-" + i, "body " + i), queue(TOPIC, 1));
        }
    }

    private void sendRefused() throws Exception {
        session.record(310, 17, "unknown_topic", () -> send(message("NoSuchTopic", "t", "k", "x"), Headers.send("NoSuchTopic", 0)));
        session.record(310, 29, "bad_queue", () -> send(message(TOPIC, "t", "k", "x"), Headers.send(TOPIC, 99)));
        session.record(310, 29, "bad_name", () -> send(message("a b", "t", "k", "x"), Headers.send("a b", 0)));
        session.record(310, 16, "system_topic",
            () -> send(message("SCHEDULE_TOPIC_XXXX", "t", "k", "x"), Headers.send("SCHEDULE_TOPIC_XXXX", 0)));
        setting("maxMessageSize", "1024");
        session.record(310, 13, "too_large", () -> send(message(TOPIC, "t", "k", "x".repeat(2000)), Headers.send(TOPIC, 0)));
        setting("maxMessageSize", "4194304");
    }

    private void batch() throws Exception {
        session.record(320, 0, "", () -> {
            List<Message> messages = new ArrayList<>();
            for (int i = 0; i < 3; i++) {
                messages.add(message(TOPIC, "batch", "batch-" + i, "in a batch " + i));
            }
            producer.send(messages, queue(TOPIC, 2));
        });
    }

    private void sendWithLongNames() throws Exception {
        session.record(10, 0, "", () -> producer.send(message(TOPIC, "paid", "order-5", "long names"), queue(TOPIC, 3)));
        session.record(10, ONEWAY, "oneway", () -> producer.sendOneway(message(TOPIC, "paid", "order-6", "oneway"), queue(TOPIC, 3)));
        session.record(10, 17, "unknown_topic", () -> send(message("NoSuchTopic", "t", "k", "x"), Headers.send("NoSuchTopic", 0)));
    }

    private SendResult send(Message message, SendMessageRequestHeader header) throws Exception {
        header.setProperties(MessageDecoder.messageProperties2String(message.getProperties()));
        return api.sendMessage(broker, brokerName, message, header, TIMEOUT, CommunicationMode.SYNC, null, null);
    }

    // ---- consumers ----

    private void pull() throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(GROUP);
        configure(consumer, "pull");
        consumer.setBrokerSuspendMaxTimeMillis(1000);
        consumer.start();
        MessageQueue first = queue(TOPIC, 0);
        MessageQueue second = queue(TOPIC, 1);
        long end = consumer.maxOffset(second);
        session.record(11, 0, "found", () -> consumer.pull(first, "*", 0, 32));
        session.record(11, 0, "found_by_tag", () -> consumer.pull(second, "odd", 0, 32));
        session.record(11, 0, "found_one", () -> consumer.pull(second, "*", 1, 1));
        session.record(11, 20, "no_matched", () -> consumer.pull(second, "nobody-uses-this", 0, 32));
        session.record(11, 19, "not_found", () -> consumer.pull(second, "*", end, 32));
        session.record(11, 19, "suspended_timeout", () -> consumer.pullBlockIfNotFound(second, "*", end, 32));
        session.record(11, 21, "offset_beyond", () -> consumer.pull(second, "*", end + 100, 32));
        session.record(11, 19, "empty_queue", () -> consumer.pull(queue("Empty", 0), "*", 0, 32));
        session.record(11, 21, "empty_queue_beyond", () -> consumer.pull(queue("Empty", 0), "*", 5, 32));
        session.record(11, 0, "suspended_found", () -> {
            CountDownLatch answered = new CountDownLatch(1);
            consumer.setBrokerSuspendMaxTimeMillis(10_000);
            consumer.pullBlockIfNotFound(second, "*", end, 32, new PullCallback() {
                @Override
                public void onSuccess(PullResult result) {
                    answered.countDown();
                }

                @Override
                public void onException(Throwable e) {
                    answered.countDown();
                }
            });
            // The answer to a later request on the same connection shows that the pull has been parked or is about to be.
            consumer.maxOffset(second);
            producer.send(message(TOPIC, "wakes", "key-wake", "wakes the waiting pull"), second);
            answered.await(15, TimeUnit.SECONDS);
        });
        consumer.shutdown();
    }

    private void pullRefused() throws Exception {
        session.record(11, 17, "unknown_topic", () -> pull(11, Headers.pull(GROUP, "NoSuchTopic", 0, 0)));
        session.record(11, 29, "bad_queue", () -> pull(11, Headers.pull(GROUP, TOPIC, 99, 0)));
        session.record(11, 16, "topic_not_readable", () -> pull(11, Headers.pull(GROUP, "WriteOnly", 0, 0)));
        session.record(11, 16, "group_disabled", () -> pull(11, Headers.pull("disabled-group", TOPIC, 0, 0)));
        PullMessageRequestHeader unsubscribed = Headers.pull("nobody-online", TOPIC, 0, 0);
        unsubscribed.setSysFlag(PullSysFlag.buildSysFlag(false, false, false, false));
        session.record(11, 24, "no_subscription", () -> pull(11, unsubscribed));
        PullMessageRequestHeader expression = Headers.pull(GROUP, TOPIC, 0, 0);
        expression.setExpressionType("SQL92");
        expression.setSubscription("a >");
        session.record(11, 1, "sql_disabled", () -> pull(11, expression));
    }

    private void litePull() throws Exception {
        session.record(361, 19, "not_found", () -> pull(361, Headers.pull(GROUP, "Empty", 0, 0)));
        session.record(361, 21, "offset_beyond", () -> pull(361, Headers.pull(GROUP, TOPIC, 0, 10_000)));
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer("lite-group");
        configure(consumer, "lite");
        consumer.setAutoCommit(false);
        consumer.start();
        session.record(361, 0, "found", () -> {
            MessageQueue queue = queue(TOPIC, 1);
            consumer.assign(List.of(queue));
            consumer.seek(queue, 0);
            await(() -> !consumer.poll(100).isEmpty());
        });
        consumer.shutdown();
    }

    private RemotingCommand pull(int code, PullMessageRequestHeader header) throws Exception {
        if (code == 361) {
            header.setSysFlag(header.getSysFlag() | 0x10);
        }
        return invoke(code, header);
    }

    private void pushConsumer() throws Exception {
        AtomicReference<MessageExt> last = new AtomicReference<>();
        DefaultMQPushConsumer first = push("push-group", "push-1", last);
        session.want(34, 0, "push_consumer").want(38, 0, "").want(14, 22, "unknown").want(11, 0, "push_consumer").step(() -> {
            first.start();
            await(() -> last.get() != null);
        });
        DefaultMQPushConsumer second = push("push-group", "push-2", last);
        session.want(40, PUSHED, "").want(38, 0, "two_members").want(15, ONEWAY, "oneway").step(() -> {
            second.start();
            // The first member hands over half of its queues, and commits their offsets as it does.
            await(() -> first.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().size() == 2 + 1);
        });
        session.want(35, 0, "consumer").want(40, PUSHED, "leaves").step(second::shutdown);
        first.shutdown();
        session.record(38, 1, "nobody_online", () -> api.getConsumerIdListByGroup(broker, "push-group", TIMEOUT));
    }

    private DefaultMQPushConsumer push(String group, String instance, AtomicReference<MessageExt> last) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        configure(consumer, instance);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(TOPIC, "*");
        consumer.setMessageListener((MessageListenerConcurrently) (messages, context) -> {
            last.set(messages.get(messages.size() - 1));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        return consumer;
    }

    private void orderlyConsumer() throws Exception {
        AtomicReference<MessageExt> last = new AtomicReference<>();
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("orderly-group");
        configure(consumer, "orderly");
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(TOPIC, "even || odd");
        consumer.setMessageListener((MessageListenerOrderly) (messages, context) -> {
            last.set(messages.get(0));
            return ConsumeOrderlyStatus.SUCCESS;
        });
        session.want(34, 0, "orderly_consumer").want(41, 0, "").step(() -> {
            consumer.start();
            await(() -> last.get() != null);
        });
        LockBatchRequestBody lock = new LockBatchRequestBody();
        lock.setConsumerGroup("orderly-group");
        lock.setClientId("127.0.0.1@intruder");
        lock.setMqSet(allQueues());
        session.record(41, 0, "held_by_other", () -> api.lockBatchMQ(broker, lock, TIMEOUT));
        UnlockBatchRequestBody unlock = new UnlockBatchRequestBody();
        unlock.setConsumerGroup("orderly-group");
        unlock.setClientId("127.0.0.1@orderly");
        unlock.setMqSet(allQueues());
        session.record(42, 0, "", () -> api.unlockBatchMQ(broker, unlock, TIMEOUT, false));
        session.record(42, ONEWAY, "oneway", () -> api.unlockBatchMQ(broker, unlock, TIMEOUT, true));
        consumer.shutdown();
    }

    private Set<MessageQueue> allQueues() {
        Set<MessageQueue> queues = new HashSet<>();
        for (int id = 0; id < 4; id++) {
            queues.add(queue(TOPIC, id));
        }
        return queues;
    }

    private void heartbeats() throws Exception {
        MQClientInstance instance = producer.getDefaultMQProducerImpl().getMqClientFactory();
        session.record(34, 0, "producer", instance::sendHeartbeatToAllBrokerWithLock);

        DefaultMQPushConsumer consumer = push("push-group", "push-v2", new AtomicReference<>());
        consumer.setUseHeartbeatV2(true);
        session.record(34, 0, "v2_first", consumer::start);
        session.record(34, 0, "v2_again", () -> {
            consumer.getDefaultMQPushConsumerImpl().getmQClientFactory().sendHeartbeatToAllBrokerWithLock();
        });
        consumer.shutdown();

        DefaultMQProducer leaving = new DefaultMQProducer("leaving-producer");
        configure(leaving, "leaving");
        leaving.start();
        leaving.send(message(TOPIC, "t", "k", "before leaving"), queue(TOPIC, 3));
        leaving.getDefaultMQProducerImpl().getMqClientFactory().sendHeartbeatToAllBrokerWithLock();
        session.record(35, 0, "producer", leaving::shutdown);
    }

    // ---- offsets and queries ----

    private void offsets() throws Exception {
        MessageQueue queue = queue(TOPIC, 1);
        MessageQueue missing = queue("NoSuchTopic", 0);
        long now = System.currentTimeMillis();
        session.record(30, 0, "", () -> api.getMaxOffset(broker, queue, TIMEOUT));
        session.record(30, 0, "no_queue", () -> api.getMaxOffset(broker, missing, TIMEOUT));
        session.record(31, 0, "", () -> api.getMinOffset(broker, queue, TIMEOUT));
        session.record(31, 0, "no_queue", () -> api.getMinOffset(broker, missing, TIMEOUT));
        session.record(32, 0, "", () -> api.getEarliestMsgStoretime(broker, queue, TIMEOUT));
        session.record(32, 0, "no_queue", () -> api.getEarliestMsgStoretime(broker, missing, TIMEOUT));
        session.record(29, 0, "begin", () -> api.searchOffset(broker, queue, 0, BoundaryType.LOWER, TIMEOUT));
        session.record(29, 0, "lower", () -> api.searchOffset(broker, queue, now, BoundaryType.LOWER, TIMEOUT));
        session.record(29, 0, "upper", () -> api.searchOffset(broker, queue, now, BoundaryType.UPPER, TIMEOUT));
        session.record(29, 0, "without_boundary", () -> api.searchOffset(broker, queue, now, TIMEOUT));
        session.record(29, 0, "no_queue", () -> api.searchOffset(broker, missing, now, BoundaryType.LOWER, TIMEOUT));
    }

    private void consumerOffsets() throws Exception {
        session.record(15, 0, "", () -> api.updateConsumerOffset(broker, commit(GROUP, TOPIC, 0, 3), TIMEOUT));
        session.record(15, 17, "unknown_topic", () -> api.updateConsumerOffset(broker, commit(GROUP, "NoSuchTopic", 0, 3), TIMEOUT));
        session.record(14, 0, "", () -> api.queryConsumerOffset(broker, committed(GROUP, null), TIMEOUT));
        session.record(14, 0, "zero", () -> api.queryConsumerOffset(broker, committed("never-seen", null), TIMEOUT));
        session.record(14, 22, "not_zero", () -> api.queryConsumerOffset(broker, committed("never-seen", false), TIMEOUT));
    }

    private UpdateConsumerOffsetRequestHeader commit(String group, String topic, int queueId, long offset) {
        UpdateConsumerOffsetRequestHeader header = new UpdateConsumerOffsetRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(queueId);
        header.setCommitOffset(offset);
        header.setBrokerName(brokerName);
        return header;
    }

    private QueryConsumerOffsetRequestHeader committed(String group, Boolean setZeroIfNotFound) {
        QueryConsumerOffsetRequestHeader header = new QueryConsumerOffsetRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(TOPIC);
        header.setQueueId(0);
        header.setSetZeroIfNotFound(setZeroIfNotFound);
        header.setBrokerName(brokerName);
        return header;
    }

    private void query() throws Exception {
        SendResult sent = producer.send(message(TOPIC, "query", "find-me", "by key, id and tag"), queue(TOPIC, 3));
        String id = sent.getOffsetMsgId();
        long offset = MessageDecoder.decodeMessageId(id).getOffset();
        session.record(33, 0, "", () -> api.viewMessage(broker, TOPIC, offset, TIMEOUT));
        session.record(33, 1, "unknown", () -> api.viewMessage(broker, TOPIC, 1L << 40, TIMEOUT));
        // The index follows the log behind: ask until it has the message.
        await(() -> ask(queryHeader("find-me", null), false).getCode() == 0);
        session.record(12, 0, "by_key", () -> ask(queryHeader("find-me", null), false));
        session.record(12, 0, "by_unique_key", () -> ask(queryHeader(sent.getMsgId(), null), true));
        session.record(12, 0, "by_tag", () -> ask(queryHeader("query", "T"), false));
        session.record(12, 22, "unknown", () -> ask(queryHeader("nobody-has-this", null), false));
    }

    private QueryMessageRequestHeader queryHeader(String key, String indexType) {
        QueryMessageRequestHeader header = new QueryMessageRequestHeader();
        header.setTopic(TOPIC);
        header.setKey(key);
        header.setMaxNum(32);
        header.setBeginTimestamp(0L);
        header.setEndTimestamp(Long.MAX_VALUE);
        header.setIndexType(indexType);
        return header;
    }

    /** Asks once and waits for the answer, as the client's own query by key does. */
    private RemotingCommand ask(QueryMessageRequestHeader header, boolean uniqueKey) {
        try {
            RemotingCommand request = RemotingCommand.createRequestCommand(12, header);
            request.addExtField("_UNIQUE_KEY_QUERY", Boolean.toString(uniqueKey));
            return api.getRemotingClient().invokeSync(broker, request, TIMEOUT);
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    private void sendBack() throws Exception {
        MessageExt message = oneMessage();
        session.record(36, 0, "", () -> api.consumerSendMessageBack(broker, brokerName, message, GROUP, 3, TIMEOUT, 16));
        session.record(36, 0, "dead_letter", () -> api.consumerSendMessageBack(broker, brokerName, message, GROUP, -1, TIMEOUT, 16));
        MessageExt unknown = oneMessage();
        unknown.setCommitLogOffset(1L << 40);
        session.record(36, 1, "unknown_message",
            () -> api.consumerSendMessageBack(broker, brokerName, unknown, GROUP, 3, TIMEOUT, 16));
    }

    private MessageExt oneMessage() throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(GROUP);
        configure(consumer, "one-message");
        consumer.start();
        MessageExt message = consumer.pull(queue(TOPIC, 0), "*", 0, 1).getMsgFoundList().get(0);
        consumer.shutdown();
        return message;
    }

    // ---- small things ----

    private MessageQueue queue(String topic, int id) {
        return new MessageQueue(topic, brokerName, id);
    }

    private static Message message(String topic, String tag, String keys, String body) {
        return new Message(topic, tag, keys, bytes(body));
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
