import com.alibaba.fastjson2.JSON;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.impl.CommunicationMode;
import org.apache.rocketmq.client.impl.MQClientAPIImpl;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.BoundaryType;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.header.PullMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.QueryConsumerOffsetRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.QueryMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.SendMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.UpdateConsumerOffsetRequestHeader;
import org.apache.rocketmq.remoting.protocol.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * Fills a broker's small store ({@code write}, {@code write-until-killed}) and prints what a broker shows of one ({@code dump}).
 * Arguments: mode, name server, broker.
 */
public final class StoreScenario {
    private static final long TIMEOUT = 5000;
    private static final String BROKER_NAME = "broker-a";
    private static final String GROUP = "order-service";
    /** A group that the broker finds in its configuration file: no request may create one with so long a name. */
    private static final String LONG_GROUP = "long-group-name-".repeat(8);
    /** Longer than a signed byte can say: its records have the second format. */
    private static final String LONG_TOPIC = "%RETRY%" + LONG_GROUP;
    private static final int ROUNDS = 24;

    private final String broker;
    private final DefaultMQAdminExt admin = new DefaultMQAdminExt("fixture-admin");
    private final DefaultMQProducer producer = new DefaultMQProducer("order-producer");
    private MQClientAPIImpl api;

    private StoreScenario(String namesrv, String broker) throws Exception {
        this.broker = broker;
        configure(admin, namesrv, "admin");
        admin.start();
        api = admin.getDefaultMQAdminExtImpl().getMqClientInstance().getMQClientAPIImpl();
        configure(producer, namesrv, "producer");
        producer.setCompressMsgBodyOverHowmuch(128);
        producer.start();
    }

    private static void configure(ClientConfig client, String namesrv, String instance) {
        client.setNamesrvAddr(namesrv);
        client.setClientIP("127.0.0.1");
        client.setInstanceName(instance);
    }

    public static void main(String[] args) throws Exception {
        PrintStream out = System.out;
        System.setOut(System.err);
        try {
            new StoreScenario(args[1], args[2]).run(args[0], out);
        } catch (Exception e) {
            e.printStackTrace();
            System.exit(1);
        }
        // The clients' threads would keep the process alive.
        System.exit(0);
    }

    private void run(String mode, PrintStream out) throws Exception {
        switch (mode) {
            case "write" -> write();
            case "write-until-killed" -> {
                write();
                writeOn(out);
            }
            case "dump" -> dump(out);
            default -> throw new IllegalArgumentException(mode);
        }
        producer.shutdown();
        admin.shutdown();
    }

    // ---- write ----

    private void write() throws Exception {
        api.createTopic(broker, "TBW102", new TopicConfig("Orders", 2, 2, 6), TIMEOUT);
        api.createTopic(broker, "TBW102", new TopicConfig("Payments", 1, 1, 6), TIMEOUT);
        SubscriptionGroupConfig group = new SubscriptionGroupConfig();
        group.setGroupName(GROUP);
        api.createSubscriptionGroup(broker, group, TIMEOUT);
        for (int round = 0; round < ROUNDS; round++) {
            writeRound(round);
        }
        commit("Orders", 0, 5);
        commit("Orders", 1, 7);
        commit("Payments", 0, 0);
    }

    /** Six messages: plain, tagged with keys, a batch of two, compressed or delayed, and one with a long topic name. */
    private void writeRound(int round) throws Exception {
        MessageQueue queue = new MessageQueue("Orders", BROKER_NAME, round % 2);
        producer.send(new Message("Payments", bytes("payment " + round)), new MessageQueue("Payments", BROKER_NAME, 0));
        Message tagged = new Message("Orders", "tag-" + round % 3, "order-" + round + " customer-" + round % 4, bytes("order " + round));
        tagged.putUserProperty("город", "Zürich");
        tagged.setFlag(round);
        producer.send(tagged, queue);
        producer.send(List.of(new Message("Orders", "batch", "in-batch-" + round, bytes("first of batch " + round)),
            new Message("Orders", "batch", "", bytes("second of batch " + round))), queue);
        if (round % 4 == 0) {
            Message delayed = new Message("Orders", "delayed", "later-" + round, bytes("delayed " + round));
            delayed.setDelayTimeLevel(18);
            producer.send(delayed, queue);
        } else {
            producer.send(new Message("Orders", "zip", "zip-" + round, bytes("compress me ".repeat(20))), queue);
        }
        if (round % 6 == 0) {
            SendMessageRequestHeader header = Headers.send(LONG_TOPIC, 0);
            Message message = new Message(LONG_TOPIC, "retried", "retry-" + round, bytes("long topic name " + round));
            header.setProperties(MessageDecoder.messageProperties2String(message.getProperties()));
            header.setReconsumeTimes(1);
            api.sendMessage(broker, BROKER_NAME, message, header, TIMEOUT, CommunicationMode.SYNC, null, null);
        }
    }

