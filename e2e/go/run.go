package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// What every program here shares: arguments, clients, bodies that can be checked, results.
type run struct {
	args    map[string]string
	end     time.Time
	mutex   sync.Mutex
	results map[string]interface{}
}

type fields = map[string]interface{}

// Arguments have the form name=value.
func newRun(arguments []string) *run {
	r := &run{args: map[string]string{}, results: fields{}}
	for _, argument := range arguments {
		split := strings.Index(argument, "=")
		r.args[argument[:split]] = argument[split+1:]
	}
	r.end = time.Now().Add(time.Duration(r.number("limit", 60)) * time.Second)
	return r
}

func (r *run) text(name, otherwise string) string {
	if value, ok := r.args[name]; ok {
		return value
	}
	return otherwise
}

func (r *run) number(name string, otherwise int) int {
	value, ok := r.args[name]
	if !ok {
		return otherwise
	}
	number, err := strconv.Atoi(value)
	if err != nil {
		panic(err)
	}
	return number
}

func (r *run) topic() string { return r.args["topic"] }

func (r *run) group() string { return r.args["group"] }

func (r *run) resolver() primitive.NsResolver {
	return primitive.NewPassthroughResolver(strings.Split(r.args["namesrv"], ";"))
}

// A started producer.
func (r *run) producer(options ...producer.Option) (rocketmq.Producer, error) {
	all := []producer.Option{
		producer.WithGroupName(r.group() + "_producer"),
		producer.WithNsResolver(r.resolver()),
		producer.WithDefaultTopicQueueNums(r.number("queues", 4)),
		producer.WithSendMsgTimeout(time.Duration(r.number("sendTimeout", 10000)) * time.Millisecond),
		producer.WithCompressMsgBodyOverHowmuch(r.number("compressOver", 1<<30)),
	}
	started, err := rocketmq.NewProducer(append(all, options...)...)
	if err != nil {
		return nil, err
	}
	return started, started.Start()
}

// Options of a consumer. It starts where "from" says: first, last or milliseconds of a time, which
// this client takes in UTC.
func (r *run) consumerOptions(group string) ([]consumer.Option, error) {
	options := []consumer.Option{
		consumer.WithGroupName(group),
		consumer.WithNsResolver(r.resolver()),
	}
	switch from := r.text("from", "first"); from {
	case "first":
		options = append(options, consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	case "last":
		options = append(options, consumer.WithConsumeFromWhere(consumer.ConsumeFromLastOffset))
	default:
		millis, err := strconv.ParseInt(from, 10, 64)
		if err != nil {
			return nil, err
		}
		time := time.Unix(millis/1000, 0).UTC().Format("20060102150405")
		options = append(options, consumer.WithConsumeFromWhere(consumer.ConsumeFromTimestamp),
			consumer.WithConsumeTimestamp(time))
	}
	return options, nil
}

type listener = func(context.Context, ...*primitive.MessageExt) (consumer.ConsumeResult, error)

// A started consumer of one topic.
func (r *run) consumer(group, topic string, listen listener,
	options ...consumer.Option) (rocketmq.PushConsumer, error) {
	all, err := r.consumerOptions(group)
	if err != nil {
		return nil, err
	}
	if err := r.route(topic); err != nil {
		return nil, err
	}
	started, err := rocketmq.NewPushConsumer(append(all, options...)...)
	if err != nil {
		return nil, err
	}
	filter := consumer.MessageSelector{Type: consumer.TAG, Expression: r.text("filter", "*")}
	if err := started.Subscribe(topic, filter, listen); err != nil {
		return nil, err
	}
	return started, started.Start()
}

// Waits until name servers know the topic: this client's consumer does not start before.
func (r *run) route(topic string) error {
	asking, err := admin.NewAdmin(admin.WithResolver(r.resolver()))
	if err != nil {
		return err
	}
	r.await("route of "+topic, func() bool {
		queues, err := asking.FetchPublishMessageQueues(context.Background(), topic)
		return err == nil && len(queues) > 0
	})
	return nil
}

// A message whose body follows from its key and its properties, so that a reader can check it.
func (r *run) message(topic, key, tag string, size int) *primitive.Message {
	message := primitive.NewMessage(topic, body(key, size)).WithTag(tag).WithKeys([]string{key})
	message.WithProperty("fill", "text")
	message.WithProperty("size", strconv.Itoa(size))
	return message
}

func body(key string, size int) []byte {
	return bytes.Repeat([]byte(key+" "), size/(len(key)+1)+1)[:size]
}

func describe(message *primitive.MessageExt) fields {
	size, err := strconv.Atoi(message.GetProperty("size"))
	return fields{
		"key":        message.GetKeys(),
		"tag":        message.GetTags(),
		"topic":      message.Topic,
		"id":         message.MsgId,
		"queue":      message.Queue.QueueId,
		"offset":     message.QueueOffset,
		"reconsumed": message.ReconsumeTimes,
		"sysFlag":    message.SysFlag,
		"stored":     message.StoreSize,
		"held":       message.StoreTimestamp - message.BornTimestamp,
		"intact":     err == nil && bytes.Equal(message.Body, body(message.GetKeys(), size)),
	}
}

func describeSent(key string, result *primitive.SendResult) fields {
	status := "SEND_OK"
	if result.Status != primitive.SendOK {
		status = fmt.Sprint(result.Status)
	}
	return fields{
		"key":      key,
		"status":   status,
		"id":       result.MsgID,
		"offsetId": result.OffsetMsgID,
		"queue":    result.MessageQueue.QueueId,
		"offset":   result.QueueOffset,
	}
}

var code = regexp.MustCompile(`^CODE: (\d+)`)

func describeError(key string, err error) fields {
	number := -1
	if found := code.FindStringSubmatch(err.Error()); found != nil {
		number, _ = strconv.Atoi(found[1])
	}
	return fields{"key": key, "code": number, "error": err.Error()}
}

// A list of the results; safe for client goroutines to add to.
type list struct {
	run   *run
	items []interface{}
}

func (r *run) list(name string) *list {
	list := &list{run: r, items: []interface{}{}}
	r.result(name, list)
	return list
}

func (l *list) add(item interface{}) {
	l.run.mutex.Lock()
	defer l.run.mutex.Unlock()
	l.items = append(l.items, item)
}

func (l *list) len() int {
	l.run.mutex.Lock()
	defer l.run.mutex.Unlock()
	return len(l.items)
}

func (l *list) MarshalJSON() ([]byte, error) { return json.Marshal(l.items) }

func (r *run) result(name string, value interface{}) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.results[name] = value
}

// Waits until the condition holds; at the time limit the results so far are printed.
func (r *run) await(what string, condition func() bool) {
	for !condition() {
		if r.expired() {
			r.result("timeout", what)
			r.finish()
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (r *run) expired() bool { return time.Now().After(r.end) }

func say(line string) { fmt.Fprintln(os.Stdout, line) }

// Prints the results and ends the program, whatever goroutines a client may have left.
func (r *run) finish() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	text, err := json.Marshal(r.results)
	if err != nil {
		panic(err)
	}
	say("RESULT " + string(text))
	os.Exit(0)
}
