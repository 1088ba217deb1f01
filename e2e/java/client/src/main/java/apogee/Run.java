package apogee;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.function.BooleanSupplier;

import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.UtilAll;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** What every program here shares: arguments, clients, bodies that can be checked, results. */
final class Run {
    private final Map<String, String> args = new TreeMap<>();
    private final Map<String, Object> results = Collections.synchronizedMap(new TreeMap<>());
    private final long end;

    /** Arguments have the form {@code name=value}. */
    Run(String[] arguments) {
        for (String argument : arguments) {
            int split = argument.indexOf('=');
            args.put(argument.substring(0, split), argument.substring(split + 1));
        }
        end = System.nanoTime() + number("limit", 60) * 1_000_000_000L;
    }

    String text(String name) {
        String value = args.get(name);
        if (value == null) {
            throw new IllegalArgumentException("argument " + name + " is missing");
        }
        return value;
    }

    String text(String name, String otherwise) {
        return args.getOrDefault(name, otherwise);
    }

    int number(String name, int otherwise) {
        return Integer.parseInt(args.getOrDefault(name, Integer.toString(otherwise)));
    }

    List<String> list(String name, String otherwise) {
        return Arrays.asList(text(name, otherwise).split(","));
    }

    /** Intervals of the client are shortened: what takes 30 s by default takes 1 s here. */
    private <C extends ClientConfig> C quick(C client) {
        client.setNamesrvAddr(text("namesrv"));
        client.setPollNameServerInterval(1000);
        client.setHeartbeatBrokerInterval(1000);
        client.setPersistConsumerOffsetInterval(1000);
        if (System.getProperty("com.rocketmq.sendMessageWithVIPChannel") == null) {
            client.setVipChannelEnabled(false);
        }
        return client;
    }

    DefaultMQProducer producer() {
        DefaultMQProducer producer = quick(new DefaultMQProducer(text("group") + "_producer"));
        producer.setDefaultTopicQueueNums(number("queues", 4));
        producer.setSendMsgTimeout(number("sendTimeout", 10_000));
        producer.setCompressMsgBodyOverHowmuch(number("compressOver", Integer.MAX_VALUE));
        producer.setMaxMessageSize(16 << 20);
        return producer;
    }

    /** Starts where {@code from} says: {@code first}, {@code last} or milliseconds of a time. */
    DefaultMQPushConsumer consumer(String group) {
        DefaultMQPushConsumer consumer = quick(new DefaultMQPushConsumer(group));
        // What a listener has taken is committed only when it has returned: shutting down waits for it.
        consumer.setAwaitTerminationMillisWhenShutdown(10_000);
        String from = text("from", "first");
        if (from.equals("first")) {
            consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        } else if (from.equals("last")) {
            consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET);
        } else {
            consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_TIMESTAMP);
            consumer.setConsumeTimestamp(UtilAll.timeMillisToHumanString3(Long.parseLong(from)));
        }
        return consumer;
    }

    <C extends ClientConfig> C configured(C client) {
        return quick(client);
    }

    /** A message whose body follows from its key and its properties, so that a reader can check it. */
    Message message(String topic, String key, String tag, int size) {
        String fill = text("fill", "text");
        Message message = new Message(topic, tag, key, body(key, fill, size));
        message.putUserProperty("fill", fill);
        message.putUserProperty("size", Integer.toString(size));
        return message;
    }

    private static byte[] body(String key, String fill, int size) {
        byte[] body = new byte[size];
        if (fill.equals("random")) {
            new Random(key.hashCode()).nextBytes(body);
            return body;
        }
        byte[] pattern = (key + ' ').getBytes(StandardCharsets.UTF_8);
        for (int i = 0; i < size; i++) {
            body[i] = pattern[i % pattern.length];
        }
        return body;
    }

    static Map<String, Object> describe(MessageExt message) {
        Map<String, Object> fields = new TreeMap<>();
        String fill = message.getUserProperty("fill");
        String size = message.getUserProperty("size");
        fields.put("key", message.getKeys());
        fields.put("tag", message.getTags());
        fields.put("topic", message.getTopic());
        fields.put("id", message.getMsgId());
        fields.put("queue", message.getQueueId());
        fields.put("offset", message.getQueueOffset());
        fields.put("reconsumed", message.getReconsumeTimes());
        fields.put("sysFlag", message.getSysFlag());
        fields.put("stored", message.getStoreSize());
        fields.put("held", message.getStoreTimestamp() - message.getBornTimestamp());
        fields.put("intact", fill != null && size != null && Arrays.equals(message.getBody(),
            body(message.getKeys(), fill, Integer.parseInt(size))));
        return fields;
    }

    static Map<String, Object> describe(String key, SendResult result) {
        Map<String, Object> fields = new TreeMap<>();
        fields.put("key", key);
        fields.put("status", result.getSendStatus().name());
        fields.put("id", result.getMsgId());
        fields.put("offsetId", result.getOffsetMsgId());
        fields.put("queue", result.getMessageQueue().getQueueId());
        fields.put("offset", result.getQueueOffset());
        return fields;
    }

    static Map<String, Object> describe(String key, Throwable error) {
        Map<String, Object> fields = new TreeMap<>();
        int code = -1;
        if (error instanceof MQBrokerException) {
            code = ((MQBrokerException) error).getResponseCode();
        } else if (error instanceof MQClientException) {
            code = ((MQClientException) error).getResponseCode();
        }
        fields.put("key", key);
        fields.put("code", code);
        fields.put("error", error.toString());
        return fields;
    }

    /** A list of the result under {@code name}; safe for client threads to add to. */
    List<Object> results(String name) {
        List<Object> list = Collections.synchronizedList(new ArrayList<>());
        results.put(name, list);
        return list;
    }

    void result(String name, Object value) {
        results.put(name, value);
    }

    /** Waits until {@code condition} holds; at the time limit the results so far are printed. */
    void await(String what, BooleanSupplier condition) throws InterruptedException {
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > end) {
                result("timeout", what);
                finish();
            }
            Thread.sleep(5);
        }
    }

    boolean expired() {
        return System.nanoTime() > end;
    }

    static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    /** Prints the results and ends the program, whatever threads a client may have left. */
    void finish() {
        synchronized (results) {
            say("RESULT " + Json.of(results));
        }
        Runtime.getRuntime().halt(0);
    }
}