    /** Says "enough" and goes on: the broker dies under way. */
    private void writeOn(PrintStream out) throws Exception {
        producer.setRetryTimesWhenSendFailed(0);
        for (int round = ROUNDS;; round++) {
            writeRound(round);
            if (round == ROUNDS + 6) {
                out.println("enough");
                out.flush();
            }
        }
    }

    private void commit(String topic, int queueId, long offset) throws Exception {
        UpdateConsumerOffsetRequestHeader header = new UpdateConsumerOffsetRequestHeader();
        header.setConsumerGroup(GROUP);
        header.setTopic(topic);
        header.setQueueId(queueId);
        header.setCommitOffset(offset);
        api.updateConsumerOffset(broker, header, TIMEOUT);
    }

    // ---- dump ----

    private void dump(PrintStream out) throws Exception {
        List<Object> queues = new ArrayList<>();
        List<Object> messages = new ArrayList<>();
        List<Object> times = new ArrayList<>();
        Map<String, TreeSet<String>> asked = new TreeMap<>();
        Map<String, TopicConfig> topics = new TreeMap<>(api.getAllTopicConfig(broker, TIMEOUT).getTopicConfigTable());
        for (TopicConfig topic : topics.values()) {
            // A topic's own queues, and those that delay levels give to the schedule topic.
            for (int id = 0; id < topic.getReadQueueNums(); id++) {
                MessageQueue queue = new MessageQueue(topic.getTopicName(), BROKER_NAME, id);
                long min = api.getMinOffset(broker, queue, TIMEOUT);
                long max = api.getMaxOffset(broker, queue, TIMEOUT);
                if (max == 0) {
                    continue;
                }
                queues.add(row("topic", topic.getTopicName(), "queue", id, "min", min, "max", max));
                for (long offset = min; offset < max; offset++) {
                    MessageExt message = read(topic.getTopicName(), id, offset);
                    messages.add(row(message));
                    keysOf(message, asked);
                    if (offset == min || offset + 1 == max || offset == (min + max) / 2) {
                        times.add(search(queue, message.getStoreTimestamp()));
                    }
                }
                times.add(search(queue, 0));
                times.add(search(queue, Long.MAX_VALUE / 2));
            }
        }
        List<Object> offsets = List.of(offset("Orders", 0), offset("Orders", 1), offset("Payments", 0), offset("Orders", 9));
        print(out, Map.of("queues", queues, "messages", messages, "times", times, "keys", answers(asked), "offsets", offsets));
    }

    /** One row per line: readable in a diff. */
    private static void print(PrintStream out, Map<String, List<Object>> parts) {
        StringBuilder text = new StringBuilder("{");
        String separator = "";
        for (Map.Entry<String, List<Object>> part : new TreeMap<>(parts).entrySet()) {
            text.append(separator).append("\n\"").append(part.getKey()).append("\": [");
            separator = ",";
            String between = "\n";
            for (Object row : part.getValue()) {
                text.append(between).append(JSON.toJSONString(row));
                between = ",\n";
            }
            text.append("\n]");
        }
        byte[] bytes = text.append("\n}\n").toString().getBytes(StandardCharsets.UTF_8);
        out.write(bytes, 0, bytes.length);
        out.flush();
    }

    private MessageExt read(String topic, int queueId, long offset) throws Exception {
        PullMessageRequestHeader header = Headers.pull("dump-group", topic, queueId, offset);
        header.setMaxMsgNums(1);
        RemotingCommand answer = invoke(11, header);
        if (answer.getCode() != 0) {
            throw new IllegalStateException(topic + " " + queueId + " " + offset + ": " + answer);
        }
        return MessageDecoder.decode(ByteBuffer.wrap(answer.getBody()), true, false, false);
    }

