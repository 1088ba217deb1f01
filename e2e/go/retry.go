package main

import (
	"context"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// One consumer fails every delivery of a message whose tag is Poison and takes the others; after
// as many retries as allowed the poisoned one must be in the dead letter queue, where a second
// consumer reads it.
func retry(r *run) error {
	started, err := r.producer()
	if err != nil {
		return err
	}
	sent := r.list("sent")
	for _, tag := range []string{"Poison", "Sound"} {
		message := r.message(r.topic(), "key-"+tag, tag, 100)
		result, err := started.SendSync(context.Background(), message)
		if err != nil {
			return err
		}
		sent.add(describeSent(message.GetKeys(), result))
	}
	// This client looks for the topic of retries when it starts, and then half a minute later: have
	// the broker make it before.
	idle := func(context.Context, ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		return consumer.ConsumeRetryLater, nil
	}
	first, err := r.consumer(r.group(), r.topic(), idle)
	if err != nil {
		return err
	}
	if err := first.Shutdown(); err != nil {
		return err
	}
	if err := r.route("%RETRY%" + r.group()); err != nil {
		return err
	}

	retries := r.number("retries", 2)
	attempts, got, dead := r.list("attempts"), r.list("got"), r.list("dead")
	failing := func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		if messages[0].GetTags() == "Poison" {
			attempts.add(describeAttempt(messages[0]))
			return consumer.ConsumeRetryLater, nil
		}
		got.add(describeAttempt(messages[0]))
		return consumer.ConsumeSuccess, nil
	}
	limit := consumer.WithMaxReconsumeTimes(int32(retries))
	if _, err := r.consumer(r.group(), r.topic(), failing, limit); err != nil {
		return err
	}
	r.await("the last attempt", func() bool { return attempts.len() > retries })

	bury := func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, message := range messages {
			dead.add(describeAttempt(message))
		}
		return consumer.ConsumeSuccess, nil
	}
	if _, err := r.consumer(r.group()+"_dead", "%DLQ%"+r.group(), bury); err != nil {
		return err
	}
	r.await("the dead letter", func() bool { return dead.len() > 0 })
	return nil
}

func describeAttempt(message *primitive.MessageExt) fields {
	all := describe(message)
	all["at"] = time.Now().UnixNano() / 1e6
	all["properties"] = message.GetProperties()
	return all
}
