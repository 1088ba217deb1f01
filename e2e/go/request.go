package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const patience = 20 * time.Second

// Sends count requests, half of them asynchronously, that a consumer answers; one that it does not
// answer; and has it answer one again when the producer that asked is gone.
func request(r *run) error {
	ctx := context.Background()
	named := func(name string) (rocketmq.Producer, error) {
		// Replies go by client id: it must be unlike those of other processes.
		instance := producer.WithInstanceName(fmt.Sprintf("%s%d", name, os.Getpid()))
		return r.producer(instance, producer.WithRetry(0))
	}
	replier, err := named("replier")
	if err != nil {
		return err
	}
	requester, err := named("requester")
	if err != nil {
		return err
	}
	replies, failed := r.list("replies"), r.list("failed")
	// The topic has to exist before this client's consumer starts.
	first := r.message(r.topic(), "silent", "TagA", 100)
	if _, err := replier.SendSync(ctx, first); err != nil {
		return err
	}
	var last atomic.Value
	listen := func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, message := range messages {
			if message.GetKeys() == "silent" {
				continue
			}
			last.Store(message)
			if err := answer(replier, message); err != nil && message.GetKeys() != "ready" {
				failed.add(describeError(message.GetKeys(), err))
			}
		}
		return consumer.ConsumeSuccess, nil
	}
	if _, err := r.consumer(r.group(), r.topic(), listen); err != nil {
		return err
	}

	// The broker hears of the one who asks with its first heartbeat, a second after its start.
	r.await("a first reply", func() bool {
		message := r.message(r.topic(), "ready", "TagA", 100)
		_, err := requester.Request(ctx, time.Second, message)
		return err == nil
	})

	count := r.number("count", 10)
	var known sync.Map
	record := func(key string, reply *primitive.Message, err error) {
		// This client calls an asynchronous one back twice: for the reply and when its time is up.
		if _, again := known.LoadOrStore(key, true); again {
			return
		}
		if err != nil {
			failed.add(describeError(key, err))
		} else {
			replies.add(fields{"key": key, "body": string(reply.Body)})
		}
	}
	for i := 0; i < count; i++ {
		key := fmt.Sprintf("key-%d", i)
		message := r.message(r.topic(), key, "TagA", 100)
		if i%2 == 0 {
			reply, err := requester.Request(ctx, patience, message)
			record(key, reply, err)
			continue
		}
		done := func(_ context.Context, reply *primitive.Message, err error) { record(key, reply, err) }
		if err := requester.RequestAsync(ctx, patience, done, message); err != nil {
			record(key, nil, err)
		}
	}
	r.await("replies", func() bool { return replies.len()+failed.len() >= count })

	silent := r.message(r.topic(), "silent", "TagA", 100)
	_, err = requester.Request(ctx, 1500*time.Millisecond, silent)
	switch {
	case err == nil:
		r.result("silent", "a reply")
	case strings.Contains(err.Error(), "wait reply message timeout"):
		r.result("silent", "timeout")
	default:
		r.result("silent", err.Error())
	}
	if err := requester.Shutdown(); err != nil {
		return err
	}
	if err := answer(replier, last.Load().(*primitive.MessageExt)); err != nil {
		r.result("late", describeError("late", err))
	} else {
		r.result("late", "sent")
	}
	return nil
}

func answer(replier rocketmq.Producer, message *primitive.MessageExt) error {
	reply, err := consumer.CreateReplyMessage(message, nil)
	if err != nil {
		return err
	}
	// This client leaves the body to the caller.
	reply.Body = []byte("reply to " + message.GetKeys())
	_, err = replier.SendSync(context.Background(), reply)
	return err
}
