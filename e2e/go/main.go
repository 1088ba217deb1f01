// Programs that drive the unmodified Go client, each as its namesake in e2e/java/client does.
package main

import (
	"fmt"
	"os"

	"github.com/apache/rocketmq-client-go/v2/rlog"
)

var programs = map[string]func(*run) error{
	"Load":      load,
	"Member":    member,
	"LitePull":  pull,
	"Request":   request,
	"Retry":     retry,
	"Roundtrip": roundtrip,
}

func main() {
	rlog.SetLogLevel("warn")
	if len(os.Args) < 2 || programs[os.Args[1]] == nil {
		fmt.Fprintf(os.Stderr, "no program %q\n", os.Args[1:])
		os.Exit(2)
	}
	run := newRun(os.Args[2:])
	if err := programs[os.Args[1]](run); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	run.finish()
}
