package apogee;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicReference;

import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.RequestTimeoutException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.UtilAll;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Sends {@code count} requests, half of them asynchronously, that a consumer answers; one that it
 * does not answer; and has it answer one again when the producer that asked is gone.
 */
public final class Request {
    private static final long PATIENCE = 20_000;

    private final Run run;
    private final List<Object> replies;
    private final List<Object> failed;
    private final AtomicReference<MessageExt> last = new AtomicReference<>();

    private Request(String[] args) {
        run = new Run(args);
        replies = run.results("replies");
        failed = run.results("failed");
    }

    public static void main(String[] args) throws Exception {
        new Request(args).run();
    }

    private void run() throws Exception {
        DefaultMQProducer replier = producer("replier");
        DefaultMQProducer requester = producer("requester");
        DefaultMQPushConsumer consumer = run.consumer(run.text("group"));
        consumer.subscribe(run.text("topic"), "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> reply(replier, message));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();

        int count = run.number("count", 10);
        for (int i = 0; i < count; i++) {
            Message message = run.message(run.text("topic"), "key-" + i, "TagA", 100);
            if (i % 2 == 0) {
                requestSync(requester, message);
            } else {
                requestAsync(requester, message);
            }
        }
        run.await("replies", () -> replies.size() + failed.size() >= count);

        Message silent = run.message(run.text("topic"), "silent", "TagA", 100);
        try {
            run.result("silent", requester.request(silent, 1500).toString());
        } catch (RequestTimeoutException e) {
            run.result("silent", "timeout");
        } catch (Exception e) {
            run.result("silent", e.toString());
        }
        requester.shutdown();
        try {
            run.result("late", Run.describe("late", replier.send(answer(last.get()))));
        } catch (Exception e) {
            run.result("late", Run.describe("late", e));
        }
        consumer.shutdown();
        replier.shutdown();
        run.finish();
    }

    private DefaultMQProducer producer(String name) throws Exception {
        DefaultMQProducer producer = run.producer();
        // Replies go by client id: it must be unlike those of other processes.
        producer.setInstanceName(name + UtilAll.getPid());
        producer.setRetryTimesWhenSendFailed(0);
        producer.start();
        return producer;
    }

    private void reply(DefaultMQProducer replier, MessageExt message) {
        if (message.getKeys().equals("silent")) {
            return;
        }
        last.set(message);
        try {
            replier.send(answer(message));
        } catch (Exception e) {
            failed.add(Run.describe(message.getKeys(), e));
        }
    }

    private static Message answer(MessageExt message) throws Exception {
        String text = "reply to " + message.getKeys();
        return MessageUtil.createReplyMessage(message, text.getBytes(StandardCharsets.UTF_8));
    }

    private void requestSync(DefaultMQProducer requester, Message message) {
        try {
            record(message, requester.request(message, PATIENCE));
        } catch (Exception e) {
            failed.add(Run.describe(message.getKeys(), e));
        }
    }

    private void requestAsync(DefaultMQProducer requester, Message message) throws Exception {
        requester.request(message, new RequestCallback() {
            @Override
            public void onSuccess(Message reply) {
                record(message, reply);
            }

            @Override
            public void onException(Throwable error) {
                failed.add(Run.describe(message.getKeys(), error));
            }
        }, PATIENCE);
    }

    private void record(Message message, Message reply) {
        Map<String, Object> fields = new TreeMap<>();
        fields.put("key", message.getKeys());
        fields.put("body", new String(reply.getBody(), StandardCharsets.UTF_8));
        replies.add(fields);
    }
}