    private static Map<String, Object> row(MessageExt m) {
        Map<String, Object> row = row("topic", m.getTopic(), "queue", m.getQueueId(), "offset", m.getQueueOffset(),
            "physical", m.getCommitLogOffset(), "size", m.getStoreSize(), "id", m.getMsgId(), "flag", m.getFlag(),
            "sysFlag", m.getSysFlag(), "born", m.getBornTimestamp(), "bornHost", host(m.getBornHost()), "stored", m.getStoreTimestamp(),
            "storeHost", host(m.getStoreHost()), "retries", m.getReconsumeTimes(), "prepared", m.getPreparedTransactionOffset(),
            "bodyCrc", m.getBodyCRC(), "body", HexFormat.of().formatHex(m.getBody()));
        row.put("properties", new TreeMap<>(m.getProperties()));
        return row;
    }

    private static String host(java.net.SocketAddress address) {
        java.net.InetSocketAddress inet = (java.net.InetSocketAddress) address;
        String ip = inet.getAddress().getHostAddress();
        return (ip.contains(":") ? "[" + ip + "]" : ip) + ":" + inet.getPort();
    }

    private static void keysOf(MessageExt message, Map<String, TreeSet<String>> asked) {
        TreeSet<String> keys = asked.computeIfAbsent(message.getTopic(), topic -> new TreeSet<>());
        for (String key : message.getKeys() == null ? new String[0] : message.getKeys().split(" ")) {
            if (!key.isEmpty()) {
                keys.add("K " + key);
            }
        }
        if (message.getTags() != null) {
            keys.add("T " + message.getTags());
        }
        String unique = message.getProperty("UNIQ_KEY");
        if (unique != null) {
            keys.add("U " + unique);
        }
    }

    /** What the index answers: physical offsets, ascending, of the newest 32 at most. */
    private List<Object> answers(Map<String, TreeSet<String>> asked) throws Exception {
        List<Object> rows = new ArrayList<>();
        for (Map.Entry<String, TreeSet<String>> topic : asked.entrySet()) {
            for (String typed : topic.getValue()) {
                String type = typed.substring(0, 1);
                QueryMessageRequestHeader header = new QueryMessageRequestHeader();
                header.setTopic(topic.getKey());
                header.setKey(typed.substring(2));
                header.setMaxNum(32);
                header.setBeginTimestamp(0L);
                header.setEndTimestamp(Long.MAX_VALUE);
                header.setIndexType(type);
                RemotingCommand answer = invoke(12, header);
                List<Long> found = new ArrayList<>();
                if (answer.getCode() == 0) {
                    ByteBuffer records = ByteBuffer.wrap(answer.getBody());
                    while (records.hasRemaining()) {
                        found.add(MessageDecoder.decode(records, true, false, false).getCommitLogOffset());
                    }
                }
                rows.add(row("topic", topic.getKey(), "type", type, "key", typed.substring(2), "physical", found));
            }
        }
        return rows;
    }

    private Map<String, Object> search(MessageQueue queue, long timestamp) throws Exception {
        return row("topic", queue.getTopic(), "queue", queue.getQueueId(), "timestamp", timestamp,
            "lower", api.searchOffset(broker, queue, timestamp, BoundaryType.LOWER, TIMEOUT),
            "upper", api.searchOffset(broker, queue, timestamp, BoundaryType.UPPER, TIMEOUT));
    }

    private Map<String, Object> offset(String topic, int queueId) throws Exception {
        QueryConsumerOffsetRequestHeader header = new QueryConsumerOffsetRequestHeader();
        header.setConsumerGroup(GROUP);
        header.setTopic(topic);
        header.setQueueId(queueId);
        header.setSetZeroIfNotFound(false);
        RemotingCommand answer = invoke(14, header);
        Object offset = answer.getCode() == 0 ? Long.valueOf(answer.getExtFields().get("offset")) : null;
        return row("topic", topic, "group", GROUP, "queue", queueId, "offset", offset);
    }

    private RemotingCommand invoke(int code, CommandCustomHeader header) throws Exception {
        return api.getRemotingClient().invokeSync(broker, RemotingCommand.createRequestCommand(code, header), TIMEOUT);
    }

    private static Map<String, Object> row(Object... namesAndValues) {
        Map<String, Object> row = new LinkedHashMap<>();
        for (int i = 0; i < namesAndValues.length; i += 2) {
            row.put((String) namesAndValues[i], namesAndValues[i + 1]);
        }
        return row;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
