package apogee;

import java.util.Set;
import java.util.TreeSet;

import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * A member of a group that prints {@code OWNED [queues]} whenever what it owns has changed, until
 * it is killed or its time is up.
 */
public final class Member {
    private Member() {
    }

    public static void main(String[] args) throws Exception {
        Run run = new Run(args);
        DefaultMQPushConsumer consumer = run.consumer(run.text("group"));
        consumer.subscribe(run.text("topic"), "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> Run.say("GOT " + message.getKeys()));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        Set<Integer> before = null;
        while (!run.expired()) {
            Set<Integer> owned = new TreeSet<>();
            for (MessageQueue queue : consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl()
                .getProcessQueueTable().keySet()) {
                if (queue.getTopic().equals(run.text("topic"))) {
                    owned.add(queue.getQueueId());
                }
            }
            if (!owned.equals(before)) {
                Run.say("OWNED " + Json.of(owned));
                before = owned;
            }
            Thread.sleep(10);
        }
        run.finish();
    }
}
