package main

import (
	"context"
	"fmt"
	"os"
	"sort"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

type traffic struct {
	run        *run
	mutex      sync.Mutex
	acked      map[string]string
	places     map[string]map[string]bool
	damaged    []string
	failures   int
	deliveries int
}

// How far sending may be ahead of what has arrived: the consumer must catch up in the time there is.
const maxAhead = 10_000

// Sends and receives without pause while the server comes and goes. Prints ACKED n lines; when the
// file stop appears, stops sending, waits until everything acknowledged has arrived, and prints
// what is missing or arrived elsewhere than acknowledged.
func load(r *run) error {
	t := &traffic{run: r, acked: map[string]string{}, places: map[string]map[string]bool{}}
	started, err := r.producer(producer.WithRetry(5))
	if err != nil {
		return err
	}
	t.send(started, "first")
	if _, err := r.consumer(r.group(), r.topic(), t.receive); err != nil {
		return err
	}
	var senders sync.WaitGroup
	for i := 0; i < r.number("senders", 4); i++ {
		senders.Add(1)
		go func(i int) {
			defer senders.Done()
			for n := 0; !exists(r.text("stop", "")) && !r.expired(); n++ {
				if acked, received := t.progress(); acked-received > maxAhead {
					time.Sleep(5 * time.Millisecond)
					continue
				}
				t.send(started, fmt.Sprintf("s%d-%d", i, n))
			}
		}(i)
	}
	ended := make(chan struct{})
	go func() {
		senders.Wait()
		close(ended)
	}()
	for sending := true; sending; {
		acked, received := t.progress()
		say(fmt.Sprintf("ACKED %d RECEIVED %d", acked, received))
		select {
		case <-ended:
			sending = false
		case <-time.After(100 * time.Millisecond):
		}
	}
	r.await("all acknowledged messages", func() bool {
		all := len(t.missing()) == 0
		if all || r.expired() {
			t.report()
		}
		return all
	})
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (t *traffic) send(started rocketmq.Producer, key string) {
	message := t.run.message(t.run.topic(), key, "TagA", t.run.number("size", 200))
	result, err := started.SendSync(context.Background(), message)
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if err != nil {
		// Unknown outcome: the message may or may not arrive.
		t.failures++
	} else if result.Status == primitive.SendOK {
		t.acked[key] = place(result.MessageQueue.QueueId, result.QueueOffset)
	}
}

func place(queue int, offset int64) string { return fmt.Sprintf("%d:%d", queue, offset) }

func (t *traffic) receive(_ context.Context,
	messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	for _, message := range messages {
		key := message.GetKeys()
		t.deliveries++
		if t.places[key] == nil {
			t.places[key] = map[string]bool{}
		}
		t.places[key][place(message.Queue.QueueId, message.QueueOffset)] = true
		if describe(message)["intact"] != true {
			t.damaged = append(t.damaged, key)
		}
	}
	return consumer.ConsumeSuccess, nil
}

func (t *traffic) progress() (int, int) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return len(t.acked), len(t.places)
}

func (t *traffic) missing() []string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	missing := []string{}
	for key := range t.acked {
		if t.places[key] == nil {
			missing = append(missing, key)
		}
	}
	sort.Strings(missing)
	return missing
}

func (t *traffic) report() {
	t.run.result("missing", t.missing())
	t.mutex.Lock()
	defer t.mutex.Unlock()
	moved := []string{}
	for key, place := range t.acked {
		if seen := t.places[key]; seen != nil && !seen[place] {
			moved = append(moved, fmt.Sprintf("%s@%s seen at %v", key, place, seen))
		}
	}
	t.run.result("moved", moved)
	t.run.result("damaged", append([]string{}, t.damaged...))
	t.run.result("acked", len(t.acked))
	t.run.result("failures", t.failures)
	t.run.result("deliveries", t.deliveries)
	t.run.result("distinct", len(t.places))
}
